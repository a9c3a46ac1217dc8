"""The embedded server's life: what it needs, how it starts, how it ends on every path."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.support import server_models
from tests.support.command import CHECKOUT
from tests.support.waiting import descendants, eventually, processes_of
from tritonize.core import cache, errors
from tritonize.core.errors import ExportError, MissingError, RepositoryError, ServerError, UsageError
from tritonize.core.messages import server as wording
from tritonize.spec import schema
from tritonize.triton import client
from tritonize.triton.server import embedded, environment, installation, log, native_backend, prerequisites, python_environment
from tritonize.triton.server.embedded import Running
from tritonize.triton.server.ports import Ports, choose
from tritonize.workflows import run as run_workflow


class TestPrerequisites:
    def test_this_machine_has_everything(self) -> None:
        probes = prerequisites.probe()
        assert [probe.name for probe in probes if not probe.ok] == []
        assert len(probes) == 3
        prerequisites.require(probes)
        python = prerequisites.probe_python()
        assert [probe.name for probe in python if not probe.ok] == []
        assert len(python) == 4

    def test_another_platform_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platform, "machine", lambda: "riscv64")
        with pytest.raises(MissingError, match="Linux x86_64 or aarch64") as caught:
            prerequisites.require(prerequisites.probe())
        assert "riscv64" in str(caught.value.found)

    def test_aarch64_serves_onnx_models_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        assert [probe.name for probe in prerequisites.probe() if not probe.ok] == []
        assert [probe.name for probe in prerequisites.probe_python() if not probe.ok] == ["CPython 3.11 or 3.12 on x86_64"]

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
            prerequisites.require(prerequisites.probe())

    @pytest.mark.parametrize(("absent", "ok"), [(("pip",), True), (("ensurepip",), True), (("pip", "ensurepip"), False)])
    def test_pip_or_what_installs_it_is_required(self, absent: tuple[str, ...], ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prerequisites.importlib.util, "find_spec", lambda name: None if name in absent else object())
        monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}")
        probe = prerequisites._pip()
        if ok:
            prerequisites.require([probe])
            return
        with pytest.raises(MissingError, match="pip, or Python's venv and ensurepip") as caught:
            prerequisites.require([probe])
        assert caught.value.next_step == f"apt-get install python3.{sys.version_info.minor}-venv"

    def test_a_python_that_triton_has_no_stub_for_serves_onnx_models_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Version(NamedTuple):
            major: int
            minor: int

        monkeypatch.setattr(prerequisites.sys, "version_info", Version(3, 14))
        assert [probe.name for probe in prerequisites.probe() if not probe.ok] == []
        assert (
            prerequisites.probe_python()[0].next_step == "serve plans with tritonize installed under Python 3.11 or 3.12 on x86_64"
        )

    def test_a_run_checks_the_machine_first(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(platform, "machine", lambda: "riscv64")
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
            prerequisites.require(prerequisites.probe_python())
        assert caught.value.next_step == f"apt-get install libpython3.{sys.version_info.minor}"
        assert "libpython" not in "".join(probe.name for probe in prerequisites.probe())  # ONNX models do not need it

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
            prerequisites.require(prerequisites.probe_python())
        real = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
        assert caught.value.found == f"{library.path} of Python {real}, while this is 3.11.99"

    def test_too_little_shared_memory_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage("/dev/shm")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: type(usage)(64 * 2**20, 0, 64 * 2**20))
        with pytest.raises(MissingError, match="128 MiB free in /dev/shm") as caught:
            prerequisites.require(prerequisites.probe_python())
        assert "--shm-size" in str(caught.value.next_step)


class TestEnvironment:
    def test_probe_changes_nothing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        *_, python, last = environment.probe()
        assert (last.ok, last.absent, last.next_step) == (True, True, None)
        assert "the first run installs it" in last.found
        assert (python.ok, python.found) == (True, "not installed: the first run that needs it installs it")
        assert not (tmp_path / "cache").exists()

    def test_a_python_backend_that_is_not_possible_is_no_failure(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(prerequisites, "libpython", lambda: None)
        python = environment.probe()[-2]
        assert python.ok
        assert python.found.startswith("not possible: the shared library of Python")
        environment.require_possible()
        with pytest.raises(MissingError, match="libpython"):
            environment.require_possible(python=True)

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

        monkeypatch.setattr(installation, "_PROGRESS_INTERVAL_S", 0.3)
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

    def test_the_servers_key_is_of_its_lock_and_the_python_backends_of_python_too(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        place, python = environment.place(), python_environment.place()
        assert platform.python_version() in python.name
        monkeypatch.setattr(sys, "base_prefix", "/another")
        assert environment.place() == place
        assert python_environment.place() != python
        monkeypatch.setattr(environment, "_LOCK", tmp_path / "lock")
        (tmp_path / "lock").write_text("nvidia-pytriton==9")
        assert environment.place() != place
        assert environment.locked() == {"nvidia-pytriton": "9"}

    @pytest.mark.server
    def test_the_installed_environment_is_complete(self) -> None:
        installed = environment.ready()
        assert os.access(installed.server, os.X_OK)
        assert cache.is_complete(environment.place())
        library = installed.backends / "onnxruntime" / "libtriton_onnxruntime.so"
        assert library.is_file()
        assert not library.is_symlink()
        assert not (installed.backends / "python").exists()
        assert installed.python is None
        assert environment.probe()[-1].ok
        assert set(installed.variables()) <= {"HOME", "TMPDIR", "TZ", "PATH", "LANG"}

    @pytest.mark.server
    def test_the_server_needs_the_c_and_cpp_libraries_and_zlib_of_the_system_and_no_python(self) -> None:
        installed = environment.ready()
        files = [installed.server, installed.native.file, installed.native.onnxruntime]
        needed = {}
        for file in files:
            done = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=True)
            for line in done.stdout.splitlines():
                name, _, place = line.strip().partition(" => ")
                if str(environment.place()) not in place:
                    needed[name.split()[0]] = place
        libraries = {name.split(".so")[0] for name in needed if "vdso" not in name}
        expected = {"libc", "libm", "libdl", "libpthread", "librt", "libresolv", "libgcc_s", "libstdc++", "libz"}
        assert libraries <= {*expected, "/lib64/ld-linux-x86-64"}
        size = sum(path.lstat().st_size for path in environment.place().rglob("*") if path.is_file())
        assert size < 120 * 2**20

    @pytest.mark.server
    def test_no_python_is_in_the_process_of_a_server_of_onnx_models(self, server: Running) -> None:
        """None is mapped after requests, the server has no child, and no file that it starts names a libpython."""
        with client.connect_to(server, "grpc") as connection:
            connection.infer("identity_fp32", {"X": np.ones((1, 2), np.float32)})
        mapped = set(re.findall(r" (/.*)$", Path(f"/proc/{server.process.pid}/maps").read_text(), re.MULTILINE))
        assert any("libonnxruntime.so" in path for path in mapped)
        assert any(path.endswith("libtriton_onnxruntime.so") for path in mapped)
        assert [path for path in mapped if "python" in Path(path).name.lower()] == []
        assert descendants(server.process.pid) == []
        installed = environment.ready()
        places = [environment.place(), installed.backends]
        files = [path for place in places for path in place.rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
        assert len(files) > 20
        named = {path.name for path in files if b"libpython" in path.read_bytes()}
        assert named <= {"triton_python_backend_stub"}  # started for models that are Python code alone

    @pytest.mark.server
    def test_install_keeps_a_working_environment(self) -> None:
        before = environment.ready()
        told: list[str] = []
        assert environment.install(told.append) == before
        assert told == []

    @pytest.mark.server
    def test_install_mends_what_does_not_start(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        shutil.copytree(environment.ready().server.parents[3], tmp_path / "copy")

        def unpack(_: Path, folder: Path) -> None:
            shutil.copytree(tmp_path / "copy", folder, dirs_exist_ok=True)

        monkeypatch.setattr(installation, "download", lambda *_: Path("no.whl"))
        monkeypatch.setattr(environment, "unpack", unpack)
        shutil.rmtree(environment.place() / "nvidia_pytriton.libs")
        installed = environment.install()
        assert (environment.place() / "nvidia_pytriton.libs").is_dir()
        assert os.access(installed.server, os.X_OK)

    @pytest.mark.server
    def test_without_pip_one_is_installed_for_the_download_and_removed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """As in an environment that uv made."""
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        find = installation.importlib.util.find_spec
        monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))
        installed = environment.ready()
        assert os.access(installed.server, os.X_OK)
        assert {path.name for path in environment.place().iterdir()} == {
            ".complete",
            "install.log",
            "nvidia_pytriton-0.7.0.dist-info",
            "nvidia_pytriton.libs",
            "pytriton",
        }


class TestNativeBackend:
    @pytest.fixture
    @staticmethod
    def native(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> native_backend.NativeBackend:
        """The installed libraries, with a cache of its own."""
        monkeypatch.setenv("TRITONIZE_CACHE", str(tmp_path / "cache"))
        return native_backend.find()

    def test_a_library_that_was_not_compiled_is_an_error(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(native_backend, "_FILE", tmp_path / "libtriton_onnxruntime.so")
        with pytest.raises(MissingError, match="without its backend for ONNX models") as caught:
            environment.require_possible()
        assert "pip install -e ." in str(caught.value.next_step)
        probe = native_backend.probe()
        assert (probe.ok, probe.next_step) == (False, caught.value.next_step)

    def test_a_package_without_the_library_is_an_error(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "onnxruntime").mkdir()
        (tmp_path / "onnxruntime" / "__init__.py").touch()
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)  # else `find_spec` gives that of the imported package
        with pytest.raises(MissingError, match="does not find the library of ONNX Runtime") as caught:
            environment.require_possible()
        assert str(tmp_path / "onnxruntime" / "capi") in str(caught.value.found)

    def test_the_probe_runs_once_for_each_pair_of_libraries(
        self, native: native_backend.NativeBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        first = native_backend.directory(native)
        assert (first / "probe.log").read_text().splitlines()[-1] == native.version
        monkeypatch.setattr(native_backend, "_require_usable", None)
        assert native_backend.directory(native) == first
        other = tmp_path / "libonnxruntime.so.9"
        shutil.copy2(native.onnxruntime, other)
        assert dataclasses.replace(native, onnxruntime=other).digest() != native.digest()

    def test_a_library_that_is_not_onnx_runtime_is_an_error(self, native: native_backend.NativeBackend, tmp_path: Path) -> None:
        other = tmp_path / "libonnxruntime.so.9"
        shutil.copy2(native.file, other)
        with pytest.raises(MissingError, match="cannot use the installed ONNX Runtime") as caught:
            native_backend.directory(dataclasses.replace(native, onnxruntime=other))
        assert caught.value.found == f"{other} is no ONNX Runtime: it has no OrtGetApiBase"
        assert [path.name for path in (tmp_path / "cache" / "server").iterdir() if path.is_dir()] == []

    def test_a_file_that_is_not_a_library_is_an_error(self, native: native_backend.NativeBackend, tmp_path: Path) -> None:
        other = tmp_path / "libonnxruntime.so.9"
        other.write_text("no library")
        with pytest.raises(MissingError) as caught:
            native_backend.directory(dataclasses.replace(native, onnxruntime=other))
        assert str(caught.value.found).startswith("cannot load ONNX Runtime: ")


class TestModelsThatNeedPython:
    @pytest.mark.parametrize(
        ("text", "file", "needed"),
        [
            ('backend: "python"', None, True),
            ("name: 'a' backend : 'python'", None, True),
            ('# backend: "python"\nbackend: "onnxruntime"', "model.py", False),
            ('platform: "onnxruntime_onnx"', "model.py", False),
            ('platform: "tensorrt_plan"', "model.plan", True),
            ('backend: "tensorrt_rtx"', None, True),
            ("max_batch_size: 2", "model.py", True),  # Triton chooses the backend by the file's name
            ("max_batch_size: 2", "model.onnx", False),
            (None, "model.py", True),
        ],
    )
    def test_configuration_and_file_decide(self, text: str | None, file: str | None, needed: bool, tmp_path: Path) -> None:
        (tmp_path / "m" / "1").mkdir(parents=True)
        if text is not None:
            (tmp_path / "m" / "config.pbtxt").write_text(text)
        if file is not None:
            (tmp_path / "m" / "1" / file).touch()
        assert python_environment.is_needed({"m": tmp_path / "m"}) is needed

    def test_one_model_of_many_is_enough(self, tmp_path: Path) -> None:
        for name, text in (("a", 'backend: "onnxruntime"'), ("b", 'backend: "python"')):
            (tmp_path / name).mkdir()
            (tmp_path / name / "config.pbtxt").write_text(text)
        assert python_environment.is_needed({"a": tmp_path / "a", "b": tmp_path / "b"})
        assert not python_environment.is_needed({"a": tmp_path / "a"})
        assert not python_environment.is_needed({})


class TestLog:
    LINES = """
