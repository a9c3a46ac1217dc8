"""Summarize the times of the requests that a verification sent, by stage and batch size."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tritonize.core.reports import Check
from tritonize.core.stages import TIMED, StageName


@dataclass(frozen=True, kw_only=True)
class RequestTimes:
    """Times of the requests of one stage and batch size, in milliseconds."""

    stage: StageName
    batch_size: int
    """0 if the model is not batched."""
    requests: int
    median_ms: float
    p95_ms: float
    least_ms: float
    most_ms: float


def of(checks: Sequence[Check]) -> tuple[RequestTimes, ...]:
    """The times of each timed stage and batch size, in the order of the checks."""
    times_ms: dict[tuple[StageName, int], list[float]] = {}
    for check in checks:
        if check.stage in TIMED:
            times_ms.setdefault((check.stage, check.batch_size), []).append(1000 * check.seconds)
    return tuple(
        RequestTimes(
            stage=stage,
            batch_size=size,
            requests=len(times),
            median_ms=statistics.median(times),
            p95_ms=sorted(times)[math.ceil(0.95 * len(times)) - 1],
            least_ms=min(times),
            most_ms=max(times),
        )
        for (stage, size), times in times_ms.items()
    )
