"""Golden files: contents, damage, hostile files, and the commands that write and show them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support import small_versions
from tests.support.command import tritonize
from tests.support.golden_files import COUNT, exported, members, rewrite
from tritonize.core import arrays
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.stages import StageName
from tritonize.quality import golden_set
from tritonize.reference import checksummed_archive, golden_file, golden_seeds
from tritonize.report import text as report_text
from tritonize.workflows import golden as golden_workflow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one small version."""
    place = tmp_path_factory.mktemp("golden") / "models"
    small_versions.publish(place, 1)
    return place


@pytest.mark.parametrize("seeds", [False, True])
def test_a_golden_file_has_the_samples_outputs_and_rules_of_the_version(root, seeds):
    path = exported(root, seeds=seeds)
    found = golden_file.read(path, Path("out"))
    known = golden_set.read(root / "small/1/evidence/golden")
    assert (found.origin.model, found.origin.version, found.samples_in_version) == ("small", 1, COUNT)
    assert found.origin.config == (root / "small/config.pbtxt").read_text()
    assert len(found.seeded) == (6 if seeds else 0)
    assert ("inputs/0/0.npy" in members(path)) is not seeds
    assert (found.golden.rules, found.golden.floors) == (known.rules, known.floors)
    assert found.golden.samples.edges == known.samples.edges
    assert found.golden.exact
    assert known.exact
    pairs = (
        (found.golden.samples.files, known.samples.files),
        (found.golden.expected, known.expected),
        (found.golden.exact, known.exact),
    )
    for index in range(COUNT):
        for one, other in pairs:
            for name, array in arrays.load(other, index).items():
                got = arrays.load(one, index)[name]
                assert (got.dtype, got.shape) == (array.dtype, array.shape)
                assert got.tobytes() == array.tobytes()


def test_exporting_twice_gives_the_same_bytes_and_overwrites_no_file(root):
    one, other = exported(root, "a.golden"), exported(root, "b.golden")
    assert one.read_bytes() == other.read_bytes()
    with pytest.raises(UsageError, match="not overwritten"):
        exported(root, "a.golden")
    assert sorted(Path().glob("*a.golden*")) == [one]


@pytest.mark.parametrize("budget", [1, 3000, 4000, 8000])
def test_the_file_stays_within_its_budget_but_has_at_least_one_sample(root, budget):
    path = exported(root, budget=budget)
    count = golden_file.read(path, Path("out")).golden.samples.files.count
    assert 1 <= count <= COUNT
    assert path.stat().st_size <= budget or count == 1


def test_samples_that_do_not_fit_as_arrays_are_stored_by_their_seed(tmp_path):
    small_versions.publish(
        tmp_path / "models", 1, np.ones((4096, 2), np.float32), inputs={"x": {"shape": ["batch", 4096]}}, samples={"count": 8}
    )
    path = exported(tmp_path / "models", budget=100_000)
    found = golden_file.read(path, Path("out"))
    assert found.seeded == tuple(range(8))
    assert path.stat().st_size <= 100_000 < 8 * 4096 * 4


def test_samples_of_several_shapes_and_bfloat16_are_read_back_unchanged(tmp_path):
    from dataclasses import replace

    from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec

    sets = []
    for name, dtype in (("x", "bf16"), ("y", "fp32")):
        files = TensorFiles(directory=tmp_path / name, tensors=(TensorSpec(name=name, dtype=dtype, shape=(1, "n")),), count=4)
        for index in range(4):
            array = np.arange(1 + index % 2, dtype=np.float32)[None] + index
            arrays.save(files, index, {name: array.astype(arrays.numpy_dtype(dtype))})
        sets.append(files)
    known = golden_set.GoldenSet(
        samples=SampleSet(files=sets[0], batched=True, origin="a test"), expected=sets[1], max_batch_size=2, why_not="a test"
    )
    origin = golden_file.Origin(model="m", version=3, config="", created="", verdict="passed", versions={})
    golden_file.write(Path("m.golden"), origin, known, recipe=None)
    found = golden_file.read(Path("m.golden"), Path("out")).golden
    assert {place[0] for place in found.samples.files.packed or ()} == {0, 1}
    for index in range(4):
        for one, other in ((found.samples.files, sets[0]), (found.expected, sets[1])):
            assert {name: array.tolist() for name, array in arrays.load(one, index).items()} == {
                name: array.tolist() for name, array in arrays.load(other, index).items()
            }
    assert [list(each) for each in arrays.batches(found.samples, 2)] == [[0, 2], [1, 3]]
    again = golden_set.write(replace(found), tmp_path / "folder")  # from packs back to a version's folder
    assert arrays.load(again.expected, 3)["y"].tolist() == [[3.0, 4.0]]