I1124 21:13:23.949268 10246 server.cc:604] "fine"
[libprotobuf ERROR /x.cc:337] Error parsing text-format inference.ModelConfig: 3:8: Message type has no field "inputs".
E1124 21:08:11.489861 8675 manager.cc:1460] "Poll failed for model directory 'a': failed to read text proto from /r/a"
E1124 21:08:11.489861 8675 manager.cc:1460] "Poll failed for model directory 'b': must specify 'platform' or 'backend'"
E1124 21:08:12.235239 8675 x.cc:642] "failed to load 'c' version 1: Internal: ValueError: input 'X': wrong\\n\\nAt:\\n  /m(1)\\n"
| server_version                   | 2.51.0      |
I1124 21:08:12.004800 8675 onnxruntime:1] "native backend: ONNX Runtime 1.32.0"
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
        assert log.versions(file) == {"tritonserver": "2.51.0", "onnxruntime": "1.32.0"}

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
            assert running.identity == {
                "tritonserver": "2.51.0",
                "onnxruntime": importlib.metadata.version("onnxruntime"),
                "backend": "tritonize onnxruntime (native)",
            }
            assert running.log is not None
            assert "add_sub" in running.log.read_text()
            assert len(processes_of(running.shm_prefix)) == 1  # the server alone
            assert not list(Path("/dev/shm").glob(f"{running.shm_prefix}*"))
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
        chosen = choose(Ports(metrics=0))
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
        with socket.create_server(("127.0.0.1", 0)) as listener:
            stolen = [Ports(http=listener.getsockname()[1], grpc=choose(Ports()).grpc)]
            monkeypatch.setattr(embedded, "choose", lambda wanted: stolen.pop() if stolen else choose(wanted))
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
                assert len(processes_of(prefix)) == 1
            finally:
                parent.send_signal(number)
            try:
                parent.wait(20)
            finally:
                parent.kill()
            assert eventually(lambda: nothing_left(prefix))


