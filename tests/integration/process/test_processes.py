"""Processes end on every path, and a worker's result, error or early end is reported correctly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import CHECKOUT
from tests.support.waiting import eventually
from tests.support.worker_processes import alive, children, marked, package_elsewhere, preloading, work
from tritonize.core import errors, progress
from tritonize.core.progress import Progress
from tritonize.process import processes
from tritonize.process.tasks import Task, TaskError


@pytest.fixture
def mark() -> Iterator[str]:
    """A word in the command line of every process of a test, by which the fixture finds and ends leftovers."""
    word = f"mark-{uuid.uuid4().hex}"
    yield word
    for pid in marked(word):
        os.kill(pid, signal.SIGKILL)


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


FAMILY = """
import os, subprocess, sys, time
# one child in a session of its own that does not listen, one grandchild whose parent has ended
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
a = subprocess.Popen([sys.executable, "-c", code, sys.argv[1]], start_new_session=True, stdout=subprocess.PIPE)
a.stdout.readline()
sleep = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]])"
b = subprocess.run([sys.executable, "-c", sleep, sys.argv[1]])
open(sys.argv[2], "w").write("shared")
print("family is there", flush=True)
time.sleep(600)
"""


def family(mark: str, tmp_path: Path, **options: object) -> processes.Process:
    shared = f"/dev/shm/{mark}-file"
    process = processes.start(python(FAMILY, mark, shared), log=tmp_path / "log", shm_prefix=f"{mark}-", **options)  # type: ignore[arg-type]
    assert eventually(lambda: b"family is there" in (tmp_path / "log").read_bytes())
    assert len(marked(mark)) == 3
    assert Path(shared).exists()
    return process


def gone(mark: str) -> bool:
    return not marked(mark) and not list(Path("/dev/shm").glob(f"{mark}*"))


class TestStart:
    def test_exit_code_and_log(self, tmp_path: Path) -> None:
        with processes.start(
            python("print('out'); import sys; print('err', file=sys.stderr); sys.exit(3)"), log=tmp_path / "l"
        ) as p:
            ended = p.wait()
        assert (ended.exit_code, ended.signal, ended.reason) == (3, None, "exited")
        assert ended.describe() == "exited with code 3"
        assert sorted((tmp_path / "l").read_text().split()) == ["err", "out"]
        assert ended.peak_memory > 5 * 2**20

    def test_crash_names_the_signal(self, tmp_path: Path) -> None:
        with processes.start(python("import os; os.abort()"), log=tmp_path / "l") as process:
            assert process.wait().describe() == "was killed by SIGABRT"

    def test_environment_directory_and_arguments_are_kept_as_they_are(self, tmp_path: Path) -> None:
        code = "import os, sys; print(os.getcwd(), os.environ['A'], 'HOME' in os.environ, sys.argv[1:], sys.stdin.read() == '')"
        env = {"A": "x y", "PATH": os.environ["PATH"]}
        with processes.start(python(code, "a b", "$HOME;'"), log=tmp_path / "l", env=env, cwd=tmp_path) as process:
            process.wait()
        assert (tmp_path / "l").read_text().strip() == f"{tmp_path} x y False {['a b', '''$HOME;''' + chr(39)]} True"

    @pytest.mark.parametrize("command", ["no-such-command-at-all", "./no/such/file"])
    def test_a_missing_command(self, command: str, tmp_path: Path) -> None:
        with pytest.raises(errors.MissingError, match=command.removeprefix("./")) as error:
            processes.start([command], log=tmp_path / "l")
        assert error.value.code == "command-missing"

    def test_a_file_that_is_not_a_program(self, tmp_path: Path) -> None:
        program = tmp_path / "program"
        program.write_bytes(b"\x00\x01nothing to run")
        program.chmod(0o755)
        with pytest.raises(errors.MissingError, match="could not be started"):
            processes.start([program], log=tmp_path / "l")

    def test_overhead(self, tmp_path: Path) -> None:
        """Starting `true` takes a few hundredths of a second; the bound is larger because the machine may be busy."""
        times = []
        for _ in range(5):
            began = time.perf_counter()
            with processes.start(["true"], log=tmp_path / "l") as process:
                process.wait()
            times.append(time.perf_counter() - began)
        assert min(times) < 0.2


class TestEnd:
    def test_stop_ends_the_whole_family(self, mark: str, tmp_path: Path) -> None:
        process = family(mark, tmp_path)
        ended = process.stop()
        assert (ended.reason, ended.signal) == ("stopped", signal.SIGTERM)
        assert gone(mark)
        assert process.stop() == ended  # again is harmless

    def test_sigkill_after_the_grace_period(self, mark: str, tmp_path: Path) -> None:
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
        with processes.start(python(code, mark), log=tmp_path / "l") as process:
            assert eventually(lambda: "up" in (tmp_path / "l").read_text())
            began = time.monotonic()
            ended = process.stop(grace_s=0.3)
        assert 0.25 < time.monotonic() - began < 5
        assert (ended.reason, ended.signal) == ("stopped", signal.SIGKILL)
        assert gone(mark)

    def test_the_grace_period_is_waited_for(self, tmp_path: Path) -> None:
        code = "import signal, time, sys; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(.3), sys.exit(7)))"
        code += "; print('up', flush=True); time.sleep(600)"
        with processes.start(python(code), log=tmp_path / "l") as process:
            assert eventually(lambda: "up" in (tmp_path / "l").read_text())
            assert process.stop(grace_s=20).exit_code == 7

    def test_deadline(self, mark: str, tmp_path: Path) -> None:
        with processes.start(python("import time; time.sleep(600)", mark), log=tmp_path / "l", deadline_s=0.4) as process:
            ended = process.wait(10)
        assert ended.reason == "deadline"
        assert 0.35 < ended.seconds < 5
        assert "did not finish within" in ended.describe()
        assert gone(mark)

    def test_memory_of_a_grandchild_counts(self, mark: str, tmp_path: Path) -> None:
        inner = "x = bytearray(300 * 2**20); import time; time.sleep(600)"
        code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}, sys.argv[1]])"
        with processes.start(python(code, mark), log=tmp_path / "l", memory_bytes=200 * 2**20) as process:
            ended = process.wait(20)
        assert ended.reason == "memory"
        assert 200 * 2**20 < ended.peak_memory < 400 * 2**20
        assert gone(mark)

    def test_peak_memory_of_a_short_spike(self, tmp_path: Path) -> None:
        with processes.start(python("x = bytearray(200 * 2**20); del x"), log=tmp_path / "l") as process:
            assert 200 * 2**20 < process.wait().peak_memory < 260 * 2**20

    def test_descendants_do_not_outlive_the_command(self, mark: str, tmp_path: Path) -> None:
        sleep = "[sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]]"
        code = f"import subprocess, sys; subprocess.Popen({sleep}, start_new_session=True)"
        with processes.start(python(code, mark), log=tmp_path / "l") as process:
            assert process.wait(10).exit_code == 0
            assert gone(mark)

    def test_the_guard_is_killed(self, mark: str, tmp_path: Path) -> None:
        process = family(mark, tmp_path)
        os.kill(process.guard_pid, signal.SIGKILL)
        assert process.wait(10).signal == signal.SIGKILL
        # a child in its own session cannot be ended then; the command, its group and the shared memory are cleaned up
        assert len(marked(mark)) <= 1
        assert not list(Path("/dev/shm").glob(f"{mark}*"))

    def test_the_guard_gets_sigterm(self, mark: str, tmp_path: Path) -> None:
        process = family(mark, tmp_path)
        os.kill(process.guard_pid, signal.SIGTERM)
        assert process.wait(10).reason == "stopped"
        assert gone(mark)

    def test_another_thread_may_stop_it(self, mark: str, tmp_path: Path) -> None:
        process = processes.start(python("import time; time.sleep(600)", mark), log=tmp_path / "l")
        threading.Timer(0.2, process.stop).start()
        assert process.wait(10).reason == "stopped"

    def test_wait_times_out_and_the_process_goes_on(self, mark: str, tmp_path: Path) -> None:
        with processes.start(python("import time; time.sleep(600)", mark), log=tmp_path / "l") as process:
            with pytest.raises(TimeoutError):
                process.wait(0.1)
            assert process.poll() is None
            assert alive(process.pid)

    def test_no_descriptor_is_left(self, tmp_path: Path) -> None:
        def descriptors() -> int:
            return len(list(Path("/proc/self/fd").iterdir()))

        with processes.start(["true"], log=tmp_path / "l") as process:
            process.wait()
        before = descriptors()
        for _ in range(3):
            with processes.start(["true"], log=tmp_path / "l") as process:
                process.wait()
        assert descriptors() == before


PARENT = """
import sys, time, os, signal
sys.path.insert(0, {root!r})
from pathlib import Path
from tritonize.process import processes
command = [sys.executable, "-c", {family!r}, {mark!r}, "/dev/shm/{mark}-file"]
with processes.start(command, log=Path({log!r}), shm_prefix="{mark}-", grace_s=2) as process:
    while b"family is there" not in Path({log!r}).read_bytes():
        time.sleep(0.02)
    print("ready", flush=True)
    {then}