def test_changed_contents_and_truncated_files_are_rejected(root):
    path = exported(root)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    survived = []
    for place in generator.integers(0, len(whole), 60).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            golden_workflow.look(path)
            survived.append(place)
        except RepositoryError as error:
            assert str(path) in str(error.where)
    # ZIP metadata that is not read (timestamps, permissions) may change; contents may not.
    untouched = golden_file.read(exported(root, "other.golden"), Path("whole"))
    for place in survived:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        found = golden_file.read(path, Path(f"out-{place}"))
        assert (found.origin, found.seeded) == (untouched.origin, untouched.seeded)
        for index in range(COUNT):
            assert (
                arrays.load(found.golden.expected, index)["y"].tobytes()
                == arrays.load(untouched.golden.expected, index)["y"].tobytes()
            )
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(RepositoryError, match="damaged") as caught:
            golden_workflow.look(path)
        assert caught.value.exit_code == 6


def test_the_error_names_a_changed_or_missing_member(root):
    path = exported(root)
    content = members(path)
    content["expected/0/0.npy"] = content["expected/0/0.npy"][:-4] + b"\0\0\0\1"
    rewrite(path, content, seal=False)
    with pytest.raises(RepositoryError) as caught:
        golden_workflow.look(path)
    assert "expected/0/0.npy" in str(caught.value.where)
    del content["expected/0/0.npy"]
    rewrite(path, content, seal=False)
    with pytest.raises(RepositoryError, match="damaged") as caught:
        golden_workflow.look(path)
    assert (caught.value.where, caught.value.found) == (f"{path}: expected/0/0.npy", "the member is missing")


@pytest.mark.parametrize("name", ["../evil.npy", "/tmp/evil.npy", "inputs/../../evil.npy", "evil.py", "inputs/0/0.npy/x"])
def test_a_member_with_an_unknown_name_is_rejected(root, name):
    path = exported(root)
    rewrite(path, {**members(path), name: b"evil"})
    with pytest.raises(RepositoryError) as caught:
        golden_file.read(path, Path("deep/out"))
    assert caught.value.found == "a golden file has no member of this name"
    assert not list(Path().rglob("evil*"))


def test_a_member_that_occurs_twice_is_rejected(root):
    path = exported(root)
    rewrite(path, members(path), twice="golden.json")
    with pytest.raises(RepositoryError) as caught:
        golden_workflow.look(path)
    assert caught.value.found == "the member occurs twice"


def test_a_zip_bomb_is_rejected_before_it_is_unpacked(root, monkeypatch):
    path = exported(root)
    monkeypatch.setattr(checksummed_archive, "LIMIT", 2**20)
    content = {**members(path), "inputs/0/0.npy": bytes(2**21)}
    rewrite(path, content)
    with pytest.raises(RepositoryError, match="larger than tritonize reads"):
        golden_file.read(path, Path("out"))
    assert not Path("out").exists() or not list(Path("out").iterdir())
    # A member that is larger than the index says is rejected.
    path.unlink()
    content = members(exported(root))
    rewrite(path, content)
    sealed_content = members(path)
    sealed_content["inputs/0/0.npy"] = bytes(2**19)
    rewrite(path, sealed_content, seal=False)
    with pytest.raises(RepositoryError) as caught:
        golden_file.read(path, Path("out2"))
    assert "bytes instead of" in str(caught.value.found)


