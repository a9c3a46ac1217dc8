"""Worker tasks that misbehave; the tests of `workers` copy this file into a copy of the package."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import errors, progress
from tritonize.process.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Any request and any result."""

    fields: Mapping[str, object]


def echo(request: Fields) -> Fields:
    print("heard", request.fields)
    return Fields(fields={"got": request.fields, "path": sys.path, "cwd": str(Path.cwd())})


def describe(request: Fields) -> Fields:
    import numpy as np

    return Fields(
        fields={
            "command": Path("/proc/self/cmdline").read_bytes().decode().split("\0"),
            "drawn": [float(np.random.random()), hash("a")],
            "signals": [
                str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)
            ],
            "descriptors": sorted(str(Path(f"/proc/self/fd/{each}").readlink()) for each in (0, 1, 2)),
            "open": len(os.listdir("/proc/self/fd")),
            "threads": len(os.listdir("/proc/self/task")),
            "variable": os.environ.get("A_VARIABLE"),
            "leads_session": os.getsid(0) == os.getppid(),
        }
    )


def slow(request: Fields) -> Fields:
    for word in ("first", "second", "third"):
        progress.report(text=word)
        time.sleep(0.15)
    return Fields(fields={})


def import_user_code(request: Fields) -> Fields:
    import random

    import user_module

    return Fields(fields={"value": user_module.VALUE, "random": random.random() < 1})


def known(request: Fields) -> Fields:
    raise errors.ExportError("It cannot be exported.", where="layer 3", details=["a", "b"]) from ValueError("why")


def unknown(request: Fields) -> Fields:
    def inner():
        raise KeyError("no such thing")

    inner()


def unprintable(request: Fields) -> Fields:
    class Odd(Exception):  # noqa: N818
        def __str__(self):
            raise RuntimeError

    raise Odd


def leave(request: Fields) -> Fields:
    sys.exit(request.fields["code"])


def leave_at_once(request: Fields) -> Fields:
    print("last words")
    os._exit(request.fields["code"])


def crash(request: Fields) -> Fields:
    ctypes.string_at(0)


def killed(request: Fields) -> Fields:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(request: Fields) -> Fields:
    print("hanging")
    time.sleep(600)


def full(request: Fields) -> Fields:
    with Path("/dev/full").open("wb") as file:
        file.write(b"x")


def full_behind_another(request: Fields) -> Fields:
    try:
        full(request)
    except OSError as error:
        raise RuntimeError("could not save") from error


def eat(request: Fields) -> Fields:
    held = []
    while True:
        held.append(bytearray(20 * 2**20))


def no_memory(request: Fields) -> Fields:
    import numpy as np

    np.ones(2**50)


def not_json(request: Fields) -> Fields:
    return Fields(fields={"x": object()})


def thread_that_hangs(request: Fields) -> Fields:
    import threading

    threading.Thread(target=time.sleep, args=(600,)).start()
    return Fields(fields={"done": True})


_WORK = (
    *(echo, describe, slow, import_user_code, known, unknown, unprintable, leave, leave_at_once, crash, killed, hang),
    *(full, full_behind_another, eat, no_memory, not_json, thread_that_hangs),
)
_HERE = "tritonize.misbehaving_tasks"
TASKS = {
    work.__name__: Task(name=f"{_HERE}:{work.__name__.upper()}", function=f"{_HERE}:{work.__name__}", request=Fields, result=Fields)
    for work in _WORK
}
globals().update({name.upper(): task for name, task in TASKS.items()})
