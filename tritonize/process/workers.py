"""Run a worker task in a process of its own, and bring its answer, or its error, back."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Required, TypedDict, TypeVar

from tritonize.core import errors
from tritonize.process import isolation, processes
from tritonize.process.processes import NO_SPACE_EXIT_CODE, Ended, Process, log_tail
from tritonize.process.tasks import Request, Result, Task, TaskError

_ENTRY = Path(__file__).with_name("worker_main.py")
_PROGRESS_INTERVAL_S = 0.1
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class WorkerResult(Generic[Value]):
    """What a worker brought back."""

    value: Value
    """The function's own answer."""
    seconds: float
    """Life of the process: interpreter, imports and work."""
    import_seconds: float
    """The part of it that importing the libraries took."""
    peak_memory: int
    """Largest resident memory of the worker and its descendants together, in bytes."""
    log: Path
    """What it printed."""


def run_worker(
    task: Task[Request, Result],
    request: Request,
    *,
    directory: Path,
    deadline_s: float,
    memory_bytes: int | None = None,
    search_path: Sequence[Path] = (),
    on_progress: Callable[[str], None] | None = None,
    cancelled: threading.Event | None = None,
) -> WorkerResult[Result]:
    """Run the function of a task in a process of its own.

    Args:
        task: which function, and the types of what it gets and returns.
        request: what the function gets.
        directory: an existing directory for request, answer and log. It may be used again, one worker at a time.
        deadline_s: seconds after which the worker is ended.
        memory_bytes: resident memory at which it is ended; nine tenths of what there is by default, before the kernel ends others.
        search_path: directories with code of the user, importable in the worker before installed packages.
        on_progress: called with each text the worker passes to `tritonize.process.progress.tell`.
        cancelled: ends the worker once it is set; for calls in threads, which Ctrl-C does not reach.

    Raises:
        TritonizeError: what the function raised, of the very kind.
        RepositoryError: the disk is full.
        InterruptedRunError: it was cancelled.
        MissingError, UsageError: workers are isolated (`isolation.switch_on`), and this one cannot be.
        WorkerError: any other exception in the function, or the worker ended without an answer: the text says how.
        TaskError: the request or the answer is not of the task's types, which is a bug of tritonize.
    """
    plain = task.encode_request(request)
    log, result, progress = (directory / name for name in ("worker.log", "result.json", "progress.txt"))
    order = {"request": plain, "search_path": [os.fspath(path.absolute()) for path in search_path]}
    worker_argv = [sys.executable, "-P", "-u", "-X", "faulthandler", str(_ENTRY), task.name, str(directory.absolute())]
    try:
        for leftover in (log, result, progress):
            leftover.unlink(missing_ok=True)
        (directory / "request.json").write_text(json.dumps(order))
        needs = isolation.Needs(writes=task.writes, gpu=task.gpu)
        bound = memory_bytes or processes.machine_memory() * 9 // 10
        rules, env = isolation.policy(needs, plain, directory, search_path=search_path) or (None, None)
        worker = processes.start(
            worker_argv, log=log, env=env, deadline_s=deadline_s, memory_bytes=bound, grace_s=1.0, confine=rules
        )
    except OSError as error:
        raise (errors.full_disk(error.filename) if error.errno == errno.ENOSPC else error) from error
    with worker:
        ended = _wait_reporting(worker, progress, on_progress, cancelled=cancelled)
    if not result.exists():
        raise _no_result(ended, log)
    answer = _received(result)
    return WorkerResult(
        value=task.decode_result(answer.get("value")),
        seconds=ended.seconds,
        import_seconds=answer["import_seconds"],
        peak_memory=ended.peak_memory,
        log=log,
    )


class _Unexpected(TypedDict):
    """An exception that is none of tritonize."""

    type: str
    message: str
    traceback: list[str]


class _Result(TypedDict, total=False):
    """The content of `result.json`; see `worker_main`."""

    value: object
    import_seconds: Required[float]
    error: dict[str, object]
    bug: str
    unexpected: _Unexpected


def _received(result: Path) -> _Result:
    """The worker's result where it holds an answer.

    Raises:
        TritonizeError, TaskError, WorkerError: it holds an error; see `run_worker`.
    """
    answer: _Result = json.loads(result.read_text())
    if "error" in answer:
        raise errors.from_dict(answer["error"])
    if "bug" in answer:
        raise TaskError(answer["bug"])
    if "unexpected" in answer:
        unexpected = answer["unexpected"]
        raise errors.WorkerError(f"{unexpected['type']}: {unexpected['message']}", details=unexpected["traceback"])
    return answer


def _wait_reporting(
    worker: Process, progress: Path, on_progress: Callable[[str], None] | None, *, cancelled: threading.Event | None
) -> Ended:
    """Wait for the end, passing on every line of progress."""
    told = 0
    while on_progress is not None or cancelled is not None:
        ended = worker.poll()
        if cancelled is not None and cancelled.is_set():
            raise errors.InterruptedRunError("Interrupted.")
        text = progress.read_text() if progress.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()
        if on_progress is not None:
            for line in lines[told:]:
                on_progress(line)
        told = len(lines)
        if ended is not None:
            return ended
        with contextlib.suppress(TimeoutError):
            worker.wait(_PROGRESS_INTERVAL_S)
    return worker.wait()


def _no_result(ended: Ended, log: Path) -> errors.TritonizeError:
    """The error of a worker that ended without an answer."""
    if ended.exit_code == NO_SPACE_EXIT_CODE:
        return errors.full_disk(None)
    how = ended.describe()
    if ended.reason == "exited" and ended.exit_code is not None:
        how = f"exited the process with code {ended.exit_code} before it answered"
    return errors.WorkerError(f"The worker {how}.", where=str(log), details=log_tail(log))
