from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tritonize.core import arrays
from tritonize.core.arrays import BFLOAT16
from tritonize.core.artifacts import TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.source import sample_sizes, samples
from tritonize.spec import schema


def model(**fields) -> schema.Model:
    fields = {"source": "m.pt", "inputs": {"x": {"shape": ["batch", 3]}}, "max_batch_size": 4, **fields}
    return schema.Model.model_validate(fields)


def test_samples_are_items_and_can_be_made_again(tmp_path):
    one = samples.write(model(), tmp_path / "one")
    two = samples.write(model(), tmp_path / "two")
    assert one.files.count == 4
    for index in range(4):
        first, second = arrays.load(one.files, index)["x"], arrays.load(two.files, index)["x"]
        assert first.shape == (1, 3)
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(arrays.load(one.files, 0)["x"], arrays.load(one.files, 1)["x"])


def test_the_bits_of_a_sample_are_fixed():
    """A golden set made elsewhere must be made again bit by bit; a change of the generator is a change of the format."""
    drawn = samples.generate(model(), 0)["x"]
    np.testing.assert_array_equal(drawn, np.random.default_rng([0, 0, 0]).standard_normal((1, 3), dtype=np.float32))


def test_another_seed_gives_other_samples():
    assert not np.array_equal(samples.generate(model(), 0)["x"], samples.generate(model(samples={"seed": 1}), 0)["x"])


def test_samples_have_values_of_both_signs_and_the_example_is_none_of_them(tmp_path):
    drawn = samples.write(model(), tmp_path / "s")
    values = np.concatenate([arrays.load(drawn.files, index)["x"] for index in range(4)])
    assert values.min() < 0 < values.max()
    example = arrays.load(samples.write_example(model(), drawn, tmp_path / "e"), 0)["x"]
    assert example.shape == (2, 3)  # batch 1 would be baked in by exporters
    assert not any(np.array_equal(row, value) for row in example for value in values)


@pytest.mark.parametrize(("dtype", "low", "high"), [("int64", 0, 9), ("uint8", 0, 9), ("bool", 0, 1), ("int32", -3, -1)])
def test_integers_stay_in_their_range(dtype, low, high):
    tensor = {"dtype": dtype, "shape": ["batch", 200]} | ({"range": [low, high]} if low < 0 else {})
    drawn = samples.generate(model(inputs={"x": tensor}), 0)["x"]
    assert drawn.dtype == arrays.numpy_dtype(dtype)
    assert (int(drawn.min()), int(drawn.max())) == (low, high)


def test_tokens_and_their_mask_share_a_length():
    inputs = {
        "ids": {"dtype": "int64", "shape": ["batch", 12], "distribution": "token_ids", "range": [5, 900]},
        "mask": {"dtype": "bool", "shape": ["batch", 12], "distribution": "padding_mask"},
    }
    lengths = set()
    for index in range(6):
        item = samples.generate(model(inputs=inputs), index)
        np.testing.assert_array_equal(item["ids"] > 0, item["mask"])
        assert item["mask"][0, 0]
        assert list(item["mask"][0]) == sorted(item["mask"][0], reverse=True)
        assert item["ids"].max() <= 900
        lengths.add(int(item["mask"].sum()))
    assert 12 in lengths
    assert len(lengths) > 2


def test_one_hot_has_a_single_one():
    drawn = samples.generate(model(inputs={"x": {"shape": ["batch", 3, 5], "distribution": "one_hot"}}), 1)["x"]
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn.sum(-1), np.ones((1, 3)))
    assert set(np.unique(drawn)) == {0, 1}


def test_a_folder_of_npy_files_is_a_sample(tmp_path):
    Path("one").mkdir()
    np.save("one/x.npy", np.array([[1, 1, 1], [2, 2, 2]], np.float32))
    drawn = samples.write(model(samples={"files": ["one"]}), tmp_path / "s")
    np.testing.assert_array_equal(arrays.load(drawn.files, 0)["x"], [[1, 1, 1]])


def test_floats_with_a_range_are_uniform_in_it():
    drawn = samples.generate(model(inputs={"x": {"shape": ["batch", 1000], "range": [0, 255]}}), 0)["x"]
    assert 0 <= drawn.min() < 5 < 250 < drawn.max() <= 255