"""


@pytest.mark.parametrize(
    ("then", "number", "survivors"),
    [
        ("process.wait()", signal.SIGKILL, 0),
        ("process.wait()", signal.SIGTERM, 0),
        ("process.wait()", signal.SIGINT, 0),
        ("os.abort()", None, 0),
        ("os._exit(1) if os.fork() else time.sleep(60)", None, 1),  # a fork of tritonize lives on and holds the control pipe open
    ],
)
def test_the_parent_ends(then: str, number: int | None, survivors: int, mark: str, tmp_path: Path) -> None:
    code = PARENT.format(root=str(CHECKOUT), family=FAMILY, mark=mark, log=str(tmp_path / "log"), then=then)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"ready\n"
        except BaseException:
            parent.kill()
            raise
        if number is not None:
            parent.send_signal(number)
        parent.wait(20)
        assert eventually(lambda: len(marked(mark)) == survivors)
        assert eventually(lambda: not list(Path("/dev/shm").glob(f"{mark}*")))


@pytest.fixture(params=["new interpreter", "forked"])
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory for workers that run `misbehaving_tasks`, as new interpreters or forked from a preloaded process."""
    directory = package_elsewhere(tmp_path, monkeypatch)
    if request.param == "new interpreter":
        yield directory
    else:
        with preloading(["numpy"]) as process:
            yield directory
            assert eventually(lambda: not children(process))
    assert not marked(str(directory))


