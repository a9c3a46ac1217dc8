"""The deadline of a whole command."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Annotated, NoReturn

import typer

VERIFY_S = 4 * 3600.0
"""Default deadline of a verification in seconds."""
RUN_S = 24 * 3600.0
"""Default deadline of other commands in seconds: the export of a large model takes hours."""

Deadline = Annotated[float, typer.Option("--deadline", min=1, metavar="SECONDS", help="Time limit of the whole command.")]


class _ReachedError(KeyboardInterrupt):
    """The deadline has passed. It is raised in the main thread and triggers the same cleanup as Ctrl-C."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupt the block after this many seconds. Call it in the main thread.

    Raises:
        ServerError: the block did not finish in time; the error that this caused in the block is chained.
    """
    from tritonize.core import deadline
    from tritonize.core.errors import ServerError, TritonizeError
    from tritonize.core.messages import client as wording

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
                raise ServerError.of(wording.COMMAND_DEADLINE, seconds=seconds, details=details) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
