"""The deadline of a whole command."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Annotated, NoReturn

import typer

VERIFY_S = 4 * 3600.0
"""Seconds that a verification may take by default."""
RUN_S = 24 * 3600.0
"""Seconds that everything else may take by default: an export of a large model takes hours."""

Deadline = Annotated[float, typer.Option("--deadline", min=1, metavar="SECONDS", help="Seconds that the whole command may take.")]


class _ReachedError(KeyboardInterrupt):
    """Raised wherever the main thread is, and cleaned up after like Ctrl-C."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End what is inside after so many seconds, wherever it waits. For the main thread.

    Raises:
        ServerError: the time is over; whatever failed because of it is chained.
    """
    from tritonize.core import deadline
    from tritonize.core.errors import ServerError, TritonizeError
    from tritonize.core.messages import client as say

    def ring(_number: int, _frame: FrameType | None) -> NoReturn:
        raise _ReachedError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with deadline.within(seconds):
            try:
                yield
            except (_ReachedError, TritonizeError) as error:
                if deadline.left() > 0:
                    raise
                details = str(error).splitlines() if isinstance(error, TritonizeError) else ()
                raise ServerError.of(say.COMMAND_DEADLINE, seconds=seconds, details=details) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