def test_other_dynamic_axes_take_their_usual_smallest_largest_and_another_size(tmp_path):
    sequence = model(inputs={"x": {"shape": ["batch", "length"]}}, axes={"length": {"min": 2, "opt": 5, "max": 9}})
    drawn = samples.write(sequence, tmp_path)
    shapes = [arrays.load(drawn.files, index)["x"].shape for index in range(5)]
    assert shapes == [(1, 5), (1, 2), (1, 9), (1, 7), (1, 5)]
    assert list(arrays.batches(drawn, 2)) == [(0, 4), (1, 5), (2, 6), (3, 7)]  # two different samples of every shape
    assert list(arrays.first_batches(drawn, 3)) == [(0, 4, 0), (1, 5, 1), (2, 6, 2), (3, 7, 3)]


def test_the_ends_of_every_profile_are_among_the_sizes(tmp_path):
    profiles = [{"length": {"max": 4}}, {"length": {"min": 5, "opt": 8}}]
    axes = {"length": {"min": 2, "opt": 5, "max": 9}}
    sequence = model(inputs={"x": {"shape": ["batch", "length"]}}, profiles=profiles, backend="tensorrt", axes=axes)
    drawn = samples.write(sequence, tmp_path)
    sizes = [arrays.load(drawn.files, index)["x"].shape[1] for index in range(drawn.drawn)]
    # the axis itself, then what of min, opt and max of 2..4 and 5..8..9 is not among them
    assert sizes[:6] == [5, 2, 9, 7, 4, 8]


def test_two_dynamic_axes_are_at_opposite_ends_too():
    axes = {name: {"min": 2, "opt": 4, "max": 6} for name in ("height", "width")}
    wanted = model(inputs={"x": {"shape": ["batch", "height", "width"]}}, axes=axes, max_batch_size=2)
    sizes = [(each["height"], each["width"]) for each in (sample_sizes.axis_sizes(wanted, index) for index in range(6))]
    assert sizes == [(4, 4), (2, 2), (6, 6), (5, 3), (2, 6), (6, 2)]


def test_batches_hold_every_sample_and_are_filled_up(tmp_path):
    drawn = samples.write(model(samples={"count": 3}), tmp_path)
    assert list(arrays.batches(drawn, 1)) == [(0,), (1,), (2,)]
    assert list(arrays.batches(drawn, 2)) == [(0, 1), (2, 0)]
    assert list(arrays.batches(drawn, 4)) == [(0, 1, 2, 0)]
    assert arrays.batch_sizes(4) == (1, 2, 4)
    assert arrays.batch_sizes(2) == (1, 2)
    assert arrays.batch_sizes(1) == (1,)
    assert arrays.batch_sizes(0) == (0,)


def test_one_sample_cannot_prove_batching(tmp_path):
    np.savez("one.npz", x=np.ones((1, 3), np.float32))
    with pytest.raises(UsageError, match="All samples of one shape are equal"):
        samples.write(model(samples={"files": "one.npz"}), tmp_path / "s")
    assert samples.write(model(samples={"count": 1}), tmp_path / "generated").files.count == 2
    assert samples.write(model(samples={"files": "one.npz"}, max_batch_size=1), tmp_path / "alone").files.count == 1


def test_a_single_file_is_mirrored_to_test_batching_and_the_origin_says_so(tmp_path):
    np.savez("one.npz", x=np.arange(3, dtype=np.float32)[None], n=np.arange(2)[None])
    both = model(
        inputs={"x": {"shape": ["batch", 3]}, "n": {"dtype": "int64", "shape": ["batch", 2]}}, samples={"files": "one.npz"}
    )
    drawn = samples.write(both, tmp_path / "s")
    assert (drawn.files.count, drawn.mirrored, drawn.origin) == (2, 1, "from files, 1 of them mirrored")
    assert arrays.load(drawn.files, 1)["x"].tolist() == [[2, 1, 0]]
    assert arrays.load(drawn.files, 1)["n"].tolist() == [[0, 1]]  # integers may be indices
    assert samples.add_edges(both, drawn).mirrored == 1


