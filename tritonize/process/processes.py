"""The one place that starts a process. What is started here always ends: see `guard.py`.

`start` runs any command under a guard, and not through a shell. `workers.py` runs worker tasks with it.
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
from tritonize.core.messages import security
from tritonize.core.messages import server as wording
from tritonize.process import cleanup

_LOG = logs.logger(__name__)
_GUARD = Path(__file__).with_name("guard.py")
_GUARD_MARGIN_S = 10.0  # beyond the grace the guard needs moments; longer means that it hangs
_STOP_INTERVAL_S = 0.01
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

_NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
"""For whatever loads ONNX Runtime: its library (1.32) else keeps an id of the machine and events in the user's home."""

NO_SPACE_EXIT_CODE = 228
"""How a worker says that the disk is too full for its answer; 200 + errno.ENOSPC, which no other program uses."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process came to its end."""

    exit_code: int | None
    """`None` where a signal ended it."""
    signal: int | None
    reason: Literal["exited", "stopped", "deadline", "memory"]
    """`exited`: by itself, crashes included. Otherwise why it had to."""
    seconds: float
    """From its start to its end."""
    peak_memory: int
    """Largest resident memory of it and all its descendants together, in bytes."""

    def describe(self) -> str:
        """The end in words, to follow `The process `."""
        if self.reason == "deadline":
            return f"did not finish within {self.seconds:.1f} s and was ended"
        if self.reason == "memory":
            return f"was ended because it used too much memory ({self.peak_memory / 2**20:,.0f} MiB)"
        if self.signal is not None:
            return f"was killed by {_signal_name(self.signal)}"
        return f"exited with code {self.exit_code}"


