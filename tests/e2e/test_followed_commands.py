"""Next steps whose commands start a server: each error is made, and its commands are run as they are printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import next_steps, small_versions
from tests.support.command import tritonize

pytestmark = pytest.mark.slow

PLACE = Path("models")
MODEL = PLACE / "small"


def follow(line: str) -> subprocess.CompletedProcess[str]:
    """Run a command that fails, then the commands of its next step; the last one's result."""
    failed = tritonize(*line.split())
    commands = [each for each in next_steps.commands(next_steps.printed(failed.stderr)) if each.whole]
    assert (failed.returncode != 0, commands != []) == (True, True), failed.stderr
    results = [tritonize(*command.words[1:]) for command in commands]
    return results[-1]


def test_a_version_without_evidence_is_adopted():
    shutil.rmtree(small_versions.publish(PLACE, 1) / "evidence")
    done = follow("golden export models small")
    assert done.returncode == 0, done.stderr
    assert tritonize("golden", "export", "models", "small").returncode == 0


def test_another_version_is_compared():
    small_versions.publish(PLACE, 1)
    small_versions.publish(PLACE, 2)
    done = follow("diff models small 2 2")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_configuration_that_triton_makes_is_written_and_proven():
    shutil.rmtree(small_versions.publish(PLACE, 1) / "evidence")
    (MODEL / "config.pbtxt").unlink()
    assert tritonize("adopt", "models").returncode == 0
    refused = follow("push models file:///nowhere")
    assert refused.returncode != 0
    line = next_steps.printed(refused.stderr).partition(": rm -r ")[2]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", f"rm -r {line}"], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (MODEL / "config.pbtxt").is_file()
    assert tritonize("list", "models", "--json").stdout.count('"passed"') == 1


def test_a_changed_version_is_explained():
    version = small_versions.publish(PLACE, 1)
    (version / "model.onnx").write_bytes(b"other")
    done = follow("bench models --model small --url http://127.0.0.1:9")
    assert done.returncode == 1
    assert "the file was changed after it was proven" in done.stdout
