"""Run a worker task in a separate process, and return its result or raise its error."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Required, TypedDict, TypeVar

from tritonize.core import errors, logs
from tritonize.core import progress as core_progress
from tritonize.core.messages import processes as wording
from tritonize.core.messages import repository
from tritonize.core.progress import Listener
from tritonize.process import isolation, loaded_code, preload, processes
from tritonize.process import progress as progress_file
from tritonize.process.processes import NO_SPACE_EXIT_CODE, Ended, Process, log_tail
from tritonize.process.tasks import Request, Result, Task, TaskError

_ENTRY = Path(__file__).with_name("worker_main.py")
_LOG = logs.logger(__name__)
_PROGRESS_INTERVAL_S = 0.1
Value = TypeVar("Value")


@contextlib.contextmanager
def preloading(*, torch: bool) -> Iterator[None]:
    """Within this context, workers that run no code of the user's are forked from a process that has imported what they import.

    Args:
        torch: whether such workers need torch, which takes the longest to import.
    """
    if isolation.is_on():  # isolated workers are new interpreters
        yield
        return
    modules = preload.MODULES if torch else preload.WITHOUT_TORCH
    with preload.preloading(processes.child_environment(os.environ), modules):
        yield


@dataclass(frozen=True, kw_only=True)
class WorkerResult(Generic[Value]):
    """The result of a worker, with measurements of its process."""

    value: Value
    """The return value of the task's function."""
    seconds: float
    """Lifetime of the process: start of the interpreter, imports and work."""
    import_seconds: float
    """The part of `seconds` that imports took."""
    peak_memory: int
    """Largest resident memory of the worker and its descendants together, in bytes."""
    log: Path
    """The file with the worker's standard output and standard error."""


def run_worker(
    task: Task[Request, Result],
    request: Request,
    *,
    directory: Path,
    deadline_s: float,
    memory_bytes: int | None = None,
    search_path: Sequence[Path] = (),
    on_progress: Listener | None = None,
    cancelled: threading.Event | None = None,
) -> WorkerResult[Result]:
    """Run the function of a task in a separate process.

    Args:
        task: the task.
        request: the argument of the task's function.
        directory: an existing directory for the request, the result and the log. Several workers may use it one after another.
        deadline_s: seconds after which the worker is ended.
        memory_bytes: limit on resident memory, at which the worker is ended. The default is nine tenths of the machine's memory,
            so that the kernel does not end other processes first.
        search_path: directories with the user's code, which the worker imports in preference to installed packages.
        on_progress: called with the progress that the worker reports; by default the listener of this process (`core.progress`).
        cancelled: the worker is ended once this is set; for calls in threads, which do not receive Ctrl-C.

    Raises:
        TritonizeError: the function raised it; class and fields are the same.
        RepositoryError: the disk is full.
        InterruptedRunError: `cancelled` was set.
        MissingError, UsageError: isolation is on (`isolation.switch_on`), and this worker cannot be isolated.
        WorkerError: the function raised any other exception, or the worker ended without a result.
        TaskError: the request or the result does not have the task's type, which is a bug of tritonize.
    """
    plain = task.encode_request(request)
    log, result, progress = (directory / name for name in ("worker.log", "result.json", "progress.txt"))
    try:
        for leftover in (log, result, progress):
            leftover.unlink(missing_ok=True)
        order = {"request": plain, "search_path": [os.fspath(path.absolute()) for path in search_path]}
        (directory / "request.json").write_text(json.dumps(order))
        worker = _start(task, plain, directory, search_path=search_path, log=log, deadline_s=deadline_s, memory_bytes=memory_bytes)
    except OSError as error:
        raise (errors.full_disk(error.filename) if error.errno == errno.ENOSPC else error) from error
    with worker:
        ended = _wait_reporting(worker, progress, on_progress or core_progress.current(), cancelled=cancelled)
    if not result.exists():
        raise _without_result(ended, log)
    received = _received(result)
    _LOG.info("%s took %.3f s, of which %.3f s were imports", task.name, ended.seconds, received["import_seconds"])
    if "loaded" in received:
        loaded_code.add(received["loaded"])
    return WorkerResult(
        value=task.decode_result(received.get("value")),
        seconds=ended.seconds,
        import_seconds=received["import_seconds"],
        peak_memory=ended.peak_memory,
        log=log,
    )


def _start(
    task: Task[Request, Result],
    plain: Mapping[str, object],
    directory: Path,
    *,
    search_path: Sequence[Path],
    log: Path,
    deadline_s: float,
    memory_bytes: int | None,
) -> Process:
    """Start the worker of a request, which is JSON data here, isolated if isolation is on, and forked if it may be."""
    needs = isolation.Needs(writes=task.writes, gpu=task.gpu)
    rules, env = isolation.policy(needs, plain, directory, search_path=search_path) or (None, None)
    return processes.start(
        [sys.executable, "-P", "-u", "-X", "faulthandler", str(_ENTRY), task.name, str(directory.absolute())],
        log=log,
        env=env,
        deadline_s=deadline_s,
        memory_bytes=memory_bytes or processes.machine_memory() * 9 // 10,
        grace_s=1.0,
        confine=rules,
        preloaded=None if rules or isolation.runs_user_code(plain) else preload.current(),
    )


class _Unexpected(TypedDict):
    """An exception that is not a TritonizeError."""

    type: str
    message: str
    traceback: list[str]


class _Result(TypedDict, total=False):
    """The content of `result.json`; see `worker_main`."""

    value: object
    import_seconds: Required[float]
    loaded: loaded_code.Answer
    error: dict[str, object]
    bug: str
    unexpected: _Unexpected


def _received(result: Path) -> _Result:
    """Read the worker's result.

    Raises:
        TritonizeError, TaskError, WorkerError: the result is an error; see `run_worker`.
    """
    content: _Result = json.loads(result.read_text())
    if "error" in content:
        raise errors.from_dict(content["error"])
    if "bug" in content:
        raise TaskError(content["bug"])
    if "unexpected" in content:
        raised = content["unexpected"]
        raise errors.WorkerError.of(wording.WORKER_RAISED, details=raised["traceback"], kind=raised["type"], text=raised["message"])
    return content


def _wait_reporting(worker: Process, progress: Path, on_progress: Listener | None, *, cancelled: threading.Event | None) -> Ended:
    """Wait until the worker ends, and call `on_progress` with everything that it reports."""
    reported = 0
    while on_progress is not None or cancelled is not None:
        ended = worker.poll()
        if cancelled is not None and cancelled.is_set():
            raise errors.InterruptedRunError.of(repository.INTERRUPTED_WAITING)
        if on_progress is not None and progress.exists():
            reports = list(progress_file.read(progress.read_text(encoding="utf-8", errors="replace")))
            for each in reports[reported:]:
                on_progress(each)
            reported = len(reports)
        if ended is not None:
            return ended
        with contextlib.suppress(TimeoutError):
            worker.wait(_PROGRESS_INTERVAL_S)
    return worker.wait()


def _without_result(ended: Ended, log: Path) -> errors.TritonizeError:
    """Return the error of a worker that ended without writing a result."""
    if ended.exit_code == NO_SPACE_EXIT_CODE:
        return errors.full_disk(None)
    how = ended.describe()
    if ended.reason == "exited" and ended.exit_code is not None:
        how = f"exited with code {ended.exit_code} before it returned a result"
    return errors.WorkerError.of(wording.WORKER_ENDED, where=str(log), details=log_tail(log), how=how)
