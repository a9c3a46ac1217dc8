"""The server's own times between two readings of its statistics."""

from __future__ import annotations

import pytest

from tritonize.triton import server_times
from tritonize.triton.protocol import ModelStatistics


def reading(requests: int, *, executions: int, hits: int = 0) -> ModelStatistics:
    def of(ns: int) -> dict[str, str]:
        return {"count": str(requests), "ns": str(ns * requests)}

    return {
        "name": "m",
        "inference_count": str(4 * requests),
        "execution_count": str(executions),
        "inference_stats": {
            "success": of(1000),
            "queue": of(100),
            "compute_input": of(20),
            "compute_infer": of(800),
            "compute_output": of(30),
            "cache_hit": {"count": str(hits)},
        },
    }  # type: ignore[typeddict-item] # made by a function


def test_means_are_of_the_requests_between_the_readings() -> None:
    found = server_times.between(reading(10, executions=10), reading(30, executions=20, hits=3))
    assert found is not None
    assert (found.requests, found.inferences, found.executions, found.hits) == (20, 80, 10, 3)
    assert (found.queue, found.input, found.compute, found.output) == pytest.approx((100e-9, 20e-9, 800e-9, 30e-9))


def test_without_requests_there_are_no_times() -> None:
    assert server_times.between(reading(5, executions=5), reading(5, executions=5)) is None
    assert server_times.between({}, {}) is None
