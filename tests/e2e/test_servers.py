"""The embedded server's life: what it needs, how it starts, how it ends on every path."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import server_models
from tests.support.command import CHECKOUT
from tests.support.waiting import eventually, processes_of
from tritonize.core import cache, errors
from tritonize.core.errors import ExportError, MissingError, RepositoryError, ServerError, UsageError
from tritonize.core.messages import server as wording
from tritonize.spec import schema
from tritonize.triton.server import embedded, environment, log, prerequisites
from tritonize.triton.server.embedded import Ports, Running
from tritonize.workflows import run as run_workflow


class TestPrerequisites:
    def test_this_machine_has_everything(self) -> None:
        probes = prerequisites.probe()
        assert [probe.name for probe in probes if not probe.ok] == []
        assert len(probes) == 6
        prerequisites.require()

    def test_another_platform_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        with pytest.raises(MissingError, match="Linux x86_64") as caught:
            prerequisites.require()
        assert "aarch64" in str(caught.value.found)

    def test_a_machine_without_ptrace_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before anything else is done: after the export would be late."""
        refusal = MissingError.of(wording.NOTHING_CAN_BE_HIDDEN, found="ptrace: Operation not permitted")

        def refuse(*_: Any, hidden: Any = None, **__: Any) -> None:
            assert hidden
            raise refusal

        monkeypatch.setattr(prerequisites.processes, "start", refuse)
        with pytest.raises(MissingError) as caught:
            environment.require_possible()
        assert caught.value.code == "server-key-not-hidden"
        assert [probe.found for probe in prerequisites.probe() if not probe.ok] == ["ptrace: Operation not permitted"]

    def test_an_older_c_library_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
        with pytest.raises(MissingError, match=r"glibc 2\.35 or newer"):
            prerequisites.require()

    def test_a_missing_venv_module_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prerequisites.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
        monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}")
        with pytest.raises(MissingError, match="venv") as caught:
            prerequisites.require()
        assert caught.value.next_step == f"apt-get install python3.{sys.version_info.minor}-venv"

    def test_a_run_checks_the_machine_first(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        (tmp_path / "m.onnx").touch()
        model = {"source": str(tmp_path / "m.onnx")}
        specification = schema.Spec.model_validate({"schema": 1, "repository": tmp_path / "repository", "models": {"m": model}})
        with pytest.raises(MissingError, match="Linux x86_64"):
            run_workflow.run(specification)
        assert not (tmp_path / "repository").exists()
        with pytest.raises(ExportError):  # what is not served needs no server
            run_workflow.build(specification)

    def test_a_missing_libpython_is_an_error(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(prerequisites, "_LOADER_CACHE", tmp_path / "none")
        monkeypatch.setattr(prerequisites.sysconfig, "get_config_var", lambda name: str(tmp_path))
        monkeypatch.setattr(sys, "base_prefix", "/usr")
        monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}")
        with pytest.raises(MissingError, match=r"libpython3\.\d+\.so\.1\.0") as caught:
            prerequisites.require()
        assert caught.value.next_step == f"apt-get install libpython3.{sys.version_info.minor}"

    def test_a_libpython_outside_the_loaders_path_is_found(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        library = tmp_path / f"libpython3.{sys.version_info.minor}.so.1.0"
        library.touch()
        monkeypatch.setattr(prerequisites.sysconfig, "get_config_var", lambda name: str(tmp_path))
        found = prerequisites.libpython()
        assert found == prerequisites.LibPython(path=library, on_loader_path=False)

    def test_a_libpython_of_another_patch_release_is_not_used(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        library = prerequisites.libpython()
        assert library is not None
        cache = tmp_path / "ld.so.cache"
        cache.write_bytes(b"\0" + str(library.path).encode() + b"\0")
        monkeypatch.setattr(prerequisites, "_LOADER_CACHE", cache)
        monkeypatch.setattr(prerequisites.sysconfig, "get_config_var", lambda name: str(tmp_path))
        monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
        assert prerequisites.libpython() == prerequisites.LibPython(path=library.path, on_loader_path=True)
        monkeypatch.setattr(prerequisites.platform, "python_version", lambda: "3.11.99")
        assert prerequisites.libpython() is None
        with pytest.raises(MissingError, match=r"libpython3\.\d+\.so\.1\.0") as caught:
            prerequisites.require()
        real = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
        assert caught.value.found == f"{library.path} of Python {real}, while this is 3.11.99"

    def test_too_little_shared_memory_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage("/dev/shm")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: type(usage)(64 * 2**20, 0, 64 * 2**20))
        with pytest.raises(MissingError, match="128 MiB free in /dev/shm") as caught:
            prerequisites.require()
        assert "--shm-size" in str(caught.value.next_step)


class TestEnvironment:
    def test_probe_changes_nothing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        last = environment.probe()[-1]
        assert (last.ok, last.found, last.next_step) == (False, "not installed", "tritonize doctor --install-server")
        assert not (tmp_path / "cache").exists()

    def test_a_missing_package_index_is_an_error(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(MissingError, match="not installed") as caught:
            environment.ready()
        assert caught.value.exit_code == 3
        assert caught.value.cause == "no package index can be reached"
        assert "tritonize doctor --install-server" in str(caught.value.next_step)
        left = [path.name for path in (tmp_path / "cache" / "server").iterdir()]
        assert [name for name in left if not name.endswith(".lock")] == []

    def test_ctrl_c_ends_the_installation(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))

        def interrupt(_: str) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(environment, "_PROGRESS_INTERVAL_S", 0.3)
        with pytest.raises(KeyboardInterrupt):
            environment.ready(interrupt)
        left = [path.name for path in (tmp_path / "cache" / "server").iterdir()]
        assert [name for name in left if not name.endswith(".lock")] == []
        assert not processes_of(str(tmp_path))

    def test_an_unwritable_cache_is_an_error(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("")
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        with pytest.raises(RepositoryError) as caught:
            environment.ready()
        assert caught.value.code == "folder-not-writable"

    def test_the_key_covers_the_lock_file_and_python(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        place = environment._prefix()
        assert platform.python_version() in place.name
        monkeypatch.setattr(environment, "_LOCK", tmp_path / "lock")
        (tmp_path / "lock").write_text("onnxruntime==9")
        assert environment._prefix() != place
        assert environment.locked() == {"onnxruntime": "9"}

    @pytest.mark.server
    def test_the_installed_environment_is_complete(self) -> None:
        installed = environment.ready()
        assert os.access(installed.server, os.X_OK)
        assert cache.is_complete(installed.prefix)
        library = installed.backends / "python" / "libtriton_python.so"
        assert not library.is_symlink()
        assert (installed.backends / "python" / "triton_python_backend_stub").resolve().is_file()
        assert (installed.backends / "onnxruntime" / "model.py").is_file()
        assert environment.probe()[-1].ok
        assert set(installed.variables()) <= {"HOME", "TMPDIR", "TZ", "PATH", "LANG", "LD_LIBRARY_PATH"}

    @pytest.mark.server
    def test_install_keeps_a_working_environment(self) -> None:
        before = environment.ready()
        told: list[str] = []
        assert environment.install(told.append) == before
        assert told == []


class TestLog:
    LINES = """
I1124 21:13:23.949268 10246 server.cc:604] "fine"
[libprotobuf ERROR /x.cc:337] Error parsing text-format inference.ModelConfig: 3:8: Message type has no field "inputs".
E1124 21:08:11.489861 8675 manager.cc:1460] "Poll failed for model directory 'a': failed to read text proto from /r/a"
E1124 21:08:11.489861 8675 manager.cc:1460] "Poll failed for model directory 'b': must specify 'platform' or 'backend'"
E1124 21:08:12.235239 8675 x.cc:642] "failed to load 'c' version 1: Internal: ValueError: input 'X': wrong\\n\\nAt:\\n  /m(1)\\n"
| server_version                   | 2.51.0      |
I1124 21:08:12.004800 8675 model.py:69] "vol_0_1: ONNX Runtime 1.32.0, Python 3.11.2"
"""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "log"
        path.write_text(self.LINES)
        return path

    def test_the_log_gives_the_reasons_of_rejected_models(self, file: Path) -> None:
        assert log.refusals(file) == {
            "a": 'config.pbtxt, line 3, column 8: Message type has no field "inputs".',
            "b": "must specify 'platform' or 'backend'",
            "c": "input 'X': wrong",
        }

    def test_the_log_gives_the_versions(self, file: Path) -> None:
        assert log.versions(file) == {"tritonserver": "2.51.0", "onnxruntime": "1.32.0", "python": "3.11.2"}

    def test_problems_are_warnings_and_errors(self, file: Path) -> None:
        assert len(log.problems(file)) >= 3
        assert "fine" not in "".join(log.problems(file))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one small model."""
    root = tmp_path / "repository"
    server_models.add_sub(server_models.write(root, "add_sub", server_models.ADD_SUB))
    return root


def up_and_down(repository: Path, directory: Path, **options: Any) -> None:
    """Start a server and stop it."""
    with embedded.start(repository, directory=directory, **options):
        pass


def nothing_left(mark: str) -> bool:
    """No process and no shared memory of one server."""
    return not processes_of(mark) and not list(Path("/dev/shm").glob(f"{mark}*"))


@pytest.mark.server
class TestStart:
    def test_a_server_starts_and_stops(self, repository: Path, tmp_path: Path) -> None:
        with embedded.start(repository, directory=tmp_path / "run") as running:
            assert running.identity["tritonserver"] == "2.51.0"
            assert running.identity["onnxruntime"] == "1.32.0"
            assert running.identity["python"] == platform.python_version()
            assert "tritonize" in running.identity["backend"]
            assert running.log is not None
            assert "add_sub" in running.log.read_text()
            assert len(processes_of(running.shm_prefix)) == 2  # the server and the one process of the model
            assert list(Path("/dev/shm").glob(f"{running.shm_prefix}*"))
            began = time.monotonic()
        assert time.monotonic() - began < 2
        assert nothing_left(running.shm_prefix)

    def test_only_this_machine_can_reach_it(self, repository: Path, tmp_path: Path) -> None:
        with embedded.start(repository, directory=tmp_path / "run") as running:
            inodes = {
                str(path.readlink())[8:-1]
                for path in Path(f"/proc/{running.process.pid}/fd").iterdir()
                if str(path.readlink()).startswith("socket:")
            }
            listening = []
            for table in ("tcp", "tcp6"):
                for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                    fields = line.split()
                    if fields[3] == "0A" and fields[9] in inodes:
                        listening.append(fields[1])
            assert len(listening) >= 2
            assert {address.partition(":")[0][-8:] for address in listening} == {"0100007F"}

    def test_the_server_uses_the_given_ports(self, repository: Path, tmp_path: Path) -> None:
        chosen = embedded._choose(Ports(metrics=0))
        with embedded.start(repository, directory=tmp_path / "run", ports=chosen) as running:
            assert running.http_url == f"127.0.0.1:{chosen.http}"
            assert running.grpc_url == f"127.0.0.1:{chosen.grpc}"
            until = time.monotonic() + 20  # Triton opens that port last, after it reports that it is ready
            while True:
                try:
                    connection = socket.create_connection(("127.0.0.1", chosen.metrics or 0), timeout=5)
                    break
                except ConnectionRefusedError:
                    assert time.monotonic() < until
                    time.sleep(0.05)
            with connection:
                connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                assert b"nv_inference_count" in connection.recv(65536)

    @pytest.mark.parametrize("which", ["http", "grpc"])
    def test_a_port_in_use_is_an_error(self, which: str, repository: Path, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            with (
                pytest.raises(ServerError, match=f"port {port} cannot be used") as caught,
                embedded.start(repository, directory=tmp_path / "run", ports=Ports(**{which: port})),
            ):
                pass
        assert caught.value.exit_code == 7
        assert "in use" in str(caught.value.found)
        assert "another port" in str(caught.value.next_step)

    def test_a_port_taken_before_the_bind_is_replaced(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the choice and the server's own bind: another one is chosen."""
        choose = embedded._choose
        with socket.create_server(("127.0.0.1", 0)) as listener:
            stolen = [Ports(http=listener.getsockname()[1], grpc=choose(Ports()).grpc)]
            monkeypatch.setattr(embedded, "_choose", lambda wanted: stolen.pop() if stolen else choose(wanted))
            with embedded.start(repository, directory=tmp_path / "run") as running:
                assert running.http_url != f"127.0.0.1:{listener.getsockname()[1]}"
        assert not stolen

    def test_only_the_named_models_are_loaded(self, repository: Path, tmp_path: Path) -> None:
        server_models.write(repository, "broken", "this is no configuration")
        with embedded.start(repository, directory=tmp_path / "run", models=["add_sub"]):
            pass
        with (
            pytest.raises(ServerError, match="'broken'") as caught,
            embedded.start(repository, directory=tmp_path),
        ):
            pass
        assert caught.value.code == "server-model-refused"
        assert "config.pbtxt, line 1" in str(caught.value.found)

    def test_a_missing_model_is_an_error(self, repository: Path, tmp_path: Path) -> None:
        with (
            pytest.raises(ServerError, match="'nobody'") as caught,
            embedded.start(repository, directory=tmp_path, models=["nobody"]),
        ):
            pass
        assert "there is no directory nobody" in str(caught.value.found)

    def test_a_missing_repository_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such model repository") as caught:
            up_and_down(tmp_path / "nowhere", tmp_path / "run")
        assert "nowhere" in str(caught.value.where)

    def test_a_repository_that_vanishes_is_an_error(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server then runs and reports that it is not live."""
        command = embedded._command
        monkeypatch.setattr(embedded, "_command", lambda *given, **named: [shutil.rmtree(given[1]), *command(*given, **named)][1:])
        with pytest.raises(ServerError) as caught:
            up_and_down(repository, tmp_path / "run", ready_timeout_s=60)
        assert caught.value.code == "server-not-alive"
        assert "failed to stat file" in str(caught.value.found)

    def test_a_server_that_exits_at_the_start_is_an_error_at_once(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = embedded._command
        monkeypatch.setattr(embedded, "_command", lambda *given, **named: [*command(*given, **named), "--no-such-flag"])
        began = time.monotonic()
        with pytest.raises(ServerError, match="exited with code 1 before it was ready") as caught:
            up_and_down(repository, tmp_path / "run", ready_timeout_s=60)
        assert time.monotonic() - began < 10
        assert caught.value.details

    def test_a_server_that_is_not_ready_in_time_is_an_error(self, repository: Path, tmp_path: Path) -> None:
        with pytest.raises(ServerError, match="was not ready within 0 s"):
            up_and_down(repository, tmp_path / "run", ready_timeout_s=0.0)


@pytest.mark.server
class TestEnd:
    def test_a_crash_of_the_server_is_reported_and_cleaned_up(self, repository: Path, tmp_path: Path) -> None:
        with embedded.start(repository, directory=tmp_path / "run") as running:
            os.kill(running.process.pid, signal.SIGKILL)
            with pytest.raises(ServerError, match="was killed by SIGKILL"):
                running.wait(20)
            assert nothing_left(running.shm_prefix)

    def test_wait_ends_when_the_server_is_stopped(self, repository: Path, tmp_path: Path) -> None:
        with embedded.start(repository, directory=tmp_path / "run") as running:
            with pytest.raises(TimeoutError):
                running.wait(0.1)
            os.kill(running.process.pid, signal.SIGTERM)
            with pytest.raises(ServerError, match="exited with code 0"):
                running.wait(20)

    def test_a_server_stops_cleanly_while_others_run(self, repository: Path, tmp_path: Path) -> None:
        """Each server creates its own folder in /tmp, and aborts at its end if another process removed it."""
        with embedded.start(repository, directory=tmp_path / "long") as long:
            up_and_down(repository, tmp_path / "short")
            os.kill(long.process.pid, signal.SIGTERM)
            with pytest.raises(ServerError, match="exited with code 0"):
                long.wait(20)

    def test_a_server_that_started_later_stops_cleanly(self, repository: Path, tmp_path: Path) -> None:
        with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
            first.enter_context(embedded.start(repository, directory=tmp_path / "first"))
            later = second.enter_context(embedded.start(repository, directory=tmp_path / "second"))
            first.close()
            os.kill(later.process.pid, signal.SIGTERM)
            with pytest.raises(ServerError, match="exited with code 0"):
                later.wait(20)

    def test_the_server_ends_if_its_guard_is_killed(self, repository: Path, tmp_path: Path) -> None:
        with embedded.start(repository, directory=tmp_path / "run") as running:
            os.kill(running.process.guard_pid, signal.SIGKILL)
            with pytest.raises(ServerError, match="SIGKILL"):
                running.wait(20)
            assert eventually(lambda: nothing_left(running.shm_prefix))

    def test_an_error_in_the_block_stops_the_server(self, repository: Path, tmp_path: Path) -> None:
        held: list[Running] = []
        with pytest.raises(KeyboardInterrupt), embedded.start(repository, directory=tmp_path / "run") as running:
            held.append(running)
            raise KeyboardInterrupt
        assert nothing_left(held[0].shm_prefix)

    PARENT = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tritonize.triton.server import embedded
with embedded.start(Path({repository!r}), directory=Path({run!r})) as running:
    print(running.shm_prefix, flush=True)
    running.wait()
"""

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_the_server_ends_with_its_parent_process(self, number: int, repository: Path, tmp_path: Path) -> None:
        code = self.PARENT.format(root=str(CHECKOUT), repository=str(repository), run=str(tmp_path / "run"))
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
            assert parent.stdout is not None
            prefix = parent.stdout.readline().strip()
            try:
                assert prefix.startswith("tritonize-")
                assert len(processes_of(prefix)) == 2
            finally:
                parent.send_signal(number)
            try:
                parent.wait(20)
            finally:
                parent.kill()
            assert eventually(lambda: nothing_left(prefix))


def test_server_errors_have_exit_code_7() -> None:
    assert errors.ServerError.exit_code == 7
