"""`tritonize pack` reads each file once, and writes what the manifest says or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import plain_versions
from tritonize.core.errors import RepositoryError
from tritonize.workflows import packing

PLACE = Path("models")


def _read() -> int:
    """Bytes that this process has read so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))


def test_a_model_is_read_once_and_readable_by_everybody() -> None:
    content = "x" * (20 << 20)
    plain_versions.publish(Path("small"), "small")
    packing.pack(Path("small"), Path("warm"))  # so that no module is imported below
    plain_versions.publish(PLACE, content)
    before, mask = _read(), os.umask(0o022)
    try:
        packed = packing.pack(PLACE, Path("out"))
    finally:
        os.umask(mask)
    assert _read() - before < 1.1 * len(content)
    assert packed.versions == {"m": (1,)}
    files = {path.relative_to("out").as_posix(): path for path in Path("out").rglob("*") if path.is_file()}
    assert sorted(files) == ["m/1/model.onnx", "m/config.pbtxt"]
    assert files["m/1/model.onnx"].read_text() == content
    assert {oct(path.stat().st_mode & 0o777) for path in files.values()} == {"0o644"}


@pytest.mark.parametrize("content", ["tw", "two and more", ""])
def test_a_changed_file_leaves_nothing(content: str) -> None:
    plain_versions.publish(PLACE, "two")
    (PLACE / "m/1/model.onnx").write_text(content)
    with pytest.raises(RepositoryError, match=r"changed") as refused:
        packing.pack(PLACE, Path("out"))
    assert "m/1/model.onnx" in str(refused.value)
    assert sorted(os.listdir()) == ["home", "models"]


def _by_hand(name: str, config: str = 'backend: "onnxruntime"\n') -> Path:
    version = PLACE / name / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_text(name)
    (PLACE / name / "config.pbtxt").write_text(config)
    return version


def _pipe(version: Path) -> None:
    os.mkfifo(version / "pipe")


def _dangling(version: Path) -> None:
    (version / "link").symlink_to("nowhere")


def _circle(version: Path) -> None:
    (version / "inner").mkdir()
    (version / "inner" / "link").symlink_to("..")


@pytest.mark.parametrize("spoil", [_pipe, _dangling, _circle])
def test_an_entry_that_cannot_be_copied_is_named(spoil: Callable[[Path], None]) -> None:
    spoil(_by_hand("a"))
    with pytest.raises(RepositoryError, match="nothing was packed") as refused:
        packing.pack(PLACE, Path("out"))
    assert str(refused.value.where).startswith("models/a/1/")
    assert sorted(os.listdir()) == ["home", "models"]


def test_a_configuration_that_cannot_be_read_is_no_question_of_removal() -> None:
    _by_hand("a", "input [")
    with pytest.raises(RepositoryError, match="Nothing of it was changed"):
        packing.pack(PLACE, Path("out"))


def test_an_ensemble_brings_the_models_of_its_steps() -> None:
    step = 'ensemble_scheduling {{ step [ {{ model_name: "{}" model_version: -1 }} ] }}\n'
    _by_hand("outer", 'platform: "ensemble"\n' + step.format("inner"))
    _by_hand("inner", 'platform: "ensemble"\n' + step.format("leaf"))
    for name in ("leaf", "other"):
        _by_hand(name)
    assert sorted(packing.pack(PLACE, Path("out"), ["outer"]).versions) == ["inner", "leaf", "outer"]
    assert sorted(os.listdir("out")) == ["inner", "leaf", "outer"]
