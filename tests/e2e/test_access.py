"""What other users and web pages can do with the embedded server: send inferences and read descriptions, nothing else."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import attacker, server_models
from tests.support.waiting import processes_of
from tritonize.core.errors import InferenceError, MissingError
from tritonize.core.messages import server as wording
from tritonize.process import processes
from tritonize.triton import client, serving
from tritonize.triton.server import access, view
from tritonize.triton.server.embedded import Running

ATTACKER = Path(attacker.__file__)


def attack(server: Running, marker: Path) -> dict[str, Any]:
    """What `attacker.py` got, as another user where that is possible."""
    code = f"open({str(marker)!r}, 'w').write('ran')\nclass TritonPythonModel:\n    def execute(self, requests): return []\n"
    order = {
        "http": server.http_url,
        "grpc": server.grpc_url,
        "model": base64.b64encode(code.encode()).decode(),
        "pid": server.process.pid,
    }
    command = [sys.executable, str(ATTACKER), json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def found(server: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the attack brought; the server would write the marker, as its owner."""
    marker = tmp_path_factory.mktemp("marker") / "ran"
    return {**attack(server, marker), "ran": marker.exists()}


@pytest.mark.server
class TestOthers:
    def test_no_control_call_succeeds(self, found: dict[str, Any]) -> None:
        calls = found["control"]
        assert len(calls) >= 30
        assert {name for name in calls if name.startswith("http")} | {name for name in calls if name.startswith("grpc")} == set(
            calls
        )
        assert {name: answer for name, answer in calls.items() if "restricted" not in answer} == {}

    def test_no_code_ran(self, found: dict[str, Any]) -> None:
        assert found["loaded"] == []
        assert not found["ran"]

    def test_inference_and_descriptions_are_open_to_everybody(self, found: dict[str, Any]) -> None:
        assert {name: status for name, status in found["free"].items() if status != 200} == {}
        assert len(found["free"]) == 7

    def test_the_key_is_in_no_command_line_and_no_log(self, found: dict[str, Any], server: Running) -> None:
        (key,) = server.headers["http"].values()
        assert f"--http-restricted-api={access._PLACEHOLDER}" in "".join(found["command_lines"])
        assert key not in "".join(found["command_lines"])
        assert key not in repr(server)
        assert server.log is not None
        assert key not in server.log.read_text(errors="replace")
        if os.getuid() == 0:
            assert found["environment"] == "PermissionError"

    def test_no_process_and_no_shared_memory_but_the_servers(self, server: Running) -> None:
        """What a server with Python has is in `test_python_backend.py`."""
        assert [pid for pid, _ in processes_of(server.shm_prefix)] == [server.process.pid]
        assert list(Path("/dev/shm").glob(f"{server.shm_prefix}*")) == []

    def test_with_the_key_statistics_and_index_are_readable(self, server: Running) -> None:
        for transport in ("http", "grpc"):
            with client.connect_to(server, transport) as connection:  # type: ignore[arg-type]
                assert connection.statistics()
                assert {entry["state"] for entry in connection.model_index()} == {"READY"}
            with client.connect(server.http_url if transport == "http" else server.grpc_url, transport) as connection:  # type: ignore[arg-type]
                with pytest.raises(InferenceError) as caught:
                    connection.statistics()
                assert caught.value.code == "request-refused-by-server"
                assert "restricted" in str(caught.value.found)

    def test_even_with_the_key_no_model_is_loaded(self, server: Running) -> None:
        with client.connect_to(server, "grpc") as connection, pytest.raises(InferenceError) as caught:
            connection._call(connection._client.load_model, "add_sub", model="add_sub")
        assert "explicit" in str(caught.value.found)
        with client.connect_to(server, "http") as connection:
            answer = connection._connection.request("POST", "v2/repository/models/add_sub/load", body=[b"{}"], limit=10_000)
        assert answer.status != 200
        assert b"explicit" in answer.body

    def test_region_names_differ_from_their_file_names(self, server: Running) -> None:
        """A request may name any region that is registered, and a file in /dev/shm is seen by everybody."""
        with client.connect_to(server, "shm") as connection:
            tensors = {name: np.ones((1, 3), np.float32) for name in "AB"}
            connection.infer("add_sub", tensors)
            status = connection._call(connection._client.get_system_shared_memory_status, as_json=True)
        regions = {name: entry["key"].lstrip("/") for name, entry in status["regions"].items()}
        assert len(regions) >= 2
        assert [name for name, file in regions.items() if name in file or file in name] == []

    def test_the_key_is_written_into_a_private_file(self, server: Running, tmp_path: Path) -> None:
        serving.write_key(server, tmp_path / "key")
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
        assert (tmp_path / "key").read_text() == f"tritonize-key: {server.headers['http']['tritonize-key']}\n"


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


