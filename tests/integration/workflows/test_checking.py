"""What is served is what was hashed, and what was found changed is not served."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import small_versions
from tritonize import repository
from tritonize.cli import run as cli_run
from tritonize.core.artifacts import PublishedVersion
from tritonize.core.errors import InterruptedRunError, RepositoryError
from tritonize.repository import manifest, private_copy
from tritonize.spec import schema
from tritonize.triton import serving
from tritonize.workflows import checked_copy, config_conflict
from tritonize.workflows import diff as diff_workflow
from tritonize.workflows import verify as verify_workflow

ROOT = Path("models")
MODEL = ROOT / "small"
VERSION = MODEL / "1"


def change_backend(folder: Path) -> None:
    """As in an attack: a version whose files are programs, with a configuration that runs them."""
    path = folder / "config.pbtxt"
    path.write_text(path.read_text().replace('backend: "onnxruntime"', 'backend: "python"'))
    (folder / "1" / "model.py").write_text("raise SystemExit")


def reword(folder: Path) -> None:
    """A manifest changed in a fact that no file shows."""
    path = folder / "1" / "evidence" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": "yesterday"}))


def link_away(path: Path) -> None:
    path.symlink_to(path.rename("away").absolute())


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


GOLDEN = "1/evidence/golden/golden.json"
DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "model": (lambda folder: (folder / "1" / "model.onnx").write_bytes(b"other"), "small/1/model.onnx"),
    "longer": (lambda folder: append(folder / "1" / "model.onnx", "x"), "small/1/model.onnx"),
    "configuration": (lambda folder: append(folder / "config.pbtxt", "# x\n"), "small/config.pbtxt"),
    "program": (change_backend, "small/1/model.py"),
    "golden": (lambda folder: (folder / GOLDEN).write_text("{}"), f"small/{GOLDEN}"),
    "manifest": (reword, "small/1/evidence/manifest.json"),
    "stray file": (lambda folder: (folder / "model.py").touch(), "small/model.py"),
    "configs": (lambda folder: (folder / "configs").mkdir(), "small/configs"),
    "leading zero": (lambda folder: (folder / "01").mkdir(), "small/01"),
    "link": (lambda folder: (folder / "1" / "more").symlink_to("/etc"), "small/1/more"),
    "link beside": (lambda folder: (folder / "more").symlink_to("/etc/passwd"), "small/more"),
    "exchanged for a link": (lambda folder: link_away(folder / "1" / "model.onnx"), "small/1/model.onnx"),
    "pipe": (lambda folder: ((folder / "1" / "model.onnx").unlink(), os.mkfifo(folder / "1" / "model.onnx")), "small/1/model.onnx"),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one version; tests take copies."""
    place = tmp_path_factory.mktemp("checking") / "models"
    small_versions.publish(place, 1)
    return place


@pytest.fixture
def published(made: Path) -> None:
    """The repository in the test's own folder."""
    shutil.copytree(made, ROOT)


