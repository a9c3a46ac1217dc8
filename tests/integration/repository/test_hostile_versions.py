"""Published versions with unexpected files in place of the listed ones: findings, no endless wait and no crash."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import small_versions
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.repository import manifest
from tritonize.workflows import checked_copy

CONFIG = Path("config.pbtxt")
MANIFEST = Path("1/evidence/manifest.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish one version; tests work on copies of the repository."""
    place = tmp_path_factory.mktemp("hostile") / "models"
    small_versions.publish(place, 1)
    return place


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Iterator[Path]:
    """Yield the model's directory in a copy of the repository; a test that takes more than 20 s fails."""

    def waited(*_: object) -> None:
        raise AssertionError("it waits")

    shutil.copytree(made, tmp_path / "models")
    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(20)
    yield tmp_path / "models" / "small"
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def findings(model: Path, folder: Path) -> dict[str, list[str]]:
    """Return the places of the findings of `serve` and `verify`, by command."""
    served = checked_copy.to_serve(model.parent, ["small"], folder / "serve")
    checked = checked_copy.check(model.parent, "small", 1, folder=folder / "verify")
    return {"serve": [each.where for each in served.findings], "verify": [each.where for each in checked.findings]}


def rewrite(model: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest, and update its own checksum, as an attacker would."""
    facts = json.loads((model / MANIFEST).read_text())
    change(facts)
    facts["sha256"] = manifest.own_sha256(facts)
    (model / MANIFEST).write_text(json.dumps(facts))


INSTEAD: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
    "a file of a tebibyte": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
}


@pytest.mark.parametrize("what", INSTEAD)
def test_instead_of_the_configuration(what: str, model: Path, tmp_path: Path) -> None:
    (model / CONFIG).unlink()
    INSTEAD[what](model / CONFIG)
    assert all("small/config.pbtxt" in found for found in findings(model, tmp_path).values())


@pytest.mark.parametrize("name", ["1/./model.onnx", "1//model.onnx", "./1/model.onnx"])
def test_a_file_that_is_listed_twice_under_other_names(name: str, model: Path, tmp_path: Path) -> None:
    rewrite(model, lambda facts: facts["files"].update({name: facts["files"]["1/model.onnx"]}))
    assert all(f"small/{name}" in found for found in findings(model, tmp_path).values())


@pytest.mark.parametrize("size", [-1, -2, -7, True, 10**400, 2**63])
def test_an_invalid_size(size: int, model: Path, tmp_path: Path) -> None:
    rewrite(model, lambda facts: facts["files"]["1/model.onnx"].update(bytes=size))
    with pytest.raises(RepositoryError) as error:
        findings(model, tmp_path)
    assert error.value.code == "manifest-damaged"


def test_an_older_format_number_does_not_disable_the_manifests_checksum(model: Path, tmp_path: Path) -> None:
    text = (model / MANIFEST).read_text()
    (model / MANIFEST).write_text(text.replace('"schema": 2', '"schema": 1', 1))
    assert all(f"small/{MANIFEST}" in found for found in findings(model, tmp_path).values())


@pytest.mark.parametrize("instead", [Path.touch, Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/nowhere")])
def test_evidence_without_a_manifest_is_an_error(instead: Callable[[Path], object], model: Path, tmp_path: Path) -> None:
    (model / MANIFEST).unlink()
    for step in (lambda _: None, instead):
        step(model / MANIFEST)
        shutil.rmtree(tmp_path / "serve", ignore_errors=True)
        with pytest.raises(RepositoryError):
            checked_copy.to_serve(model.parent, ["small"], tmp_path / "serve")


def test_a_folder_whose_name_is_not_utf8(model: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"small\xff")
    shutil.copytree(model, model.parent / name)
    with pytest.raises(UsageError) as error:
        checked_copy.to_serve(model.parent, ["small", name], tmp_path / "serve")
    assert error.value.code == "server-no-model-name"
