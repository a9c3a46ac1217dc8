"""What makes a test a unit test: no torch, no ONNX, no ONNX Runtime, and no process. Whatever needs one fails here."""

from __future__ import annotations

import multiprocessing.process
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
HEAVY = ("torch", "onnx", "onnxruntime")


class _Barred:
    """A finder that finds nothing and fails the test, or the collection, that asks for a heavy package.

    Where other kinds of tests run in the same process, those packages are there already and nobody asks; so `make test`
    runs the unit tests by themselves first.
    """

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name in HEAVY and _running:
            pytest.fail(f"a unit test imports {name}: it belongs to tests/integration", pytrace=True)
        return None


_running = False
_started: list[str] = []
sys.meta_path.insert(0, _Barred())


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """The import of a module of unit tests: pytest calls this for what lies below this folder alone."""
    global _running
    _running = True
    try:
        return (yield)
    finally:
        _running = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """No process and no heavy import from the first fixture to the last, those of the module included."""
    global _running
    if not item.path.is_relative_to(HERE):  # pytest asks every conftest.py this, wherever it lies
        return (yield)
    _started.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", _refuse("subprocess"))
        patch.setattr(multiprocessing.process.BaseProcess, "start", _refuse("multiprocessing"))
        for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system"):
            patch.setattr(os, name, _refuse(f"os.{name}"))
        _running = True
        try:
            return (yield)
        finally:
            _running = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Also a test whose code takes the failure for something else, or met it in a thread, fails."""
    yield
    if _started:
        pytest.fail(f"a unit test starts a process: {', '.join(_started)}")


def _refuse(name: str) -> Callable[..., None]:
    def refuse(*_: Any, **__: Any) -> None:
        _started.append(name)
        pytest.fail(f"a unit test starts a process ({name}): it belongs to tests/integration")

    return refuse