@pytest.fixture
def never_served(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("it was served")

    monkeypatch.setattr(serving, "serve", refuse)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_changed_file_is_a_finding_and_is_not_served(name, never_served, published):
    assert repository.integrity(ROOT, "small", 1) == ()
    damage, where = DAMAGES[name]
    damage(MODEL)
    (report,) = verify_workflow.verify(verify_workflow.Request(repository=ROOT))
    assert report.verdict == "failed"
    assert where in {finding.where for finding in report.findings}
    found = checked_copy.to_serve(ROOT, ["small"], Path("to serve"))
    assert where in {finding.where for finding in found.findings}


class ServedError(Exception):
    """Stands for the server: it carries what the server was given."""


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """Configuration and model that a server is started on; the server itself never starts."""
    found: list[tuple[str, bytes]] = []

    @contextlib.contextmanager
    def note(root: Path, **_options: Any) -> Iterator[None]:
        found.append(((root / "small" / "config.pbtxt").read_text(), next((root / "small").glob("*/model.onnx")).read_bytes()))
        raise ServedError
        yield

    monkeypatch.setattr(serving, "serve", note)
    return found


def test_a_file_exchanged_after_the_check_is_not_served(given, monkeypatch, published):
    right = (VERSION / "model.onnx").read_bytes()
    own = checked_copy.check

    def exchange(*arguments: Any, **options: Any) -> checked_copy.Checked:
        found = own(*arguments, **options)
        change_backend(MODEL)
        (VERSION / "model.onnx").write_bytes(b"other")
        return found

    monkeypatch.setattr(checked_copy, "check", exchange)
    with pytest.raises(ServedError):
        verify_workflow.verify(verify_workflow.Request(repository=ROOT))
    assert [(content == right, "python" in config) for config, content in given] == [(True, False)]


def test_serve_anyway_serves_the_changed_file_and_the_verdict_is_failed(given, published):
    (VERSION / "model.onnx").write_bytes(b"other")
    with pytest.raises(ServedError):
        verify_workflow.verify(verify_workflow.Request(repository=ROOT, serve_anyway=True))
    assert given[0][1] == b"other"


def test_a_file_too_large_to_copy_is_served_in_place_and_hashed_again(published):
    checked = checked_copy.check(ROOT, "small", 1, folder=Path("private"), budget=400)
    assert checked.findings == ()
    assert "small/1/model.onnx" in [each.where for each in checked.in_place]
    assert (checked.version_directory / "model.onnx").is_symlink()
    assert any("hashed again" in note for note in checked.notes)
    assert checked.changed_in_place() == ()
    (VERSION / "model.onnx").write_bytes(b"other")
    assert [finding.where for finding in checked.changed_in_place()] == ["small/1/model.onnx"]


def test_on_a_filesystem_with_reflinks_every_file_is_copied(monkeypatch, published):
    """The ioctl is the kernel's; here it is stood in for by a copy."""

    def clone(copy: int, request: int, source: int) -> None:
        assert request == 0x40049409
        os.write(copy, os.pread(source, os.fstat(source).st_size, 0))
        os.lseek(copy, 0, os.SEEK_SET)

    monkeypatch.setattr(private_copy.fcntl, "ioctl", clone)
    checked = checked_copy.check(ROOT, "small", 1, folder=Path("private"), budget=0)
    assert (checked.findings, checked.in_place) == ((), ())
    assert (checked.version_directory / "model.onnx").read_bytes() == (VERSION / "model.onnx").read_bytes()


def replaced() -> None:
    small_versions.publish(ROOT, 1, max_batch_size=4)
    small_versions.publish(ROOT, 2, max_batch_size=8)


def test_an_older_version_is_verified_with_its_own_configuration(given):
    replaced()
    checked = checked_copy.check(ROOT, "small", 1, folder=Path("private"))
    assert checked.findings == ()
    assert "max_batch_size: 4" in (checked.root / "small" / "config.pbtxt").read_text()
    assert checked.own_config
    with pytest.raises(ServedError):
        verify_workflow.verify(verify_workflow.Request(repository=ROOT, version=1))
    assert "max_batch_size: 4" in given[0][0]
    # The newest version has only the present configuration, and one that no version was proven with is a finding for both.
    (MODEL / "config.pbtxt").write_text((VERSION / "evidence" / "config.pbtxt").read_text())
    assert [each.where for each in repository.integrity(ROOT, "small", 2)] == ["small/config.pbtxt"]
    (MODEL / "config.pbtxt").write_text("# nobody's")
    assert [each.where for each in repository.integrity(ROOT, "small", 1)] == ["small/config.pbtxt"]


def test_a_note_names_versions_served_with_another_configuration(given):
    policy = {"triton": {"version_policy": {"all": {}}}}
    small_versions.publish(ROOT, 1, max_batch_size=4, **policy)
    small_versions.publish(ROOT, 2, max_batch_size=8, **policy)
    assert checked_copy.unlike_config(ROOT, "small") == (1,)
    found = checked_copy.to_serve(ROOT, ["small"], Path("to serve"))
    assert found.findings == []
    assert [each.version for each in found.checked] == [1, 2]
    assert "max_batch_size: 8" in (found.root / "small" / "config.pbtxt").read_text()
    assert not (found.root / "small" / "config.pbtxt").is_symlink()
    assert (found.root / "small" / "1" / "model.onnx").read_bytes() == (VERSION / "model.onnx").read_bytes()
    (MODEL / "3").mkdir()  # put there by hand, and served by the policy
    found = checked_copy.to_serve(ROOT, ["small"], Path("again"))
    assert [each.where for each in found.findings] == ["small/3"]
    assert [each.where for each in checked_copy.older_findings(ROOT, "small", 2)] == ["small/3"]


def test_a_configuration_that_will_differ_is_an_error_before_the_export():
    small_versions.publish(ROOT, 1, max_batch_size=4)
    described = {"source": "small.pt", "inputs": {"x": {"shape": ["batch", 16]}}, "max_batch_size": 4, "outputs": {"y": {}}}

    def require(**changes: Any) -> None:
        config_conflict.require_none(ROOT, "small", schema.Model.model_validate({**described, **changes}))

    require()
    Path("labels.txt").write_text("a\nb\n")
    for changes, line in (
        ({"max_batch_size": 8}, "max_batch_size: 4 -> 8"),
        ({"triton": {"instance_group": [{"count": 2}]}}, 'instance_group: not set -> [{"count": 2}]'),
        ({"outputs": {"y": {"labels": "labels.txt"}}}, "label_filename of y: not set -> labels_y."),
        ({"backend": "tensorrt"}, "platform: onnxruntime_onnx -> tensorrt_plan"),
    ):
        with pytest.raises(RepositoryError) as caught:
            require(**changes)
        assert caught.value.code == "repository-config-differs"
        assert any(each.startswith(line) for each in caught.value.details), caught.value.details
    config_conflict.require_none(ROOT, "another", schema.Model.model_validate({**described, "max_batch_size": 8}))


def test_with_an_unreadable_configuration_every_version_is_still_checked(published):
    (MODEL / "config.pbtxt").write_text("unheard_of: 1\n")
    (VERSION / "model.onnx").write_bytes(b"other")
    found = checked_copy.to_serve(ROOT, ["small"], Path("to serve"))
    assert {"small/config.pbtxt", "small/1/model.onnx"} <= {each.where for each in found.findings}
    assert not any("unchanged since publication" in note for note in found.notes)


def test_a_version_without_evidence_is_served_with_a_note():
    (ROOT / "plain" / "1").mkdir(parents=True)
    (ROOT / "plain" / "config.pbtxt").write_text('name: "plain"')
    found = checked_copy.to_serve(ROOT, ["plain"], Path("to serve"))
    assert (found.findings, found.checked) == ([], [])
    assert any("plain version 1 has no evidence" in note for note in found.notes)
    assert (found.root / "plain" / "config.pbtxt").is_file()


def test_diff_does_not_serve_a_changed_version(never_served):
    small_versions.publish(ROOT, 1)
    small_versions.publish(ROOT, 2)
    (VERSION / "model.onnx").write_bytes(b"other")
    found = diff_workflow.diff(diff_workflow.Request(repository=ROOT, model="small", before=1, after=2))
    assert (found.verdict, [each.where for each in found.findings]) == ("failed", ["small/1/model.onnx"])


def test_the_manifest_has_its_own_checksum_and_an_older_one_gets_a_note(published):
    path = VERSION / "evidence" / "manifest.json"
    known = json.loads(path.read_text())
    assert (known["schema"], known["sha256"]) == (2, manifest.own_sha256(known))
    path.write_text(json.dumps({key: known[key] for key in sorted(known, reverse=True)}))  # a different order is the same content
    assert repository.integrity(ROOT, "small", 1) == ()
    path.write_text(json.dumps({**{key: value for key, value in known.items() if key != "sha256"}, "schema": 1}))
    assert repository.integrity(ROOT, "small", 1) == ()
    assert any("without its own checksum" in note for note in checked_copy.check(ROOT, "small", 1, folder=Path("private")).notes)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '{"schema": 3}', '{"schema": 2, "files": {"a": 1}}', "\x00"])
