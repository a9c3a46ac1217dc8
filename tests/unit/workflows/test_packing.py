"""`tritonize pack` reads each file once, and writes what the manifest says or nothing."""

from __future__ import annotations

import os
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