def test_pickles_and_invalid_arrays_are_rejected(root):
    path = exported(root)
    content = members(path)
    np.save("pickled.npy", np.array([{"a": 1}] * 6, dtype=object), allow_pickle=True)
    for bad in (Path("pickled.npy").read_bytes(), b"no array at all"):
        rewrite(path, {**content, "expected/0/0.npy": bad})
        with pytest.raises(RepositoryError) as caught:
            golden_workflow.look(path)
        assert "expected/0/0.npy" in str(caught.value.where)


def test_invalid_facts_raise_a_repository_error(root):
    path = exported(root, seeds=True)
    content = members(path)
    facts = json.loads(content["golden.json"])
    for change in (
        {"packs": [[0, 0, 1]]},
        {"packs": []},
        {"schema": 9},
        {"set": None},
        {"seeds": {**facts["seeds"], "spec": {**facts["seeds"]["spec"], "inputs": {"x": {"shape": ["batch", 2**50]}}}}},
        {"seeds": {**facts["seeds"], "sha256": {"0": "0" * 64}}},
    ):
        rewrite(path, {**content, "golden.json": json.dumps({**facts, **change}).encode()})
        with pytest.raises(RepositoryError):
            golden_workflow.look(path)


def test_a_generated_sample_that_differs_is_an_error_that_names_numpy(root, monkeypatch):
    path = exported(root, seeds=True)
    drawn = golden_seeds.samples.generate
    monkeypatch.setattr(golden_seeds.samples, "generate", lambda *asked: {name: array + 1 for name, array in drawn(*asked).items()})
    with pytest.raises(RepositoryError, match="differs from the sample of the golden file") as caught:
        golden_workflow.look(path)
    assert f"NumPy {np.__version__}" in str(caught.value.expected)


def test_samples_from_files_cannot_be_stored_by_seed(tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.random.default_rng(1).random((4, 16), np.float32))
    small_versions.publish(tmp_path / "models", 1, samples={"files": str(tmp_path / "mine.npz")})
    with pytest.raises(UsageError, match="by its seed"):
        exported(tmp_path / "models", seeds=True)
    assert golden_file.read(exported(tmp_path / "models"), Path("out")).seeded == ()


def test_a_changed_version_is_not_exported(root, tmp_path):
    shutil.copytree(root, tmp_path / "models")
    target = tmp_path / "models/small/1/evidence/golden/expected/0/0.npy"
    target.write_bytes(target.read_bytes()[:-1] + b"\7")
    with pytest.raises(RepositoryError, match="changed after it was proven"):
        exported(tmp_path / "models")


def test_golden_show_prints_the_contents_of_a_file(root):
    done = tritonize("golden", "export", str(root), "small")
    assert done.returncode == 0, done.stderr
    assert "8 of the version's 8 samples" in done.stdout
    shown = tritonize("golden", "show", "small-1.golden")
    assert shown.returncode == 0
    assert "k at most 10" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    plain = json.loads(tritonize("golden", "show", "small-1.golden", "--json").stdout)
    assert (plain["samples"], plain["origin"]["version"]) == (COUNT, 1)
    absent = tritonize("golden", "show", "absent.golden")
    assert (absent.returncode, "golden file does not exist" in absent.stderr) == (2, True)


def test_the_json_report_of_many_checks_stays_small():
    from tritonize.core.reports import Check, Report, TensorCheck

    def check(index: int, passed: bool) -> Check:
        tensor = TensorCheck(
            name="y", passed=passed, reason=None if passed else "far", expected_shape=(1,), found_shape=(1,),
            expected_dtype="fp32", found_dtype="fp32", rtol=0.0, atol=0.0, max_abs=float(index), elements=1,
        )  # fmt: skip
        return Check(stage=StageName.GRPC, batch_size=1, samples=(index,), tensors=(tensor,))

    many = Report(
        command="verify",
        model="m",
        version=1,
        verdict="failed",
        checks=tuple(check(index, index != 9_999) for index in range(10_000)),
    )
    plain = report_text.as_json(many)
    assert len(plain["checks"]) == report_text.MAX_CHECKS + 1
    assert [each["samples"] for each in plain["checks"] if not each["passed"]] == [[9_999]]
    (row,) = plain["answers"]
    assert (row["answers"], row["failed"], row["max_abs"]) == (10_000, 1, 9_999.0)
