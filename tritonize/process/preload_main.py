"""The preloaded process: it imports torch once and forks a guard for each worker, which then need not import it again.

`python …/process/preload_main.py MODULE…` imports the modules one by one and takes orders from `preload.Preloaded` over the socket
on its standard input. It never runs a user's code: neither a model nor a module from a user's folder is loaded before the fork.
Each order is one byte with three descriptors: the standard input, output and error of the new guard. The reply holds the guard's
process id, and a descriptor of that process.

A fork copies only the calling thread, so a worker must not inherit a thread pool. Importing these modules starts no threads except
those of OpenBLAS, which ends them before a fork and starts them again on demand (`pthread_atfork` in its
`driver/others/blas_server.c`). Any other thread makes this process refuse the order, and the worker starts as a new interpreter.
"""

# ruff: noqa: PTH208

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn  # Any: JSON data of the order

_HERE = Path(__file__).parent
_CHECK_S = 1.0
"""Seconds between checks of whether tritonize still runs."""
PRELOADED, GUARD = "preloaded", "guard"
"""Names of the processes, for `ps` and `top`; a worker has the name of its task, such as `EXPORT`."""
REFUSED = -1
REPLY = struct.Struct("i")


def _load(name: str) -> ModuleType:
    """Load a file of this folder without importing the package, as the guard and a worker are loaded when they run by path."""
    spec = importlib.util.spec_from_file_location(name, _HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rename(name: str) -> None:
    """Name this process, since a forked one has the command line of the preloaded process; the kernel keeps 15 bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


class _Preloaded:
    def __init__(self, orders: socket.socket, modules: list[str]) -> None:
        self.orders = orders
        self.modules = modules
        self.parent = os.getppid()
        self.guard, self.worker = _load("guard"), _load("worker_main")
        self.worker.load_package()

    def serve(self) -> None:
        """Import the modules and fork guards until tritonize closes the socket or ends."""
        while os.getppid() == self.parent:
            ready, _, _ = select.select([self.orders], [], [], 0 if self.modules else _CHECK_S)
            self._reap()
            if ready:
                order, descriptors, _, _ = socket.recv_fds(self.orders, 1, 3)
                if not order:
                    return
                self._fork(descriptors)
            elif self.modules:
                self._import(self.modules.pop(0))

    def _import(self, name: str) -> None:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - the worker that needs the module meets the same error and reports it
            print(f"{name} is not preloaded: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
            self.modules.clear()

    def _fork(self, descriptors: list[int]) -> None:
        if len(descriptors) != 3 or not _may_fork():
            self.orders.sendall(REPLY.pack(REFUSED))
        else:
            pid = os.fork()
            if pid == 0:
                self._run_guard(descriptors)
            process = os.pidfd_open(pid)
            socket.send_fds(self.orders, [REPLY.pack(pid)], [process])
            os.close(process)
        for descriptor in descriptors:
            os.close(descriptor)

    def _run_guard(self, descriptors: list[int]) -> NoReturn:
        """In the child: become the guard, as `guard.py` is when it runs by path."""
        try:
            _rename(GUARD)
            os.setsid()
            self.orders.close()
            for standard, descriptor in enumerate(descriptors):
                os.dup2(descriptor, standard)
                os.close(descriptor)
            self.guard.main(self._work)
        except SystemExit as ended:
            os._exit(ended.code if isinstance(ended.code, int) else 1)
        except BaseException:  # noqa: BLE001 - nothing above this may run in the child
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)

    def _work(self, order: dict[str, Any]) -> NoReturn:
        """In the guard's child: run the worker whose command line the order holds; see `workers.run_worker`."""
        os.environ.clear()
        os.environ.update(order["env"])
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()  # a new interpreter has a seed of its own; `random` gets one at each fork
        *_, name, directory = order["argv"]
        _rename(name.rpartition(":")[2])
        try:
            self.worker.run(name, Path(directory))
        except SystemExit as ended:
            if not isinstance(ended.code, int):
                print(ended.code, file=sys.stderr)  # noqa: T201
            os._exit(ended.code if isinstance(ended.code, int) else 1)
        except BaseException:  # noqa: BLE001 - as an interpreter ends on it
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)

    @staticmethod
    def _reap() -> None:
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return


def _may_fork() -> bool:
    """Whether a fork leaves no thread behind: a first, empty fork ends those of OpenBLAS, and others remain."""
    if len(os.listdir("/proc/self/task")) == 1:
        return True
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return len(os.listdir("/proc/self/task")) == 1


def main() -> None:
    """Take orders until the socket closes."""
    _rename(PRELOADED)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    orders = socket.socket(fileno=os.dup(0))
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    _Preloaded(orders, sys.argv[1:]).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
