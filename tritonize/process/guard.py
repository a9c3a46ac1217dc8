"""The guard: a small program that runs between tritonize and each command, and ends the command with all its descendants.

It runs as `python -I -S guard.py`, is never imported, and uses only the standard library, since it must start within a few
milliseconds (hence no pathlib) and survive the end of tritonize.

Standard input carries the order (one JSON line that describes the command) and then control lines: `{"stop": <grace in seconds>}`
ends the command, and end of file means that tritonize has ended. Standard output carries the report: one JSON line when the
command runs or could not be started, and one when the command and all its descendants have ended.

The guard is a child subreaper: it inherits every orphan among its descendants, so it can find, measure and end all of them,
including those that started their own session. If the guard itself is killed, the kernel kills the command.

Longer than 300 lines: it is started by its path and imports the standard library alone.
"""

# ruff: noqa: PTH106, PTH108, PTH110, PTH119, PTH120, PTH123, PTH208

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn  # Any: JSON data of the order; modules that are imported by path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TICK_S = 0.1
_TICK_LATER_S = 1.0  # after `_EARLY_S`: reading the hundred threads of a server costs processor time that the server needs
_EARLY_S = 5.0
_TICK_BOUNDED_S = 0.03  # with a memory limit: the command can exceed the limit for as long as this interval
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where the kernel puts POSIX shared memory

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process; an empty list if the process has just ended."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
            return _children_by_scan(pid)
    return found


def _children_by_scan(pid: int) -> list[int]:
    """Do the same as `_children` on a kernel that was built without the `children` files."""
    found: list[int] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid:
                found.append(int(entry))
    return found


def _descendants() -> list[int]:
    found: list[int] = []
    open_ends = [os.getpid()]
    while open_ends:
        children = _children(open_ends.pop())
        found += children
        open_ends += children
    return found


def _resident(pids: list[int]) -> int:
    """Return the resident memory of several processes in bytes.

    This is the sum of their private pages, plus the shared pages of the process that maps the most.
    """
    private = shared = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                fields = file.read().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        private += int(fields[1]) - int(fields[2])
        shared = max(shared, int(fields[2]))
    return (private + shared) * _PAGE


def _report(**fields: object) -> None:
    with contextlib.suppress(OSError):  # the pipe has no reader once tritonize has ended
        os.write(1, (json.dumps(fields) + "\n").encode())


def _kind(error: Exception) -> str:
    """Return the kind of a problem: `trace` if arguments cannot be hidden, else `start`."""
    return str(getattr(error, "kind", "start"))


Work = Callable[[dict[str, Any]], NoReturn]
"""What a forked child does instead of executing the order's command; see `preload_main.py`."""


def _become_command(order: dict[str, Any], *, guard: int, problem: int, pipes: tuple[int, ...], work: Work | None) -> NoReturn:
    """In the child process, execute the command or do the work; on failure, write the reason to the pipe `problem`.

    Args:
        order: what tritonize wrote to the guard.
        guard: process id of the guard.
        problem: the end to write to.
        pipes: other descriptors of the guard, which an executed command does not inherit.
        work: instead of the command.
    """
    try:
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:  # an executed program resets handlers by itself, and Python's own for Ctrl-C is installed again
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT and work else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # the guard ended before the line above took effect
            os._exit(1)
        given = os.open(order["stdin"], os.O_RDONLY)
        os.dup2(given, 0)
        os.dup2(2, 1)
        if order["cwd"] is not None:
            os.chdir(order["cwd"])
        environment = order["env"]
        if hidden := order["hidden"]:
            environment = {**environment, **_sibling("guard_argv").variables(hidden)}
            _sibling("guard_argv").allow_tracing()
        if order["confine"] is not None:
            _sibling("guard_confine").apply(order["confine"])
        if work is not None:
            for descriptor in (given, problem, *pipes):
                os.close(descriptor)
            work(order)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execvpe(order["argv"][0], order["argv"], environment)  # noqa: S606 - argv is a list
    except OSError as error:
        os.write(problem, json.dumps([_kind(error), error.strerror, error.filename]).encode())
    except Exception as error:  # noqa: BLE001 - after any exception, the command must not run
        os.write(problem, json.dumps([_kind(error), f"{type(error).__name__}: {error}", None]).encode())
    finally:
        os._exit(127)


