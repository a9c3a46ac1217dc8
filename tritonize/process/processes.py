"""Start processes; no other module of tritonize does. Every process that starts here ends with tritonize: see `guard.py`.

`start` runs a command under a guard, without a shell. `workers.py` uses it to run worker tasks.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self  # Any: JSON data for the guard and from it

from tritonize.core import errors, logs
from tritonize.core.messages import processes as process_wording
from tritonize.core.messages import security
from tritonize.core.messages import server as wording
from tritonize.process import cleanup
from tritonize.process.preload import ForkedGuard, Preloaded

_LOG = logs.logger(__name__)
_GUARD = Path(__file__).with_name("guard.py")
_GUARD_MARGIN_S = 10.0  # the guard ends within moments after the grace period; if it takes longer, it hangs
_STOP_INTERVAL_S = 0.01
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

_NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
"""Set for every process: the library of ONNX Runtime (1.32) otherwise writes a machine id and events into the user's home."""

_GuardProcess = subprocess.Popen[bytes] | ForkedGuard

NO_SPACE_EXIT_CODE = 228
"""Exit code of a worker that cannot write its result because the disk is full: 200 + errno.ENOSPC, which is otherwise unused."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended."""

    exit_code: int | None
    """`None` if a signal ended the process."""
    signal: int | None
    """The number of the signal that ended the process; `None` if it exited."""
    reason: Literal["exited", "stopped", "deadline", "memory"]
    """`exited`: it ended by itself, which includes crashes. Otherwise the guard ended it, because of `stop`, its deadline or its
    memory limit."""
    seconds: float
    """Seconds from start to end."""
    peak_memory: int
    """Largest resident memory of the process and all its descendants together, in bytes."""

    def describe(self) -> str:
        """Return the end as the predicate of a sentence, such as `exited with code 1`."""
        if self.reason == "deadline":
            return f"did not finish within {self.seconds:.1f} s and was ended"
        if self.reason == "memory":
            return f"was ended because it used too much memory ({self.peak_memory / 2**20:,.0f} MiB)"
        if self.signal is not None:
            return f"was killed by {_signal_name(self.signal)}"
        return f"exited with code {self.exit_code}"


