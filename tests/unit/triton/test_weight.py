"""How many requests a verification sends, and how fast."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tritonize
from tritonize.core import arrays, deadline
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.quality.golden_set import GoldenSet
from tritonize.triton import weight
from tritonize.triton.weight import Pace


def golden(folder: Path, count: int, size: int) -> GoldenSet:
    tensors = (TensorSpec(name="x", dtype="float32", shape=("batch", 2)),)
    files = TensorFiles(directory=folder, tensors=tensors, count=count)
    for index in range(count):
        arrays.save(files, index, {"x": np.full((1, 2), index, np.float32)})
    return GoldenSet(samples=SampleSet(files=files, batched=size > 0, origin=""), expected=files, max_batch_size=size)


def test_the_quick_profile_sends_one_sample_and_the_largest_batch(tmp_path: Path) -> None:
    known = golden(tmp_path, 6, 4)
    batches = weight.PROFILES["quick"].over_a_transport(known)
    assert [len(batch) for batch in batches] == [1, 4]
    every = weight.STANDARD.over_a_transport(known)
    assert every[: len(known.batches())] == known.batches()
    assert [len(batch) for batch in every[len(known.batches()) :]] == [3]  # the size between 2 and 4
    assert weight.PROFILES["quick"].over_a_transport(golden(tmp_path / "one", 1, 0)) == [(0,)]


@pytest.mark.parametrize(("largest", "sizes"), [(0, []), (2, []), (3, []), (5, [3, 4]), (8, [3, 5, 7]), (64, [3, 33, 63])])
def test_batches_of_sizes_between_are_sent_too(tmp_path: Path, largest: int, sizes: list[int]) -> None:
    known = golden(tmp_path, 2, largest)
    more = weight.STANDARD.over_a_transport(known)[len(known.batches()) :]
    assert [len(batch) for batch in more] == sizes
    assert all(set(batch) == {0, 1} for batch in more)


def test_outputs_are_requested_by_name(tmp_path: Path) -> None:
    known = golden(tmp_path, 1, 1)
    tensors = tuple(TensorSpec(name=name, dtype="float32", shape=("batch", 2)) for name in "abc")
    several = replace(known, expected=replace(known.expected, tensors=tensors))
    assert weight.STANDARD.named_outputs(known) == [("x",)]
    assert weight.STANDARD.named_outputs(several) == [("a",), ("b",), ("c",), ("c", "b", "a")]
    assert weight.PROFILES["quick"].named_outputs(several) == []
    counts = [weight.most_requests(weight.STANDARD, each, transports=2) for each in (known, several)]
    assert counts[1] - counts[0] == 2 * 3


def test_the_profiles_differ_in_weight(tmp_path: Path) -> None:
    known = golden(tmp_path, 6, 4)
    counts = [weight.most_requests(weight.PROFILES[name], known, transports=2) for name in ("quick", "standard", "thorough")]
    assert counts[0] <= 20
    assert counts == sorted(counts)
    assert counts[1] > 800  # eight clients with a hundred requests each


def test_a_pace_spreads_requests_evenly_and_counts_them() -> None:
    now = [10.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(4.0, clock=lambda: now[0], sleep=sleep)
    for _ in range(5):
        pace.wait()
    assert slept == pytest.approx([0.25] * 4)
    now[0] += 1.0  # a request took longer than its turn: the next one begins at once, and is not followed by a burst
    pace.wait()
    pace.wait()
    assert slept == pytest.approx([0.25] * 5)
    assert pace.sent == 7


def test_a_pace_without_a_rate_never_waits_and_the_deadline_bounds_every_wait() -> None:
    slept: list[float] = []
    free = Pace(clock=lambda: 0.0, sleep=slept.append)
    for _ in range(3):
        free.wait()
    assert (slept, free.sent) == ([], 3)
    slow = Pace(0.001, clock=lambda: 0.0, sleep=slept.append)
    slow.wait()
    with deadline.within(2.0):
        slow.wait()
    assert len(slept) == 1
    assert slept[0] <= 2.0


@pytest.mark.parametrize("values", [{"rate": 0.0}, {"rate": -1.0}, {"rate": float("nan")}, {"profile": "fast"}])
def test_values_that_no_verification_can_have_are_an_error_before_any_request(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        tritonize.verify("models", urls=["http://127.0.0.1:1"], **values)
    assert caught.value.code == "weight-invalid"
