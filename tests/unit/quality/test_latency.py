"""The times of requests by stage and batch size."""

from __future__ import annotations

from tritonize.core.reports import Check
from tritonize.core.stages import StageName
from tritonize.quality import latency


def test_times_are_summarized_by_stage_and_batch_size() -> None:
    checks = [
        Check(stage=StageName.HTTP, batch_size=size, samples=(0,), tensors=(), seconds=milliseconds / 1000)
        for size, milliseconds in ((1, 3), (1, 1), (1, 8), (2, 5))
    ]
    checks.append(Check(stage=StageName.ONNXRUNTIME, batch_size=1, samples=(0,), tensors=(), seconds=1))  # no request
    one, two = latency.of(checks)
    assert (one.stage, one.batch_size, one.requests, two.batch_size, two.requests) == (StageName.HTTP, 1, 3, 2, 1)
    assert [round(value, 9) for value in (one.median_ms, one.p95_ms, one.least_ms, one.most_ms)] == [3, 8, 1, 8]
