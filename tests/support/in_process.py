"""Workers in the tests' own process: the same functions without a second's imports each. What they leave behind is put back."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tritonize.core import errors
from tritonize.process import worker_main, workers
from tritonize.process.tasks import Request, Result, Task, TaskError


def run_task(task: Task[Request, Result], request: Request) -> Result:
    """The task's result, computed in this process; request and result go through JSON as between processes."""
    received = task.decode_request(json.loads(json.dumps(task.encode_request(request))))
    return task.decode_result(json.loads(json.dumps(task.encode_result(task.load()(received)))))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run every task's function in this process, with request and result through JSON as between processes."""
    import numpy as np
    import torch

    def measured(work: Callable[[], Any], directory: Path, search_path: Any) -> workers.WorkerResult[Any]:
        sys.path[:0] = [str(path) for path in search_path]
        started = time.perf_counter()
        try:
            value = work()
        except TaskError:
            raise  # a bug of tritonize, not a result
        except Exception as error:
            raise _as_a_worker_tells_it(error) from error
        finally:
            del sys.path[: len(search_path)]
        seconds = time.perf_counter() - started
        return workers.WorkerResult(value=value, seconds=seconds, import_seconds=0.0, peak_memory=0, log=directory / "worker.log")

    def run_worker(task: Any, request: Any, *, directory: Path, search_path: Any = (), **_: Any) -> workers.WorkerResult[Any]:
        return measured(lambda: run_task(task, request), directory, search_path)

    monkeypatch.setattr(workers, "run_worker", run_worker)
    monkeypatch.setattr(workers, "preloading", lambda **_: contextlib.nullcontext())  # torch is loaded in this process
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


def _as_a_worker_tells_it(error: Exception) -> errors.TritonizeError:
    """What `workers.run_worker` raises for an exception in a worker, through JSON as well."""
    answer = json.loads(json.dumps(worker_main._describe(error)))
    if "error" in answer:
        return errors.from_dict(answer["error"])
    unexpected = answer["unexpected"]
    return errors.WorkerError(f"{unexpected['type']}: {unexpected['message']}", details=unexpected["traceback"])
