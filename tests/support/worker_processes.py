"""Run workers in a copy of the package that is not installed, and look for processes that they leave behind."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import misbehaving_tasks
from tests.support.command import CHECKOUT
from tests.support.misbehaving_tasks import TASKS, Fields
from tritonize.process import preload, processes, workers
from tritonize.process.workers import WorkerResult


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def marked(mark: str) -> list[int]:
    """Return all running processes whose command line contains the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes() and alive(int(entry.name)):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def package_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the package, with tasks that misbehave, to a folder where it is not installed; return a directory for workers."""
    package = tmp_path / "elsewhere" / "tritonize"
    shutil.copytree(CHECKOUT / "tritonize", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(misbehaving_tasks.__file__, package)
    monkeypatch.setattr(workers, "_ENTRY", package / "process" / "worker_main.py")
    monkeypatch.setattr(preload, "_PROGRAM", package / "process" / "preload_main.py")
    monkeypatch.chdir("/")
    directory = tmp_path / "work"
    directory.mkdir()
    return directory


@contextlib.contextmanager
def preloading(modules: Sequence[str]) -> Iterator[int]:
    """Within this context, workers are forked; yield the process id of the preloaded process."""
    with preload.preloading(processes.child_environment(os.environ), modules):
        preloaded = preload.current()
        assert preloaded is not None
        yield preloaded._process.pid
        assert preloaded._orders is not None  # it forked to the end


def children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()


def work(task: str, directory: Path, request: Mapping[str, object] | None = None, **options: Any) -> WorkerResult[Fields]:
    return workers.run_worker(TASKS[task], Fields(fields=request or {}), directory=directory, **{"deadline_s": 30, **options})
