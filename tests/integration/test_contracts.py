"""The import contracts bite: each is broken on purpose in a copy of the package, and `lint-imports` names it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import CHECKOUT

FLOORS = "Nine floors"
WORKERS = "A worker is started by its task, never imported by the front"
HEAVY = "torch, onnx, onnxruntime live in worker folders"
CIRCLES = "No circles between siblings"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's Python files beside the contracts."""
    root = tmp_path_factory.mktemp("contracts")
    only_python = shutil.ignore_patterns("__pycache__", "*.lock", "py.typed")
    shutil.copytree(CHECKOUT / "tritonize", root / "tritonize", ignore=only_python)
    shutil.copy(CHECKOUT / ".importlinter", root)
    return root


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    env = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_the_unchanged_copy_keeps_all_contracts(package: Path) -> None:
    done = lint(package)
    assert done.returncode == 0, done.stdout
    for each in (FLOORS, WORKERS, HEAVY, CIRCLES):
        assert f"{each} KEPT" in done.stdout


@pytest.mark.parametrize(
    ("contract", "files"),
    [
        pytest.param(FLOORS, {"core/planted.py": "from tritonize.workflows import run"}, id="up"),
        pytest.param(FLOORS, {"export/planted.py": "from tritonize.precision import reduction"}, id="on one floor"),
        pytest.param(FLOORS, {"planted/__init__.py": ""}, id="a folder without a floor"),
        pytest.param(FLOORS, {"backends/plans/planted.py": "from tritonize.core import errors"}, id="a backend"),
        pytest.param(WORKERS, {"export/planted.py": "def late():\n    from tritonize.export.worker import strategies"}, id="own"),
        pytest.param(WORKERS, {"workflows/planted.py": "from tritonize.locate.worker import node_errors"}, id="another's worker"),
        pytest.param(HEAVY, {"quality/planted.py": "def late():\n    import torch"}, id="torch"),
        pytest.param(HEAVY, {"reference/planted.py": "import onnx.helper"}, id="onnx"),
        pytest.param(HEAVY, {"triton/planted.py": "from onnxruntime import InferenceSession"}, id="onnxruntime"),
        pytest.param(
            CIRCLES,
            {f"plans/planted_{a}.py": f"from tritonize.plans import planted_{b}" for a, b in ("ab", "ba")},
            id="in a folder",
        ),
    ],
)
def test_a_planted_violation_breaks_its_contract(package: Path, contract: str, files: dict[str, str]) -> None:
    planted = []
    try:
        for name, text in files.items():
            path = package / "tritonize" / name
            if not path.parent.is_dir():
                path.parent.mkdir()
                planted.append(path.parent)
            path.write_text(f"{text}\n")
            planted.append(path)
        done = lint(package)
        assert done.returncode != 0
        assert "planted" in done.stdout
        assert f"{contract} BROKEN" in done.stdout or "planted/__init__.py" in files, done.stdout
    finally:
        for path in reversed(planted):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