def _remove_shared_memory(prefix: str) -> None:
    """Remove this user's files with the prefix; other users can read the prefix and may have created files with it."""
    user = os.getuid()
    with contextlib.suppress(OSError):
        for found in os.scandir(_SHARED_MEMORY):
            with contextlib.suppress(OSError):  # removed in the meantime
                if found.name.startswith(prefix) and found.stat(follow_symlinks=False).st_uid == user:
                    os.unlink(found.path)


def _remove_empty(pattern: str, *, unless_running: str) -> None:
    """Remove this user's empty folders that match the pattern, unless a process named `unless_running` runs.

    A folder does not name the process that created it, so none is removed while such a process runs. The folders are listed before
    the processes, so that the folder of a process that starts in between is not removed.
    """
    place, _, start = pattern.rstrip("*").rpartition("/")
    user = os.getuid()
    folders = []
    for found in os.scandir(place):
        with contextlib.suppress(OSError):
            if found.name.startswith(start) and found.stat(follow_symlinks=False).st_uid == user:
                folders.append(found.path)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                if file.read().strip() == unless_running:
                    return
    for folder in folders:
        with contextlib.suppress(OSError):  # not empty, or removed in the meantime
            os.rmdir(folder)


def _sibling(name: str) -> Any:
    """Import a module of this file's folder; the guard runs by path, so it has no package to import from."""
    sys.path.append(os.path.dirname(__file__))
    return importlib.import_module(name)


