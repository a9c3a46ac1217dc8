"""Workers that are forked from the preloaded process are like new interpreters, and those that must be new interpreters are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import CHECKOUT
from tests.support.waiting import eventually
from tests.support.worker_processes import package_elsewhere, preloading, work
from tritonize.process import isolation, preload, processes, workers
from tritonize.process.tasks import Task, TaskError

FORKED = "preload_main.py"

PARENT = """
import os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tritonize.process import preload, processes, workers
with preload.preloading(processes.child_environment(os.environ), []):
    preloaded = preload.current()
    command = [sys.executable, str(workers._ENTRY), "tritonize.source.tasks:INSPECT", {directory!r}]
    with processes.start(command, log=Path({directory!r}, "log"), preloaded=preloaded) as process:
        print(preloaded._process.pid, process.guard_pid, process.pid, flush=True)
        process.wait()
"""


def test_a_forked_worker_is_like_a_new_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = package_elsewhere(tmp_path, monkeypatch)
    monkeypatch.setenv("A_VARIABLE", "ü")
    new = work("describe", directory).value.fields
    with preloading(["numpy"]):
        forked, again = (work("describe", directory).value.fields for _ in range(2))
    assert FORKED in str(forked["command"])
    assert FORKED not in str(new["command"])
    for name in ("signals", "descriptors", "open", "threads", "variable", "leads_session"):
        assert forked[name] == new[name], name
    assert forked["drawn"][0] != again["drawn"][0]  # NumPy's generator has a seed of its own in each, as in new interpreters


def test_a_worker_with_another_environment_is_a_new_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = package_elsewhere(tmp_path, monkeypatch)
    with preloading(["numpy"]):
        monkeypatch.setenv("A_VARIABLE", "set later")
        described = work("describe", directory).value.fields
    assert FORKED not in str(described["command"])
    assert described["variable"] == "set later"


@pytest.mark.parametrize(
    "request_",
    [
        {"function": "m:draw"},
        {"model": {"kind": "factory"}},
        {"kind": "module"},
        {"model": {"kind": "torchscript", "operators": ["o.py"]}},
    ],
)
def test_a_worker_that_runs_user_code_is_a_new_interpreter(
    request_: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = package_elsewhere(tmp_path, monkeypatch)
    encode = Task.encode_request
    monkeypatch.setattr(Task, "encode_request", lambda task, request: {**encode(task, request), **request_})
    started: list[object] = []
    start = processes.start
    monkeypatch.setattr(
        processes, "start", lambda *words, **options: started.append(options["preloaded"]) or start(*words, **options)
    )
    with preloading(["numpy"]), pytest.raises(TaskError):  # the worker does not know the field
        work("describe", directory)
    assert started == [None]


def test_an_isolated_worker_is_a_new_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_kernel", "on")
    with workers.preloading(torch=False):
        assert preload.current() is None


@pytest.mark.parametrize(
    ("code", "forks"),
    [("raise ValueError('no')", True), ("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()", False)],
)
def test_modules_that_cannot_be_preloaded(code: str, forks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = package_elsewhere(tmp_path, monkeypatch)
    (tmp_path / "odd_module.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    environment = processes.child_environment(os.environ)
    with preload.preloading(environment, ["odd_module"]):
        time.sleep(1)  # the order comes after the import
        assert (FORKED in str(work("describe", directory).value.fields["command"])) == forks


def test_it_has_ended_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = package_elsewhere(tmp_path, monkeypatch)
    with preload.preloading(processes.child_environment(os.environ), []):
        preloaded = preload.current()
        assert preloaded is not None
        os.kill(preloaded._process.pid, signal.SIGKILL)
        preloaded._process.wait()
        for _ in range(2):
            assert FORKED not in str(work("describe", directory).value.fields["command"])


def test_it_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, or in an import that hangs: the worker is a new interpreter, and its guard is no second one later."""
    directory = package_elsewhere(tmp_path, monkeypatch)
    monkeypatch.setattr(preload, "_ANSWER_S", 1.0)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with preload.preloading(processes.child_environment(os.environ), []):
        preloaded = preload.current()
        assert preloaded is not None
        os.kill(preloaded._process.pid, signal.SIGSTOP)
        for _ in range(2):
            assert FORKED not in str(work("describe", directory).value.fields["command"])
        os.kill(preloaded._process.pid, signal.SIGCONT)
        assert preloaded._process.wait(10) is not None  # it has nobody to answer
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_descriptor_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = package_elsewhere(tmp_path, monkeypatch)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with preloading([]):
        work("echo", directory)
        work("echo", directory)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None])
def test_the_parent_or_the_preloaded_process_ends(number: int | None, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "request.json")  # the worker waits until somebody writes to it
    code = PARENT.format(root=str(CHECKOUT), directory=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        preloaded, guard, worker = map(int, parent.stdout.readline().split())
        names = lambda: [Path(f"/proc/{each}/comm").read_text().strip() for each in (preloaded, guard, worker)]  # noqa: E731
        assert eventually(lambda: names() == ["preloaded", "guard", "INSPECT"])  # they share one command line
        if number is None:
            os.kill(preloaded, signal.SIGKILL)
            assert parent.wait(20) == 0  # it hears of the worker's end
        else:
            parent.send_signal(number)
        assert eventually(lambda: not any(Path(f"/proc/{each}").exists() for each in (preloaded, guard, worker)))
