"""What `tritonize push` prints about several models."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import plain_versions
from tests.support.command import invoke


def test_models_before_an_error_are_listed_and_the_error_is_the_true_one(tmp_path: Path) -> None:
    root = tmp_path / "models"
    for name in ("first", "second"):
        plain_versions.publish(root, "model", name=name)
    (root / "second" / "config.pbtxt").write_text('max_batch_size: "x"')
    done = invoke("push", str(root), f"file://{tmp_path / 'store'}")
    assert done.returncode == 2, done.stderr
    assert done.stdout == "first version 1: published\n"
    assert "Invalid model configuration" in done.stderr


def test_what_a_server_does_next_fits_the_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain_versions.publish(Path("models"), "model")
    done = invoke("push", "models", f"file://{tmp_path / 'store'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("m version 1: published\nA server that polls")
    assert all(len(line) <= 80 or "/" in line for line in done.stdout.splitlines())