class _Guard:
    def __init__(self, order: dict[str, Any], work: Work | None) -> None:
        self.order = order
        self.work = work
        self.parent = os.getppid()
        self.began = time.monotonic()
        self.reason = "exited"
        self.kill_at: float | None = None
        self.status: int | None = None
        self.ended = self.began
        self.peak = 0
        self.control: int | None = 0
        """The descriptor of standard input; `None` after its end of file."""
        self.unread = b""
        self.wake, self.waker = self._signals()
        self.child = self._start()

    @staticmethod
    def _signals() -> tuple[int, int]:
        """Turn signals into bytes on a pipe, and return its ends, the one to read first."""
        wake, waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        return wake, waker

    def _start(self) -> int:
        guard = os.getpid()
        problem, problem_writer = os.pipe()  # a successful exec closes it, as every descriptor that Python opens
        child = os.fork()
        if child == 0:
            pipes = (self.wake, self.waker, problem)
            _become_command(self.order, guard=guard, problem=problem_writer, pipes=pipes, work=self.work)
        os.close(problem_writer)
        hidden = self.order["hidden"]
        started = self._hide(child, hidden) if hidden else None
        text = os.read(problem, 65536)
        os.close(problem)
        if text or started is False:
            if started is None:
                os.waitpid(child, 0)
            _report(problem=json.loads(text or '["start", "it ended before it executed the command", null]'))
            sys.exit(1)
        _report(pid=child)
        return child

    @staticmethod
    def _hide(child: int, hidden: dict[str, str]) -> bool:
        """Pass the hidden arguments to the command, and return whether it runs."""
        try:
            return bool(_sibling("guard_argv").put_in_place(child, hidden))
        except OSError as error:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            _report(problem=[_kind(error), error.strerror, None])
            sys.exit(1)

    def watch(self) -> None:
        """Watch the command until it has ended, or until the grace period after a stop is over."""
        check_at = self.began
        while self.status is None:
            due = check_at if self.kill_at is None else min(check_at, self.kill_at)
            timeout = max(0.0, due - time.monotonic())
            ready, _, _ = select.select([self.wake] if self.control is None else [self.wake, self.control], [], [], timeout)
            self._read(ready)
            self._reap()
            now = time.monotonic()
            if self.status is None and now >= check_at:
                check_at = now + self._tick(now)
                self._check_limits(now)
            if self.kill_at is not None and now >= self.kill_at:
                return

    def _tick(self, now: float) -> float:
        """Return the seconds until the next check; signals and control lines wake the guard earlier."""
        if self.order["memory_bytes"] is not None:
            return _TICK_BOUNDED_S
        if now - self.began < _EARLY_S:
            return _TICK_S
        deadline = self.order["deadline_s"]
        left = _TICK_LATER_S if deadline is None else self.began + deadline - now
        return min(_TICK_LATER_S, max(_TICK_S, left))

    def _read(self, ready: list[int]) -> None:
        """Handle signals to the guard and control lines."""
        if self.wake in ready and any(number != signal.SIGCHLD for number in os.read(self.wake, 4096)):
            self._end("stopped", self.order["grace_s"])
        if self.control is None or self.control not in ready:
            return
        text = os.read(self.control, 4096)
        if not text:
            self.control = None
            self._end("stopped", self.order["grace_s"])
        self.unread += text
        while b"\n" in self.unread:
            line, _, self.unread = self.unread.partition(b"\n")
            self._end("stopped", json.loads(line)["stop"])

    def _check_limits(self, now: float) -> None:
        """End the command if it exceeds its memory or its deadline, or if tritonize has ended."""
        used = _resident(_descendants())
        self.peak = max(self.peak, used)
        bound, deadline = self.order["memory_bytes"], self.order["deadline_s"]
        if bound is not None and used > bound:
            self._end("memory", 0.0)  # without a grace period, during which the command could allocate more
        elif deadline is not None and now - self.began >= deadline:
            self._end("deadline", self.order["grace_s"])
        elif os.getppid() != self.parent:  # a fork of tritonize may hold the control pipe open, so there is no end of file
            self._end("stopped", self.order["grace_s"])

    def _end(self, reason: str, grace_s: float) -> None:
        """Send SIGTERM to the command and set the time of SIGKILL; the first reason and the shortest grace period count."""
        if self.reason == "exited":
            self.reason = reason
            os.kill(self.child, signal.SIGTERM)
        at = time.monotonic() + grace_s
        self.kill_at = at if self.kill_at is None else min(self.kill_at, at)

    def _reap(self) -> bool:
        """Reap all children that have ended, and return whether there are no more children."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self.peak = max(self.peak, usage.ru_maxrss * 1024)
            if pid == self.child:
                self.status, self.ended = status, time.monotonic()

    def sweep(self) -> None:
        """Kill and reap all descendants, then remove their shared memory and the empty folders of the order."""
        pause = 0.0005
        while not self._reap():
            for pid in _descendants():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        if prefix := self.order["shm_prefix"]:
            _remove_shared_memory(prefix)
        if self.order["empty_folders"]:
            _remove_empty(self.order["empty_folders"], unless_running=os.path.basename(self.order["argv"][0]))

    def report(self) -> None:
        status = self.status or 0
        _report(
            exit_code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            reason=self.reason,
            seconds=self.ended - self.began,
            peak_memory=self.peak,
        )


def _read_order() -> dict[str, object]:
    text = b""
    while not text.endswith(b"\n"):
        part = os.read(0, 65536)
        if not part:
            sys.exit(1)  # tritonize ended before it wrote the order
        text += part
    order: dict[str, object] = json.loads(text)
    return order


def main(work: Work | None = None) -> None:
    """Read the order, run and watch the command, end all of its descendants, and write the report.

    Args:
        work: what the child does instead of executing the command, with what is in memory already.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    guard = _Guard(_read_order(), work)
    try:
        guard.watch()
    finally:
        guard.sweep()
    guard.report()


if __name__ == "__main__":
    main()