def worker_error(task: str, directory: Path, request: Mapping[str, object] | None = None, **options: Any) -> errors.TritonizeError:
    with pytest.raises(errors.TritonizeError) as caught:
        work(task, directory, request, **options)
    return caught.value


class TestWorker:
    def test_answer(self, tasks: Path) -> None:
        request = {"a": [1, 2.5, None, "ü"]}
        answer = work("echo", tasks, request)
        assert answer.value.fields["got"] == request
        assert str(tasks.parent / "elsewhere") not in answer.value.fields["path"]
        assert "heard" in answer.log.read_text()
        assert 0 < answer.seconds < 10
        assert answer.peak_memory > 2**20

    def test_the_directory_may_be_used_again(self, tasks: Path) -> None:
        work("echo", tasks)
        assert worker_error("leave", tasks, {"code": 0}).what == "The worker exited with code 0 before it returned a result."

    def test_progress(self, tasks: Path) -> None:
        reported: list[Progress] = []
        work("slow", tasks, on_progress=reported.append)
        assert [each.text for each in reported] == ["first", "second", "third"]

    def test_progress_reaches_the_listener_of_the_process(self, tasks: Path) -> None:
        reported: list[Progress] = []
        with progress.listening(reported.append):
            work("slow", tasks)
        assert [each.text for each in reported] == ["first", "second", "third"]

    def test_search_path_comes_after_the_standard_library(self, tasks: Path, tmp_path: Path) -> None:
        code = tmp_path / "user code"
        code.mkdir()
        (code / "user_module.py").write_text("VALUE = 17")
        (code / "random.py").write_text("raise SystemExit(1)")
        answer = work("import_user_code", tasks, search_path=[code])
        assert answer.value.fields == {"value": 17, "random": True}

    def test_an_error_of_tritonize_keeps_its_class_and_fields(self, tasks: Path) -> None:
        error = worker_error("known", tasks)
        assert type(error) is errors.ExportError
        assert (error.what, error.where, error.details) == ("It cannot be exported.", "layer 3", ("a", "b"))

    def test_any_other_exception(self, tasks: Path) -> None:
        error = worker_error("unknown", tasks)
        assert type(error) is errors.WorkerError
        assert (error.what, error.code) == ("KeyError: 'no such thing'", "worker-raised")
        assert any("in inner" in line for line in error.details)

    def test_an_exception_that_cannot_be_printed(self, tasks: Path) -> None:
        assert worker_error("unprintable", tasks).what == "Odd: (no text, since its __str__ raises)"

    @pytest.mark.parametrize("task", ["leave", "leave_at_once"])
    def test_exit(self, task: str, tasks: Path) -> None:
        error = worker_error(task, tasks, {"code": 3})
        assert type(error) is errors.WorkerError
        assert (error.what, error.code) == ("The worker exited with code 3 before it returned a result.", "worker-ended")
        assert task == "leave" or error.details == ("last words",)

    def test_crash(self, tasks: Path) -> None:
        error = worker_error("crash", tasks)
        assert error.what == "The worker was killed by SIGSEGV."
        assert any("in crash" in line for line in error.details)

    def test_killed(self, tasks: Path) -> None:
        assert worker_error("killed", tasks).what == "The worker was killed by SIGKILL."

    def test_hang(self, tasks: Path) -> None:
        error = worker_error("hang", tasks, deadline_s=1.0)
        assert error.what == "The worker did not finish within 1.0 s and was ended."
        assert error.details == ("hanging",)

    def test_memory_bound(self, tasks: Path) -> None:
        error = worker_error("eat", tasks, memory_bytes=200 * 2**20)
        assert error.what.startswith("The worker was ended because it used too much memory")

    def test_allocation_refused(self, tasks: Path) -> None:
        error = worker_error("no_memory", tasks)
        assert error.code == "worker-out-of-memory"
        assert error.found is not None
        assert "Unable to allocate" in error.found

    @pytest.mark.parametrize("task", ["full", "full_behind_another"])
    def test_full_disk(self, task: str, tasks: Path) -> None:
        error = worker_error(task, tasks)
        assert type(error) is errors.RepositoryError
        assert "no space is left" in error.what.lower()

    def test_an_answer_that_is_not_json(self, tasks: Path) -> None:
        with pytest.raises(TaskError, match=r"^The result of task \S+:NOT_JSON: fields\.x: expected JSON data"):
            work("not_json", tasks)

    def test_a_request_of_another_type_names_the_task(self, tasks: Path) -> None:
        with pytest.raises(TaskError, match=r"^The request of task tritonize\.misbehaving_tasks:ECHO: fields: expected"):
            work("echo", tasks, 3)  # type: ignore[arg-type]

    def test_a_request_that_a_worker_cannot_read_names_the_task(self, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Task, "encode_request", lambda *_: {"field": {}})
        with pytest.raises(TaskError, match=r"^The request of task \S+:ECHO: value: Fields has no field field"):
            work("echo", tasks)

    def test_a_running_thread_does_not_delay_the_answer(self, tasks: Path) -> None:
        began = time.monotonic()
        assert work("thread_that_hangs", tasks, deadline_s=60).value.fields == {"done": True}
        assert time.monotonic() - began < 20

    def test_ctrl_c_ends_the_worker(self, tasks: Path) -> None:
        threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            work("hang", tasks, deadline_s=60)
        # the fixture looks for leftovers


def test_log_tail_is_readable(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"first\n" * 100 + b"\x1b[31mred\x1b[0m\n\n   \n\xff" + b"x" * 1000)
    tail = processes.log_tail(log, 3)
    assert tail[:2] == ["first", "red"]
    assert len(tail[2]) == 400
    assert processes.log_tail(tmp_path / "none") == []


@pytest.mark.parametrize("env", [None, {"PATH": os.defpath}])
def test_telemetry_is_off_in_everything_that_is_started(env, tmp_path):
    command = [sys.executable, "-c", "import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"]
    with processes.start(command, log=tmp_path / "log", env=env) as process:
        assert process.wait(20).exit_code == 0
    assert (tmp_path / "log").read_text() == "1\n"
