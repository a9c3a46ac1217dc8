"""When the running command has to be done: one point in time for the whole process, which every request respects.

The command line sets it; where nobody does, only each request has a limit of its own.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

_end = math.inf  # of time.monotonic(), in seconds


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Everything inside has to end in that many seconds; an outer deadline that comes earlier stays."""
    global _end
    before = _end
    _end = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _end = before


def left() -> float:
    """Seconds until the deadline, negative once it has passed; infinite without a deadline."""
    return _end - time.monotonic()
