"""The deadline of the running command: one point in time for the whole process, which limits every request.

The command line sets it. Without a deadline, only the timeouts of the single requests apply.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

_end = math.inf  # of time.monotonic(), in seconds


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Set a deadline for the block, in seconds from now; an earlier outer deadline stays in force."""
    global _end
    before = _end
    _end = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _end = before


@contextlib.contextmanager
def extended(seconds: float) -> Iterator[None]:
    """Give the block at least so many seconds from now, even if the deadline has passed: for what has to be undone at the end."""
    global _end
    before = _end
    _end = max(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _end = before


def left() -> float:
    """Seconds until the deadline, negative once it has passed; infinite without a deadline."""
    return _end - time.monotonic()
