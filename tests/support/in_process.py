"""Workers in the tests' own process: the same functions without a second's imports each. What they leave behind is put back."""

from __future__ import annotations

import importlib
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tritonize.process import processes


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run every worker's function here, its request and its answer through JSON as between processes."""
    import numpy as np
    import torch

    def run_worker(task: str, request: Any, *, directory: Path, search_path: Any = (), **_: Any) -> processes.WorkerAnswer:
        module, _, function = task.rpartition(".")
        sys.path[:0] = [str(path) for path in search_path]
        started = time.perf_counter()
        try:
            work = getattr(importlib.import_module(f"tritonize.{module}"), function)
            value = json.loads(json.dumps(work(json.loads(json.dumps(request)))))
        finally:
            del sys.path[: len(search_path)]
        seconds = time.perf_counter() - started
        return processes.WorkerAnswer(value=value, seconds=seconds, import_seconds=0.0, peak_memory=0, log=directory / "worker.log")

    monkeypatch.setattr(processes, "run_worker", run_worker)
    known, fast = set(sys.modules), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(True)  # as in a new process
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    torch.backends.mha.set_fastpath_enabled(fast)
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    for name in set(sys.modules) - known:
        if Path.cwd().as_posix() in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