class Process:
    """A running command. As a context manager it stops the command on exit; `stop` may be called several times."""

    def __init__(self, guard: _GuardProcess, *, pid: int, log: Path, grace_s: float, shm_prefix: str | None) -> None:
        self.pid = pid
        """Process id of the command."""
        self.guard_pid = guard.pid
        """Process id of the guard, the parent of the command."""
        self.log = log
        """The file with the command's standard output and standard error."""
        self._guard = guard
        self._grace_s = grace_s
        self._shm_prefix = shm_prefix
        self._control_lock = threading.Lock()
        self._ended: Future[Ended] = Future()
        threading.Thread(target=self._listen, name=f"guard of {pid}", daemon=True).start()

    def poll(self) -> Ended | None:
        """Return how the command ended, or `None` while it runs."""
        return self._ended.result() if self._ended.done() else None

    def wait(self, timeout_s: float | None = None) -> Ended:
        """Wait until the command ends.

        Args:
            timeout_s: seconds to wait; `None` waits without limit.

        Raises:
            TimeoutError: the command still runs after `timeout_s` seconds.
        """
        return self._ended.result(timeout_s)

    def stop(self, grace_s: float | None = None, *, enough: Callable[[], bool] | None = None) -> Ended:
        """End the command and all its descendants, and wait until they have ended.

        The guard sends SIGTERM to the command, and SIGKILL to the command and all its descendants after the grace period.

        Args:
            grace_s: seconds between SIGTERM and SIGKILL; the default is the `grace_s` of `start`.
            enough: called repeatedly during the grace period; once it returns true, the grace period ends early.
        """
        grace_s = self._grace_s if grace_s is None else grace_s
        self._request_stop(grace_s)
        until = time.monotonic() + grace_s
        while enough is not None and not self._ended.done() and time.monotonic() < until:
            if enough():
                self._request_stop(0.0)
                break
            with contextlib.suppress(TimeoutError):
                self.wait(_STOP_INTERVAL_S)
        try:
            return self.wait(grace_s + _GUARD_MARGIN_S)
        except TimeoutError:
            self._guard.kill()
            return self.wait()

    def _request_stop(self, grace_s: float) -> None:
        assert self._guard.stdin is not None
        with self._control_lock:
            if not self._ended.done():
                with contextlib.suppress(BrokenPipeError):  # the guard just ended; `_listen` reads its report
                    os.write(self._guard.stdin.fileno(), (json.dumps({"stop": grace_s}) + "\n").encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _listen(self) -> None:
        """Wait in a thread until the guard reports the command's end, or is killed."""
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        began = time.monotonic()
        line = self._guard.stdout.readline()
        if line.endswith(b"\n"):
            ended = Ended(**json.loads(line))
        else:  # the guard was killed, so the kernel killed the command, but descendants of the command may still run
            cleanup.end_session(self.guard_pid)
            if self._shm_prefix:
                cleanup.remove_shared_memory(self._shm_prefix)
            seconds = time.monotonic() - began
            ended = Ended(exit_code=None, signal=signal.SIGKILL, reason="exited", seconds=seconds, peak_memory=0)
        self._guard.wait()
        _LOG.info("process %d %s after %.2f s, at most %d MiB", self.pid, ended.describe(), ended.seconds, ended.peak_memory >> 20)
        self._guard.stdout.close()
        with self._control_lock:
            self._guard.stdin.close()
            self._ended.set_result(ended)


def start(
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline_s: float | None = None,
    memory_bytes: int | None = None,
    grace_s: float = 5.0,
    shm_prefix: str | None = None,
    empty_folders: str | None = None,
    hidden: Mapping[int, str] | None = None,
    confine: Mapping[str, object] | None = None,
    preloaded: Preloaded | None = None,
    stdin: Path | None = None,
) -> Process:
    """Start a command under a guard. Its standard output and standard error are appended to the log.

    Args:
        argv: the command and its arguments.
        log: the file for its output; its directory must exist.
        env, cwd: the environment, to which `_NO_TELEMETRY` is added, and the working directory (those of this process).
        deadline_s: seconds after which the command is ended; `None` sets no limit.
        memory_bytes: limit on the resident memory of the command and its descendants together; above it they are killed.
        grace_s: seconds between SIGTERM and SIGKILL.
        shm_prefix: files in /dev/shm whose names start with it are removed after the command has ended.
        empty_folders: a pattern of folders. After the command has ended, the empty ones are removed, unless another process of the
            same command runs.
        hidden: arguments that other users must not be able to read, by their index in `argv`, which holds a placeholder there.
        confine: a policy for `guard_confine.apply`; the default is no confinement.
        preloaded: the process to fork the command from; then `argv` must be the command line of a worker.
        stdin: the file for its standard input (an empty one).

    Raises:
        MissingError: the command does not exist, or cannot be started or confined, or this system does not allow hidden arguments.
        OSError: the log cannot be written.
    """
    command = [os.fspath(part) for part in argv]
    environment = child_environment(os.environ if env is None else env)
    if preloaded and environment != preloaded.environment:
        preloaded = None
    program = shutil.which(command[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise errors.MissingError.of(process_wording.COMMAND_MISSING, command=command[0])
    order = {
        "argv": [os.path.abspath(program), *command[1:]],  # noqa: PTH100 - resolve() would follow links out of a virtual environment
        "env": environment,
        "cwd": os.fspath(cwd) if cwd is not None else str(Path.cwd()) if preloaded else None,
        "deadline_s": deadline_s,
        "memory_bytes": memory_bytes,
        "grace_s": grace_s,
        "shm_prefix": shm_prefix,
        "empty_folders": empty_folders,
        "hidden": {str(index): text for index, text in (hidden or {}).items()},
        "confine": None if confine is None else dict(confine),
        "stdin": os.devnull if stdin is None else os.fspath(stdin),
    }
    guard, pid = _start_guard(order, log, preloaded)
    _LOG.info("started %s (process %d), output in %s", program, pid, log)
    return Process(guard, pid=pid, log=log, grace_s=grace_s, shm_prefix=shm_prefix)


def child_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that gets these variables."""
    return {**variables, **_NO_TELEMETRY}


def _start_guard(order: Mapping[str, Any], log: Path, preloaded: Preloaded | None) -> tuple[_GuardProcess, int]:
    """Start the guard; return it and the process id of the command."""
    command = order["argv"][0]
    with log.open("ab") as output:
        guard: _GuardProcess | None = preloaded.fork_guard(output) if preloaded else None
        guard = guard or subprocess.Popen(
            [sys.executable, "-I", "-S", os.fspath(_GUARD), Path(command).name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal reaches only tritonize, which then stops the guard in order
        )
    assert guard.stdin is not None
    assert guard.stdout is not None
    try:
        guard.stdin.write((json.dumps(order) + "\n").encode())
        guard.stdin.flush()
        line = guard.stdout.readline()
        report: dict[str, Any] = json.loads(line) if line else {"problem": ["start", "its guard did not start", None]}
        if "problem" in report:
            kind, reason, file = report["problem"]
            if kind == "trace":
                raise errors.MissingError.of(wording.NOTHING_CAN_BE_HIDDEN, where=command, found=reason)
            if order["confine"] is not None:
                raise errors.MissingError.of(security.ISOLATION_REFUSED, where=command, found=reason)
            raise errors.MissingError.of(process_wording.COMMAND_NOT_STARTED, where=file, found=reason, command=command)
    except BaseException:
        guard.kill()
        guard.communicate()
        raise
    return guard, int(report["pid"])


def machine_memory() -> int:
    """Return the memory in bytes that processes can use: the machine's, or the limit of the control group if it is smaller."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            return min(physical, int(Path(file).read_text()))
    return physical


def log_tail(log: Path, lines: int = 15) -> list[str]:
    """Return the last non-empty lines of a log, without terminal escapes; an empty list if the log cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    plain = [_ESCAPES.sub("", line).rstrip()[:400] for line in text.splitlines()]
    return [line for line in plain if line][-lines:]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
