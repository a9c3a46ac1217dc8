"""Samples that were never sent before: how they are changed, and when none can be made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tritonize.core import arrays
from tritonize.core.arrays import Array
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.quality.golden_set import GoldenSet
from tritonize.triton import new_samples


def generator() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", arrays.BFLOAT16])
def test_numbers_move_by_a_few_steps_of_their_type(dtype: str) -> None:
    before = np.random.default_rng(1).standard_normal((3, 40)).astype(dtype)
    item = new_samples.changed({"x": before}, generator())
    assert item is not None
    moved = item["x"]
    width = f"int{8 * before.itemsize}"
    steps = np.abs(moved.view(width).astype(np.int64) - before.view(width).astype(np.int64))
    assert moved.dtype == before.dtype
    assert 1 <= steps.max() <= new_samples._STEPS
    assert np.count_nonzero(steps) == (new_samples._FEW if before.itemsize == 2 else before.size)


def test_masks_indices_text_and_infinities_stay() -> None:
    whole = {
        "mask": np.array([[0, 1, 1, 0]], np.float32),
        "ids": np.array([[3, 1]], np.int64),
        "text": np.array([["a"]], object),
        "far": np.array([[np.inf, np.nan, -np.inf]], np.float32),
    }
    assert new_samples.changed(whole, generator()) is None
    item = new_samples.changed({**whole, "x": np.array([[0.5, 1.0]], np.float32)}, generator())
    assert item is not None
    assert all(item[name] is array for name, array in whole.items())
    assert item["x"][0, 0] != 0.5
    assert item["x"][0, 1] == 1.0


def golden(folder: Path, samples: list[Array], size: int) -> GoldenSet:
    """Samples of a model that returns its input as it is."""
    name = arrays.dtype_name(samples[0])
    tensors = (TensorSpec(name="x", dtype=name, shape=("batch", *samples[0].shape[1:])),)
    files = TensorFiles(directory=folder, tensors=tensors, count=len(samples))
    for index, sample in enumerate(samples):
        arrays.save(files, index, {"x": sample})
    return GoldenSet(samples=SampleSet(files=files, batched=size > 0, origin=""), expected=files, max_batch_size=size)


def test_new_samples_are_beside_known_ones_and_alone_in_turns(tmp_path: Path) -> None:
    known = golden(tmp_path, [np.full((1, 2), value, np.float32) for value in (0.1, 0.2, 0.3)], 6)
    requests = list(new_samples._requests(known, generator(), count=8))
    assert [len(batch) for batch, _, _ in requests[1::2]] == [1] * 4
    mixed = [len(batch) for batch, _, _ in requests[::2]]
    assert mixed[0] == 6
    assert len({*mixed}) > 1
    assert all(2 <= size <= 6 for size in mixed)
    for batch, inputs, compared in requests:
        assert (compared, inputs["x"].shape) == (len(batch) - 1 or 1, (len(batch), 2))
        expected = known.expected_outputs(batch)["x"]
        np.testing.assert_array_equal(inputs["x"][: len(batch) - 1], expected[:-1])
        assert not np.array_equal(inputs["x"][-1], expected[-1])
        np.testing.assert_allclose(inputs["x"][-1], expected[-1], rtol=1e-6)
    assert len({inputs["x"].tobytes() for _, inputs, _ in requests}) == 8


def test_drawn_samples_come_alone_in_the_largest_batch_and_in_one_of_a_random_size(tmp_path: Path) -> None:
    drawn = golden(tmp_path, [np.full((1, 2), value, np.float32) for value in (0.1, 0.2)], 8)
    sizes = [len(batch) for seed in range(20) for batch in new_samples._batches(drawn, range(2), np.random.default_rng(seed))]
    assert {*sizes} == {1, 2, 3, 4, 5, 6, 7, 8}
    assert sizes.count(1) == 40
    assert sizes.count(8) >= 20


def test_whole_numbers_are_new_only_in_many_orders(tmp_path: Path) -> None:
    few = golden(tmp_path / "few", [np.array([[value]], np.int64) for value in range(3)], 2)
    assert list(new_samples._requests(few, generator(), count=4)) == []
    many = golden(tmp_path / "many", [np.array([[value]], np.int64) for value in range(12)], 8)
    assert [compared for _, _, compared in new_samples._requests(many, generator(), count=4)] == [8] * 4


def test_a_single_sample_is_changed_itself(tmp_path: Path) -> None:
    known = golden(tmp_path / "floats", [np.full((1, 2), 0.1, np.float32)], 1)
    assert [(batch, compared) for batch, _, compared in new_samples._requests(known, generator(), count=4)] == [((0,), 1)] * 4
    assert list(new_samples._requests(golden(tmp_path / "ids", [np.array([[7]], np.int64)], 0), generator(), count=4)) == []