class TestHiddenArguments:
    SHOW = "import json, os, sys, time; print(json.dumps([sys.argv[1:], dict(os.environ)]), flush=True); time.sleep({})"

    def test_a_hidden_argument_arrives_and_is_never_visible(self, tmp_path: Path) -> None:
        seen: set[str] = set()
        over = threading.Event()

        def look() -> None:
            while not over.is_set():
                for folder in Path("/proc").glob("[0-9]*"):
                    text = _read(folder / "cmdline")
                    if "tritonize-test" in text:
                        seen.add(text)

        watcher = threading.Thread(target=look)
        watcher.start()
        argv = [sys.executable, "-c", self.SHOW.format(0.3), "a", "--key=(hidden)", "b", "--other=(hidden)", "tritonize-test"]
        hidden = {4: "--key=s3cret", 6: "--other=s3cret2"}
        try:
            with processes.start(argv, log=tmp_path / "log", env={"A": "1"}, hidden=hidden) as process:
                process.wait(60)
        finally:
            over.set()
            watcher.join()
        given, environment = json.loads((tmp_path / "log").read_text())
        assert given == ["a", "--key=s3cret", "b", "--other=s3cret2", "tritonize-test"]
        assert environment["A"] == "1"
        assert "s3cret" not in json.dumps(environment)
        assert any("--key=(hidden)" in text for text in seen)
        assert "s3cret" not in "".join(seen)

    def test_a_command_that_cannot_start_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "broken").write_bytes(b"\x7fELF")
        (tmp_path / "broken").chmod(0o755)
        with pytest.raises(MissingError, match="could not be started"):
            processes.start([tmp_path / "broken", "x"], log=tmp_path / "log", hidden={1: "y"})

    def test_without_ptrace_the_start_is_an_error(self, tmp_path: Path) -> None:
        """A process that is traced already cannot be traced by its parent, as under `strace -f`."""
        code = (
            "import sys; sys.path.append(sys.argv[1]); import guard_argv\n"
            "guard_argv.allow_tracing()\n"
            "try: guard_argv.allow_tracing()\n"
            "except OSError as error: print(error.strerror)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(Path(processes.__file__).parent)], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("ptrace: ")
        assert wording.NOTHING_CAN_BE_HIDDEN.next_step

    def test_a_process_with_a_hidden_argument_can_be_stopped(self, tmp_path: Path) -> None:
        argv = [sys.executable, "-c", self.SHOW.format(60), "--key=(hidden)"]
        with processes.start(argv, log=tmp_path / "log", hidden={3: "--key=s3cret"}) as process:
            began = time.monotonic()
            assert process.stop(1.0).reason == "stopped"
        assert time.monotonic() - began < 5


class TestView:
    def test_the_view_has_only_the_served_models(self, tmp_path: Path) -> None:
        repository = tmp_path / "repository"
        for name in ("one", "two", "both", "other"):
            server_models.write(repository, name, "")
        (repository / "both" / "config.pbtxt").write_text(
            "ensemble_scheduling { step [ { model_name: 'one' }, { model_name: \"two\" } ] }"
        )
        assert sorted(view.model_folders(repository, ["both"])) == ["both", "one", "two"]
        assert sorted(view.model_folders(repository, None)) == ["both", "one", "other", "two"]
        assert view.model_folders(repository, ["nobody"]) == {}

    def test_the_view_links_to_the_published_files(self, tmp_path: Path) -> None:
        (tmp_path / "repository" / "heart" / "1").mkdir(parents=True)
        (tmp_path / "view").mkdir()
        served = view.link_entries(tmp_path / "view", {"heart/1": tmp_path / "repository" / "heart" / "1"})
        assert (served / "heart" / "1").readlink() == tmp_path / "repository" / "heart" / "1"
