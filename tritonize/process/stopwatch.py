"""Measure the time spent in libraries, so that a report can give tritonize's own share of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the seconds spent inside `library()` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def library(self) -> Iterator[None]:
        """Time a block that belongs to a library: an import, an export, a session, a run."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started