@pytest.mark.server
class TestServe:
    """`tritonize serve`, whose server is killed."""

    @staticmethod
    @contextlib.contextmanager
    def serving(repository: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
        tritonize = str(Path(sys.executable).with_name("tritonize"))
        command = [tritonize, "serve", str(repository), "--http-port", "0", "--grpc-port", "0", "--json", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield process, json.loads(process.stdout.readline())
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)

    @staticmethod
    def kill_server(process: subprocess.Popen[str]) -> None:
        (server,) = (pid for pid in descendants(process.pid) if b"/tritonserver\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(server, signal.SIGKILL)

    @staticmethod
    def is_ready(address: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/v2/health/ready", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def test_a_crashed_server_is_restarted_on_the_same_port(self, repository: Path) -> None:
        with self.serving(repository) as (process, ready):
            assert self.is_ready(ready["http"])
            self.kill_server(process)
            assert process.stderr is not None
            said = process.stderr.readline()
            assert "The server was killed by SIGKILL. Restarting in 1 s (crash 1" in said
            assert not self.is_ready(ready["http"])  # clients see a refused connection meanwhile
            assert "Serving again" in process.stderr.readline()
            assert self.is_ready(ready["http"])
        assert process.returncode == 0

    def test_metrics_address_and_control_are_those_of_the_options(self, repository: Path) -> None:
        options = ("--metrics", "0", "--bind", "127.0.0.3", "--model-control", "explicit", "--model", "add_sub")
        with self.serving(repository, *options) as (process, ready):
            (server,) = (pid for pid in descendants(process.pid) if b"/tritonserver\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
            command = Path(f"/proc/{server}/cmdline").read_bytes().decode().split("\0")
            assert {"--http-address=127.0.0.3", "--grpc-address=127.0.0.3", "--metrics-address=127.0.0.1"} <= set(command)
            with urllib.request.urlopen(f"http://{ready['metrics']}/metrics", timeout=5) as response:
                assert b'nv_inference_request_success{model="add_sub"' in response.read()
            port = ready["http"].rpartition(":")[2]
            assert (ready["http"], ready["metrics"][:10]) == (f"127.0.0.3:{port}", "127.0.0.1:")
            assert not self.is_ready(f"127.0.0.1:{port}")
            unload = f"http://{ready['http']}/v2/repository/models/add_sub/unload"
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(unload, data=b"{}"), timeout=5)
            caught.value.close()
            assert caught.value.code == 403
            name, _, value = Path(ready["key_file"]).read_text().strip().partition(": ")
            with urllib.request.urlopen(urllib.request.Request(unload, data=b"{}", headers={name: value}), timeout=5) as response:
                assert response.status == 200

    @pytest.mark.slow
    def test_a_request_that_ends_triton_costs_a_restart(self, repository: Path) -> None:
        """Triton 2.51 makes room for a tensor in JSON by its declared shape."""
        body = b'{"inputs": [{"name": "A", "datatype": "FP32", "shape": [9223372036854775807, 2147483648], "data": [[1.5]]}]}'
        with self.serving(repository) as (process, ready):
            for crash in (1, 2):
                request = urllib.request.Request(f"http://{ready['http']}/v2/models/add_sub/infer", data=body)
                with pytest.raises(OSError) as caught:
                    urllib.request.urlopen(request, timeout=30)
                assert not isinstance(caught.value, urllib.error.HTTPError)  # no response at all
                assert process.stderr is not None
                assert f"was killed by SIGABRT. Restarting in {crash} s" in process.stderr.readline()
                assert "Serving again" in process.stderr.readline()
                assert self.is_ready(ready["http"])

    def test_without_restarts_a_crash_is_exit_code_7(self, repository: Path) -> None:
        with self.serving(repository, "--no-restart") as (process, _):
            self.kill_server(process)
            assert process.wait(60) == 7
            assert process.stderr is not None
            (log,) = re.findall(r"where: (\S+\.log)", process.stderr.read())
        assert "Started HTTPService" in Path(log).read_text()  # the error names a log that is still there
        assert stat.S_IMODE(Path(log).stat().st_mode) == 0o600
        Path(log).unlink()


def test_server_errors_have_exit_code_7() -> None:
    assert errors.ServerError.exit_code == 7