def test_an_invalid_manifest_is_an_error(text):
    (VERSION / "evidence").mkdir(parents=True)
    (VERSION / "evidence" / "manifest.json").write_text(text)
    with pytest.raises(RepositoryError) as caught:
        repository.read_manifest(VERSION)
    assert caught.value.code in ("manifest-damaged", "manifest-other-kind")


def test_a_listed_path_outside_the_model_is_not_read(published):
    path = VERSION / "evidence" / "manifest.json"
    known = json.loads(path.read_text())
    known["files"]["../../outside"] = {"sha256": "0", "bytes": 5}
    known["sha256"] = manifest.own_sha256(known)
    path.write_text(json.dumps(known))
    Path("outside").write_text("mine")
    checked = checked_copy.check(ROOT, "small", 1, folder=Path("private"))
    assert [(each.where, each.found) for each in checked.findings] == [("small/../../outside", None)]


def test_a_full_disk_for_the_private_copy_is_exit_code_6(published):
    """A limit on the file size stands in for a full disk: both occur when the private copy is written."""
    for command in (["verify", "models"], ["serve", "models", "--http-port", "0", "--grpc-port", "0"]):
        limited = ["prlimit", "--fsize=500", str(Path(sys.executable).with_name("tritonize")), *command]
        done = subprocess.run(limited, capture_output=True, text=True, timeout=60)
        assert done.returncode == 6, done.stderr
        assert "exceeds the size limit" in " ".join(done.stderr.split())


def test_an_interrupted_run_names_the_versions_already_published():
    published = [PublishedVersion(repository=ROOT, model=name, version=2) for name in ("one", "two")]
    with pytest.raises(InterruptedRunError) as caught, cli_run._listing_published(published, ["one", "two", "three"]):
        raise KeyboardInterrupt
    assert (caught.value.code, caught.value.exit_code) == ("interrupted-published", 130)
    assert "2 of 3 models" in caught.value.what
    assert "two version 2" in caught.value.what
    with pytest.raises(KeyboardInterrupt), cli_run._listing_published([], ["one"]):
        raise KeyboardInterrupt
