"""When requests are sent: one after the other (a closed loop), or at times that do not depend on the responses (an open loop)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Literal, Protocol

import numpy as np

Arrivals = Literal["poisson", "constant"]
_SEED = 0


class Clock(Protocol):
    """Time in seconds, and waiting that ends when the load ends."""

    def now(self) -> float:
        """Seconds since some moment."""

    def wait(self, seconds: float) -> bool:
        """Wait, at most until the load ends; returns whether it has ended."""


class RealClock:
    """The machine's monotonic clock."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def now(self) -> float:
        """See `Clock`."""
        return time.perf_counter()

    def wait(self, seconds: float) -> bool:
        """See `Clock`."""
        return self._ended.wait(seconds) if seconds > 0 else self._ended.is_set()

    def end(self) -> None:
        """End the load: every wait returns."""
        self._ended.set()


class Pace(Protocol):
    """Gives each request its time. Several clients take times in turn."""

    def due(self) -> float:
        """The time of the next request."""


class ClosedLoop:
    """A client sends its next request as soon as it has the response."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def due(self) -> float:
        """Now."""
        return self._clock.now()


class OpenLoop:
    """Requests are due at a rate, whether or not earlier ones were answered."""

    def __init__(self, rate: float, *, start: float, arrivals: Arrivals) -> None:
        self._times = times(rate, start, arrivals)
        self._lock = threading.Lock()

    def due(self) -> float:
        """The next time of the schedule; each is given once."""
        with self._lock:
            return next(self._times)


def times(rate: float, start: float, arrivals: Arrivals) -> Iterator[float]:
    """The times of an open loop: equal distances, or those of a Poisson process, which are the same in every benchmark."""
    generator, due = np.random.default_rng(_SEED), start
    while True:
        yield due
        due += 1 / rate if arrivals == "constant" else float(generator.exponential(1 / rate))