class Process:
    """A running command. A context manager that ends it on every path; `stop` may be called at any time, and again."""

    def __init__(self, guard: subprocess.Popen[bytes], *, pid: int, log: Path, grace_s: float, shm_prefix: str | None) -> None:
        self.pid = pid
        """Of the command itself."""
        self.guard_pid = guard.pid
        """Of the guard between the tool and the command."""
        self.log = log
        """Where the command's standard output and standard error go."""
        self._guard = guard
        self._grace_s = grace_s
        self._shm_prefix = shm_prefix
        self._leash = threading.Lock()
        self._ended: Future[Ended] = Future()
        threading.Thread(target=self._listen, name=f"guard of {pid}", daemon=True).start()

    def poll(self) -> Ended | None:
        """How it ended, or `None` while it runs."""
        return self._ended.result() if self._ended.done() else None

    def wait(self, timeout_s: float | None = None) -> Ended:
        """Wait for its end, as long as it takes by default.

        Raises:
            TimeoutError: it still runs after `timeout_s` seconds.
        """
        return self._ended.result(timeout_s)

    def stop(self, grace_s: float | None = None, *, enough: Callable[[], bool] | None = None) -> Ended:
        """End it and all its descendants: SIGTERM to the command, SIGKILL to all of them after the grace; waited for.

        Args:
            grace_s: how long the command may take for its own end; as given to `start` by default.
            enough: asked meanwhile; once it says yes, the command has done what matters and the grace is over.
        """
        grace_s = self._grace_s if grace_s is None else grace_s
        self._ask_to_stop(grace_s)
        until = time.monotonic() + grace_s
        while enough is not None and not self._ended.done() and time.monotonic() < until:
            if enough():
                self._ask_to_stop(0.0)
                break
            with contextlib.suppress(TimeoutError):
                self.wait(_STOP_INTERVAL_S)
        try:
            return self.wait(grace_s + _GUARD_MARGIN_S)
        except TimeoutError:
            self._guard.kill()
            return self.wait()

    def _ask_to_stop(self, grace_s: float) -> None:
        assert self._guard.stdin is not None
        with self._leash:
            if not self._ended.done():
                with contextlib.suppress(BrokenPipeError):  # the guard ended in this moment; its report is on the way
                    os.write(self._guard.stdin.fileno(), (json.dumps({"stop": grace_s}) + "\n").encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _listen(self) -> None:
        """In a thread: until the guard reports the end, or dies."""
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        began = time.monotonic()
        line = self._guard.stdout.readline()
        if line.endswith(b"\n"):
            ended = Ended(**json.loads(line))
        else:  # the guard was killed, and the kernel killed the command; what that left is ours to end
            cleanup.end_session(self.guard_pid)
            if self._shm_prefix:
                cleanup.remove_shared_memory(self._shm_prefix)
            seconds = time.monotonic() - began
            ended = Ended(exit_code=None, signal=signal.SIGKILL, reason="exited", seconds=seconds, peak_memory=0)
        self._guard.wait()
        _LOG.info("process %d %s after %.2f s, at most %d MiB", self.pid, ended.describe(), ended.seconds, ended.peak_memory >> 20)
        self._guard.stdout.close()
        with self._leash:
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
) -> Process:
    """Start a command under a guard; its standard input is empty, both its outputs are appended to the log.

    Args:
        argv: the command and its arguments.
        log: the file for its output; its directory must exist.
        env: the whole environment but for `_NO_TELEMETRY`; the tool's own by default.
        cwd: its working directory; the tool's own by default.
        deadline_s: seconds after which it is ended.
        memory_bytes: it is killed when it and its descendants hold more resident memory than this.
        grace_s: seconds between the polite and the firm end.
        shm_prefix: files in /dev/shm whose names start so are removed after its end.
        empty_folders: a pattern of folders that are removed after its end where they are empty, unless the same command still runs.
        hidden: arguments that no other user may read, by their index in `argv`, where something else stands that may be read.
        confine: what it may do (`guard_confine.apply`), held by the kernel; everything by default.

    Raises:
        MissingError: there is no such command, or it cannot be run or confined; or this system allows no hidden arguments.
        OSError: the log cannot be written.
    """
    command = [os.fspath(part) for part in argv]
    environment = {**(os.environ if env is None else env), **_NO_TELEMETRY}
    program = shutil.which(command[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise errors.MissingError(f"The command {command[0]!r} is not there, or may not be run.")
    order = {
        "argv": [os.path.abspath(program), *command[1:]],  # noqa: PTH100 - resolve() would leave a virtual environment
        "env": environment,
        "cwd": None if cwd is None else os.fspath(cwd),
        "deadline_s": deadline_s,
        "memory_bytes": memory_bytes,
        "grace_s": grace_s,
        "shm_prefix": shm_prefix,
        "empty_folders": empty_folders,
        "hidden": {str(index): text for index, text in (hidden or {}).items()},
        "confine": None if confine is None else dict(confine),
    }
    guard, pid = _start_guard(order, log)
    _LOG.info("started %s (process %d), output in %s", program, pid, log)
    return Process(guard, pid=pid, log=log, grace_s=grace_s, shm_prefix=shm_prefix)


def _start_guard(order: Mapping[str, Any], log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The guard and the process id of the command it started."""
    command = order["argv"][0]
    with log.open("ab") as output:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", os.fspath(_GUARD), Path(command).name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,  # Ctrl-C at the terminal reaches the tool alone, which then ends it in order
        )
    assert guard.stdin is not None
    assert guard.stdout is not None
    try:
        guard.stdin.write((json.dumps(order) + "\n").encode())
        guard.stdin.flush()
        line = guard.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"problem": ["start", "its guard did not start", None]}
        if "problem" in answer:
            kind, reason, file = answer["problem"]
            if kind == "trace":
                raise errors.MissingError.of(wording.NOTHING_CAN_BE_HIDDEN, where=command, found=reason)
            if order["confine"] is not None:
                raise errors.MissingError.of(security.ISOLATION_REFUSED, where=command, found=reason)
            raise errors.MissingError(f"The command {command!r} could not be started.", where=file, found=reason)
    except BaseException:
        guard.kill()
        guard.communicate()
        raise
    return guard, int(answer["pid"])


def machine_memory() -> int:
    """Bytes of memory that processes here can have: the machine's, or the control group's where that is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            return min(physical, int(Path(file).read_text()))
    return physical


def log_tail(log: Path, lines: int = 15) -> list[str]:
    """The last lines of a log that say something, without terminal escapes; none where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    told = [_ESCAPES.sub("", line).rstrip()[:400] for line in text.splitlines()]
    return [line for line in told if line][-lines:]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
