"""Which samples the evidence keeps, and what it says about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import RepositoryError
from tritonize.quality import golden_set, sample_digests
from tritonize.quality.golden_set import GoldenSet
from tritonize.source import sample_files
from tritonize.spec import schema
from tritonize.workflows import kept_samples
from tritonize.workflows.kept_samples import Kept

FOLDER = Path("golden")
GENERATED = schema.Model.model_validate({"source": "m.pt", "inputs": {"x/y": {"shape": ["batch", 4]}}, "max_batch_size": 4})
FROM_FILES = GENERATED.model_copy(update={"samples": schema.Samples(files="patient-*.npz")})
FROM_FUNCTION = GENERATED.model_copy(update={"samples": schema.Samples(function="net:draw")})
KIB = 1 << 10


def tensors(name: str, kind: str, dtype: str, items: list[np.ndarray]) -> TensorFiles:
    files = TensorFiles(directory=Path(kind), tensors=(TensorSpec(name=name, dtype=dtype, shape=("batch", "n")),), count=len(items))
    for index, item in enumerate(items):
        arrays.save(files, index, {name: item})
    return files


def golden(count: int = 6, *, kib: int = 64, edges: int = 2) -> GoldenSet:
    """Samples of `kib` KiB, with an output and float64 values of the same number of elements."""
    draw = np.random.default_rng(0)
    items = [draw.standard_normal((1, kib * KIB // 4)).astype(np.float32) for _ in range(count)]
    names = {count - edges + place: f"edge {place}" for place in range(edges)}
    return GoldenSet(
        samples=SampleSet(files=tensors("x/y", "in", "fp32", items), batched=True, origin="drawn", edges=names),
        expected=tensors("y", "own", "fp32", items),
        exact=tensors("y", "fp64", "fp64", [each.astype(np.float64) for each in items]),
        max_batch_size=4,
    )


def write(known: GoldenSet, model: schema.Model = GENERATED, *, worst: int | None = None, **wanted: object) -> Kept:
    section = schema.Evidence.model_validate(wanted)
    return kept_samples.write(known, FOLDER, model, wanted=section, worst=worst)


def on_disk() -> int:
    return sum(path.stat().st_size for path in FOLDER.rglob("*.npy"))


def test_everything_is_kept_where_it_fits():
    kept = write(golden())
    assert (kept.samples, kept.own, kept.pictures, kept.notes) == (tuple(range(6)), 0, True, ())
    assert golden_set.read(FOLDER).samples.files.count == 6


@pytest.mark.parametrize(("mib", "count"), [(1, 5), (2, 10)])
def test_the_bound_holds_for_inputs_outputs_and_float64_together(mib, count):
    kept = write(golden(12, edges=0), golden_mib=mib)  # 3 x 64 KiB and three headers per sample
    assert len(kept.samples) == count
    assert on_disk() <= mib << 20
    assert f"keeps {count} of 12 samples" in kept.notes[0]


def test_the_worst_sample_and_one_of_its_shape_are_kept_first():
    kept = write(golden(12, edges=2), golden_mib=1, worst=9)
    assert kept.samples == (0, 1, 2, 3, 9)
    assert kept.place(9) == 4
    assert kept.place(5) is None
    found = golden_set.read(FOLDER)
    assert np.array_equal(arrays.load(found.expected, 4)["y"], arrays.load(golden(12).expected, 9)["y"])
    edge = write(golden(12, edges=2), golden_mib=1, worst=11)
    assert edge.samples[-1] == 11
    assert golden_set.read(FOLDER).samples.edges == {4: "edge 1"}


def test_where_one_sample_fits_it_is_a_drawn_one():
    kept = write(golden(4, kib=250, edges=2), FROM_FILES, golden_mib=1, worst=3)
    assert (kept.samples, kept.own) == ((0,), 1)
    assert "copies of 1 of your own samples" in kept.notes[1]


def test_a_sample_of_the_set_can_be_given_as_a_sample_file():
    known = golden()
    write(known)
    assert list(sample_files.read(str(FOLDER / "inputs" / "3"))) == ["x/y"]
    assert np.array_equal(sample_files.read(str(FOLDER / "inputs" / "3"))["x/y"], arrays.load(known.samples.files, 3)["x/y"])


def test_where_not_one_sample_fits_checksums_alone_are_kept():
    known = golden(2, kib=512, edges=0)
    kept = write(known, golden_mib=1)
    assert kept.samples == ()
    assert [path.name for path in FOLDER.iterdir()] == ["digests.json"]
    assert "not one sample with its outputs fits into 1 MiB" in kept.notes[0]
    plain = json.loads((FOLDER / "digests.json").read_text())
    assert plain["samples"][1]["inputs"] == arrays.digest(arrays.load(known.samples.files, 1))
    with pytest.raises(RepositoryError) as caught:
        golden_set.read(FOLDER)
    assert caught.value.code == "golden-set-not-kept"
    (FOLDER / "digests.json").write_text("[]")
    with pytest.raises(RepositoryError):
        sample_digests.why_alone(FOLDER)


@pytest.mark.parametrize("model", [FROM_FILES, FROM_FUNCTION])
def test_samples_of_the_users_are_named_and_left_out_if_the_spec_says_so(model):
    kept = write(golden(), model)
    assert kept.own == 4
    assert "copies of 4 of your own samples" in kept.notes[0]
    assert kept.pictures


@pytest.mark.parametrize("model", [FROM_FILES, FROM_FUNCTION])
def test_synthetic_keeps_edge_cases_of_the_users_samples_alone(model):
    kept = write(golden(), model, samples="synthetic", worst=2)
    assert (kept.samples, kept.own, kept.pictures) == ((4, 5), 0, False)
    assert "2 samples that tritonize generated, and none of your own" in kept.notes[0]
    read = golden_set.read(FOLDER)
    assert (read.samples.drawn, read.samples.edges) == (0, {0: "edge 0", 1: "edge 1"})


def test_synthetic_without_edge_cases_keeps_checksums_and_generated_samples_stay():
    kept = write(golden(4, edges=0), FROM_FILES, samples="synthetic")
    assert (kept.samples, kept.pictures) == ((), False)
    assert "come from files or a function" in kept.notes[0]


def test_generated_samples_are_synthetic():
    kept = write(golden(), GENERATED, samples="synthetic")
    assert (len(kept.samples), kept.pictures, kept.notes) == (6, True, ())


def test_hashes_keep_no_sample():
    kept = write(golden(), GENERATED, samples="hashes")
    assert (kept.samples, kept.pictures) == ((), False)
    assert on_disk() == 0
