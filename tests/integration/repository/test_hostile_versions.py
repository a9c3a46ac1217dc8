"""Published versions whose files are not what a manifest expects: findings, neither a wait without end nor a bug of ours."""

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
    """A repository with one version; tests take copies."""
    place = tmp_path_factory.mktemp("hostile") / "models"
    small_versions.publish(place, 1)
    return place


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The model's directory in a copy; a test that waits fails."""

    def waited(*_: object) -> None:
        raise AssertionError("it waits")

    shutil.copytree(made, tmp_path / "models")
    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(20)
    yield tmp_path / "models" / "small"
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def findings(model: Path, folder: Path) -> dict[str, list[str]]:
    """What `serve` and `verify` find, by command."""
    served = checked_copy.to_serve(model.parent, ["small"], folder / "serve")
    checked = checked_copy.check(model.parent, "small", 1, folder=folder / "verify")
    return {"serve": [each.where for each in served.findings], "verify": [each.where for each in checked.findings]}


def reseal(model: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A manifest changed by who also writes its sum."""
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
    reseal(model, lambda facts: facts["files"].update({name: facts["files"]["1/model.onnx"]}))
    assert all(f"small/{name}" in found for found in findings(model, tmp_path).values())


@pytest.mark.parametrize("size", [-1, -2, -7, True, 10**400, 2**63])
def test_a_size_that_is_none(size: int, model: Path, tmp_path: Path) -> None:
    reseal(model, lambda facts: facts["files"]["1/model.onnx"].update(bytes=size))
    with pytest.raises(RepositoryError) as error:
        findings(model, tmp_path)
    assert error.value.code == "manifest-damaged"


def test_one_digit_of_the_manifest_does_not_switch_its_own_sum_off(model: Path, tmp_path: Path) -> None:
    text = (model / MANIFEST).read_text()
    (model / MANIFEST).write_text(text.replace('"schema": 2', '"schema": 1', 1))
    assert all(f"small/{MANIFEST}" in found for found in findings(model, tmp_path).values())


@pytest.mark.parametrize("instead", [Path.touch, Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/nowhere")])
def test_evidence_without_a_manifest_is_not_taken_for_a_model_that_never_had_one(
    instead: Callable[[Path], object], model: Path, tmp_path: Path
) -> None:
    (model / MANIFEST).unlink()
    for step in (lambda _: None, instead):
        step(model / MANIFEST)
        shutil.rmtree(tmp_path / "serve", ignore_errors=True)
        with pytest.raises(RepositoryError):
            checked_copy.to_serve(model.parent, ["small"], tmp_path / "serve")


def test_a_folder_whose_name_is_no_text(model: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"small\xff")
    shutil.copytree(model, model.parent / name)
    with pytest.raises(UsageError) as error:
        checked_copy.to_serve(model.parent, ["small", name], tmp_path / "serve")
    assert error.value.code == "server-no-model-name"
