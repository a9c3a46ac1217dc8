"""Arithmetic of measured requests: percentiles, windows of time, and whether the last windows are stable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tritonize.core.load_results import Latency, Window

STABLE = 3
"""Windows that must agree."""
SPREAD = 0.1
"""Largest distance of each from their mean, as a share of it, for requests per second and for the mean latency."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """One request, in seconds of one clock."""

    due: float
    """When it was to be sent. In a closed loop: when it was sent."""
    sent: float
    done: float

    @property
    def latency(self) -> float:
        """Seconds from the time at which it was due, so that waiting for a free connection counts."""
        return self.done - self.due


def latency(seconds: Sequence[float]) -> Latency | None:
    """Mean and percentiles; `None` without a request."""
    if not seconds:
        return None
    values = np.asarray(seconds, np.float64)
    p50, p90, p95, p99 = np.percentile(values, [50, 90, 95, 99], method="inverted_cdf").tolist()
    return Latency(mean=float(values.mean()), p50=p50, p90=p90, p95=p95, p99=p99, largest=float(values.max()))


def within(requests: Sequence[Timed], start: float, end: float) -> list[Timed]:
    """The requests that ended in a window."""
    return [each for each in requests if start <= each.done < end]


def window(requests: Sequence[Timed], start: float, end: float) -> Window:
    """The figures of one window."""
    own = within(requests, start, end)
    mean = sum(each.latency for each in own) / len(own) if own else None
    return Window(seconds=end - start, requests=len(own), mean=mean)


def stable(windows: Sequence[Window], *, rate: bool = True) -> bool:
    """Whether the last windows agree in mean latency and, with `rate`, in requests per second."""
    last = windows[-STABLE:]
    means = [each.mean for each in last if each.mean is not None]
    return len(means) == STABLE and _close(means) and (not rate or _close([each.rate for each in last]))


def _close(values: Sequence[float]) -> bool:
    mean = sum(values) / len(values)
    return all(abs(value - mean) <= SPREAD * mean for value in values)