def test_each_shape_with_one_sample_gets_a_mirrored_copy(tmp_path):
    for width in (2, 3):
        np.savez(f"{width}.npz", x=np.arange(width, dtype=np.float32)[None])
    np.savez("two.npz", x=np.arange(8, dtype=np.float32).reshape(2, 4))
    wide = model(inputs={"x": {"shape": ["batch", "w"]}}, axes={"w": {"min": 2, "opt": 3, "max": 4}}, samples={"files": "*.npz"})
    drawn = samples.write(wide, tmp_path / "s")
    assert (drawn.files.count, drawn.mirrored) == (6, 2)
    assert [arrays.load(drawn.files, index)["x"].tolist() for index in (4, 5)] == [[[1, 0]], [[2, 1, 0]]]


def test_files_are_split_into_items(tmp_path):
    np.savez("many.npz", x=np.arange(9, dtype=np.float32).reshape(3, 3))
    drawn = samples.write(model(samples={"files": "*.npz"}), tmp_path / "s")
    assert drawn.files.count == 3
    np.testing.assert_array_equal(arrays.load(drawn.files, 2)["x"], [[6, 7, 8]])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"y": np.zeros((1, 3), np.float32)}, "do not match the model's inputs"),
        ({"x": np.zeros((1, 4), np.float32)}, "differs from the spec in type or shape"),
        ({"x": np.zeros((1, 3), np.float64)}, "expected: fp32 \\[batch, 3\\]\n  found: fp64 \\[1, 3\\]"),
        ({"x": np.zeros((3,), np.float32)}, "differs from the spec in type or shape"),
        ({"x": np.zeros((0, 3), np.float32)}, "differ in batch size"),
    ],
)
def test_files_that_do_not_fit_are_refused(content, text, tmp_path):
    np.savez("bad.npz", **content)
    with pytest.raises(UsageError, match=text):
        samples.write(model(samples={"files": "bad.npz"}), tmp_path / "s")


def test_missing_and_broken_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="No sample file matches"):
        samples.write(model(samples={"files": "none*.npz"}), tmp_path / "s")
    Path("broken.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(UsageError) as caught:
        samples.write(model(samples={"files": "broken.npz"}), tmp_path / "s")
    assert caught.value.code == "sample-file-unreadable"


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "fp64", "int8", "uint8", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 2), (2, 3)])
def test_arrays_survive_their_files(dtype, shape, tmp_path):
    array = np.ones(shape).astype(arrays.numpy_dtype(dtype))
    files = TensorFiles(directory=tmp_path, tensors=(TensorSpec(name="a/b ../c", dtype=dtype, shape=shape),), count=1)
    arrays.save(files, 0, {"a/b ../c": array})
    found = arrays.load(files, 0)["a/b ../c"]
    assert (found.shape, found.dtype) == (shape, array.dtype)
    assert found.tobytes() == array.tobytes()
    assert not found.flags.writeable


def test_an_array_of_another_type_is_not_saved(tmp_path):
    files = TensorFiles(directory=tmp_path, tensors=(TensorSpec(name="x", dtype="bf16", shape=(2,)),), count=1)
    with pytest.raises(TypeError, match="expected bf16"):
        arrays.save(files, 0, {"x": np.zeros(2, np.float32)})
    arrays.save(files, 0, {"x": np.zeros(2, BFLOAT16)})


def test_the_same_sample_over_and_over_proves_no_batching(tmp_path):
    np.savez(tmp_path / "s.npz", x=np.ones((3, 3), np.float32))
    with pytest.raises(UsageError, match="cannot test batching"):
        samples.write(model(samples={"files": str(tmp_path / "s.npz")}), tmp_path / "out")


@pytest.mark.parametrize(
    ("low", "high", "step", "found"), [(2, 9, 1, 7), (16, 64, 16, 48), (4, 4, 1, 4), (4, 5, 1, 4), (8, 24, 8, 16), (1, 3, 1, 2)]
)
def test_a_size_in_between_is_one_that_the_axis_takes(low, high, step, found):
    axis = schema.Axis(min=low, max=high, step=step)
    assert axis.between(0.6) == found
