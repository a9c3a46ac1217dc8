"""Evidence beside the repository, and none at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.command import invoke
from tests.support.plain_versions import config, publish
from tritonize import repository
from tritonize.core import durable_files
from tritonize.core.errors import RepositoryError
from tritonize.repository import evidence_place
from tritonize.workflows import checked_copy, packing, promotion, pruning

PLACE = Path("models")
APART = Path("models.evidence")


def test_a_version_with_evidence_outside_has_the_model_alone(tmp_path):
    assert publish(PLACE, "one", place="outside") == 1
    assert sorted(str(path.relative_to(PLACE)) for path in PLACE.rglob("*")) == ["m", "m/1", "m/1/model.onnx", "m/config.pbtxt"]
    assert sorted(path.name for path in (APART / "m" / "1").iterdir()) == ["config.pbtxt", "manifest.json", "report.json"]
    assert repository.integrity(PLACE, "m", 1) == ()
    assert "1/evidence/report.json" in repository.read_manifest(PLACE / "m" / "1")["files"]
    checked = checked_copy.check(PLACE, "m", 1, folder=tmp_path / "private")
    assert checked.findings == ()
    assert (checked.version_directory / "evidence" / "report.json").is_file()  # the private copy has it in its usual place
    listed = json.loads(invoke("list", "models", "--json").stdout)["models"][0]["versions"][0]
    assert (listed["verdict"], listed["bytes"]) == ("passed", 3)
    assert listed["evidence_bytes"] > 100
    assert invoke("show", "models", "m").returncode == 0
    assert invoke("report", "models", "--json").stdout == '{\n  "reports": [\n    {}\n  ]\n}\n'
    assert sorted(os.listdir()) == ["home", "models", "models.evidence", "private"]


@pytest.mark.parametrize(
    ("damage", "where", "what"),
    [
        (lambda: (APART / "m/1/report.json").write_text("{ }"), "m/1/evidence/report.json", "was changed"),
        (lambda: (APART / "m/1/report.json").unlink(), "m/1/evidence/report.json", "is missing"),
        (lambda: (APART / "m/1/more").touch(), "m/1/evidence/more", "is not in the manifest"),
        (lambda: (PLACE / "m/1/model.onnx").write_text("two"), "m/1/model.onnx", "was changed"),
    ],
)
def test_damage_outside_is_named_as_damage_inside(damage, where, what):
    publish(PLACE, "one", place="outside")
    damage()
    (finding,) = repository.integrity(PLACE, "m", 1)
    assert finding.where == where
    assert what in finding.what


def test_lint_compares_files_with_evidence_outside():
    publish(PLACE, "one", place="outside")
    rules = {each["rule"] for each in json.loads(invoke("lint", "models", "--json").stdout)["diagnostics"]}
    assert not {"TR901", "TR902", "TR903"} & rules
    (PLACE / "m/1/model.onnx").write_text("two")
    rules = {each["rule"] for each in json.loads(invoke("lint", "models", "--json").stdout)["diagnostics"]}
    assert "TR901" in rules
    publish(PLACE, "two", place="none")
    rules = {each["rule"] for each in json.loads(invoke("lint", "models", "--json").stdout)["diagnostics"]}
    assert "TR903" in rules


def test_evidence_inside_counts_before_evidence_outside():
    publish(PLACE, "one", place="outside")
    (PLACE / "m/1/evidence").mkdir()
    with pytest.raises(RepositoryError) as caught:
        repository.read_manifest(PLACE / "m/1")
    assert caught.value.code == "version-no-evidence"


def test_a_link_instead_of_the_folder_outside_is_no_evidence():
    publish(PLACE, "one", place="outside")
    (APART / "m/1").rename("elsewhere")
    (APART / "m/1").symlink_to(Path("elsewhere").absolute())
    assert not repository.has_evidence(PLACE / "m/1")


def test_rollback_publish_and_prune_with_evidence_outside():
    for number in range(1, 5):
        publish(PLACE, str(number), text=config(size=number), place="outside" if number % 2 else "inside")
    promotion.rollback(promotion.Request(repository=PLACE, model="m", version=3))
    assert repository.pinned(PLACE / "m") == 3
    assert [repository.integrity(PLACE, "m", version) for version in (1, 2, 3, 4)] == [()] * 4
    (removal,) = pruning.prune(pruning.Request(repository=PLACE, keep=1))
    assert removal.removed == (1, 2)
    assert sorted(path.name for path in (APART / "m").iterdir()) == ["3"]


def test_evidence_of_a_killed_run_is_never_taken_for_another_version_and_is_pruned():
    publish(PLACE, "one", place="outside")
    shutil.copytree(APART / "m/1", APART / "m/2")  # killed between the two moves
    assert publish(PLACE, "two", place="outside") == 3
    assert repository.integrity(PLACE, "m", 3) == ()
    pruning.prune(pruning.Request(repository=PLACE, keep=9))
    assert sorted(path.name for path in (APART / "m").iterdir()) == ["1", "3"]


def test_an_error_while_publishing_leaves_no_evidence_outside(monkeypatch):
    publish(PLACE, "one", place="outside")
    real = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if Path(target) == PLACE.absolute() / "m" / "2":
            raise PermissionError(13, "refused", str(target))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(RepositoryError):
        publish(PLACE, "two", place="outside", allow_change=False)
    assert sorted(path.name for path in (APART / "m").iterdir()) == ["1"]
    assert repository.versions(PLACE, "m") == (1,)


def test_a_version_without_evidence_is_said_to_have_none():
    publish(PLACE, "one", place="none")
    assert sorted(path.name for path in (PLACE / "m/1").iterdir()) == ["model.onnx"]
    assert "no evidence" in invoke("list", "models").stdout
    done = invoke("verify", "models")
    assert (done.returncode, "NOT PROVEN m version 1" in done.stdout) == (3, True)
    assert invoke("promote", "models", "m", "1").returncode == 6
    assert not APART.exists()


def test_pack_writes_what_is_served_and_nothing_else():
    for number in (1, 2, 3):
        publish(PLACE, str(number), text=config(size=number), place="outside" if number == 2 else "inside")
    publish(PLACE, "other", name="n", text=config("n") + 'output { name: "y" label_filename: "y.txt" }\n')
    (PLACE / "n" / "y.txt").write_text("a\n")
    (PLACE / "n" / "1" / "evidence" / "more").mkdir()
    shutil.rmtree(PLACE / "n" / "1" / "evidence")
    promotion.rollback(promotion.Request(repository=PLACE, model="m"))
    done = invoke("pack", "models", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("Wrote out: 5 files, ")
    assert "n version 1 has no evidence, so its files were copied without a check." in done.stdout
    assert {str(path.relative_to("out")): path.read_text() for path in Path("out").rglob("*") if path.is_file()} == {
        "m/config.pbtxt": (PLACE / "m" / "config.pbtxt").read_text(),
        "m/2/model.onnx": "2",
        "n/config.pbtxt": (PLACE / "n" / "config.pbtxt").read_text(),
        "n/y.txt": "a\n",
        "n/1/model.onnx": "other",
    }
    assert {path.stat().st_mode & 0o444 for path in Path("out").rglob("*")} == {0o444}  # a server of another user reads them
    again = invoke("pack", "models", "out", "--json")
    assert (again.returncode, json.loads(again.stdout)["error"]["code"]) == (6, "pack-exists")
    assert json.loads(invoke("pack", "models", "models/out", "--json").stdout)["error"]["code"] == "pack-inside"
    (PLACE / "m/2/model.onnx").write_text("changed")
    changed = invoke("pack", "models", "other")
    assert changed.returncode == 6
    assert "m/2/model.onnx: the file was changed after it was proven" in changed.stderr
    assert sorted(os.listdir()) == ["home", "models", "models.evidence", "out"]


def test_a_model_that_serves_nothing_is_not_packed():
    publish(PLACE, "one", text=config(policy="version_policy { specific { versions: 7 } }\n"))
    with pytest.raises(RepositoryError) as caught:
        packing.pack(PLACE, Path("out"))
    assert caught.value.code == "pack-nothing"
    assert sorted(os.listdir()) == ["home", "models"]


def test_a_full_disk_leaves_no_half_of_a_pack(monkeypatch):
    publish(PLACE, "one")
    monkeypatch.setattr(durable_files, "sync_tree", lambda _folder: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert invoke("pack", "models", "out").returncode == 6
    assert sorted(os.listdir()) == ["home", "models"]


def test_the_folder_outside_is_beside_the_repository():
    assert evidence_place.outside(Path("a/models/m/7")) == Path("a/models.evidence/m/7").absolute()
