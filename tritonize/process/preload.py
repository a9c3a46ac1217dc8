"""Import torch once for all workers that run no code of the user's: fork them from a process that has imported it.

Importing torch takes longer than the whole work on a small model, and a run starts several workers one after another. Within
`preloading`, one process imports the modules in the background (`preload_main.py`), and `workers.run_worker` forks a worker from it
if nothing is lost by that. A forked worker has a guard, a deadline, a memory limit and a log of its own, as any other. The memory
of the preloaded process is shared until it is written to; no user code has run in it.

These workers start as new interpreters instead:
- isolated workers: the preloaded process can read what the policy forbids, such as the environment;
- workers that run a user's Python code: each has a hash seed of its own, which shows code that depends on the order of a set, and
  its folders take precedence over installed packages, which are imported already in the preloaded process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from tritonize.core import logs
from tritonize.process import preload_main

_LOG = logs.logger(__name__)
_PROGRAM = Path(preload_main.__file__)
MODULES = (
    "torch",
    "tritonize.reference.worker.runner",
    "tritonize.export.worker.strategies",
    "tritonize.onnx_model.worker.finishing",
)
"""Imported in this order, that in which a run needs them; a worker may be forked between two of them. ONNX Runtime is not among
them: importing it starts a thread, and a fork would not copy it."""
WITHOUT_TORCH = ("tritonize.onnx_model.worker.finishing",)
"""The same for a source that no forked worker loads with torch."""

_ANSWER_S = 120.0
"""Seconds after which a preloaded process that does not answer is given up: it imports torch first, perhaps from a slow disk."""


class ForkedGuard:
    """A guard that the preloaded process forked; it has the methods of `subprocess.Popen` that `processes` uses."""

    def __init__(self, pid: int, process: int, *, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._process = process
        """A descriptor of the process (pidfd_open(2)): readable once it has ended, and never of another process."""

    def kill(self) -> None:
        """End the guard at once."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the guard has ended; its exit code is known to the preloaded process alone."""
        if self._process >= 0:
            select.select([self._process], [], [])
            os.close(self._process)
            self._process = -1

    def communicate(self) -> None:
        """Close the pipes and wait until the guard has ended."""
        self.stdin.close()
        self.stdout.close()
        self.wait()


class Preloaded:
    """The preloaded process. It ends with `close`, and with this process."""

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str]) -> None:
        self.environment = dict(environment)
        """The environment that its workers inherit; a worker with another one has to be a new interpreter."""
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair()
        ours.settimeout(_ANSWER_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-X", "faulthandler", os.fspath(_PROGRAM), *modules],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self.environment,
                start_new_session=True,  # Ctrl-C in the terminal reaches only tritonize
            )
        self._orders: socket.socket | None = ours

    def fork_guard(self, log: BinaryIO) -> ForkedGuard | None:
        """Fork a guard whose standard error is `log`; `None` if the process cannot, or has ended."""
        with self._lock:
            if self._orders is None:
                return None
            read_in, write_in = os.pipe()
            read_out, write_out = os.pipe()
            descriptors = [-1]
            try:
                socket.send_fds(self._orders, [b"1"], [read_in, write_out, log.fileno()])
                reply, descriptors, _, _ = socket.recv_fds(self._orders, preload_main.REPLY.size, 1)
                (pid,) = preload_main.REPLY.unpack(reply) if reply else (preload_main.REFUSED,)
            except OSError as error:
                _LOG.info("the preloaded process has ended or does not answer: %s", error)
                pid = preload_main.REFUSED
            finally:
                os.close(read_in)
                os.close(write_out)
            if pid == preload_main.REFUSED or not descriptors:  # without a free descriptor, none is received
                _LOG.info("the preloaded process forks no more workers")
                self._orders.close()
                self._orders = None
                os.close(write_in)
                os.close(read_out)
                return None
        return ForkedGuard(pid, descriptors[0], stdin=os.fdopen(write_in, "wb"), stdout=os.fdopen(read_out, "rb"))

    def close(self) -> None:
        """End the process. Its guards, if any still run, end their workers."""
        with self._lock:
            if self._orders is not None:
                self._orders.close()
                self._orders = None
        self._process.kill()
        self._process.wait()


_current: Preloaded | None = None


def current() -> Preloaded | None:
    """Return the preloaded process of this process, if one runs."""
    return _current


@contextlib.contextmanager
def preloading(environment: Mapping[str, str], modules: Sequence[str] = MODULES) -> Iterator[None]:
    """Within this context, workers may be forked from a process that has imported the modules. Contexts may be nested."""
    global _current
    if _current is not None:
        yield
        return
    _current = Preloaded(environment, modules)
    try:
        yield
    finally:
        preloaded, _current = _current, None
        preloaded.close()
