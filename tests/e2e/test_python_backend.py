"""A server that runs Python: its environment of its own, its processes, and what others see of it."""

from __future__ import annotations

import os
import platform
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import server_models
from tests.support.waiting import eventually, processes_of
from tritonize.core import cache
from tritonize.core.errors import InferenceError, ServerError
from tritonize.triton import client, serving
from tritonize.triton.server import embedded, environment
from tritonize.triton.server.embedded import Running

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("python")]

STUB = "triton_python_backend_stub"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of Python code and one ONNX model."""
    root = tmp_path_factory.mktemp("python") / "repository"
    for name in ("first", "second"):
        server_models.doubling(server_models.write(root, name, server_models.DOUBLING))
    server_models.add_sub(server_models.write(root, "add_sub", server_models.ADD_SUB))
    return root


@pytest.fixture(scope="module")
def running(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with embedded.start(repository, directory=tmp_path_factory.mktemp("run")) as started:
        yield started


def ask(server: Running, model: str) -> list[list[float]]:
    with client.connect_to(server, "grpc") as connection:
        found: list[list[float]] = connection.infer(model, {"X": np.ones((1, 2), np.float32)})["Y"].tolist()
        return found


def stubs(server: Running, model: str = "") -> list[int]:
    return [pid for pid, command in processes_of(server.shm_prefix) if STUB in command and model in command]


def test_the_environment_has_the_python_backend_and_the_backends_of_plans() -> None:
    installed = environment.ready(python=True)
    assert installed.python is not None
    assert cache.is_complete(installed.python.prefix)
    library = installed.backends / "python" / "libtriton_python.so"
    assert library.is_file()
    assert not library.is_symlink()
    assert (installed.backends / "python" / STUB).resolve().is_file()
    assert {path.name for path in installed.backends.iterdir() if path.is_dir()} == {
        *("onnxruntime", "plans", "python", "tensorrt", "tensorrt_rtx")
    }
    assert (installed.backends / "plans" / "batching.py").is_file()
    assert set(installed.variables()) <= {"HOME", "TMPDIR", "TZ", "PATH", "LANG", "LD_LIBRARY_PATH"}
    assert environment.probe()[-2].found == f"installed in {installed.python.prefix}"


def test_python_and_onnx_models_are_served_side_by_side(running: Running) -> None:
    assert running.identity["python"] == platform.python_version()
    assert running.identity["backend"] == "tritonize onnxruntime (native), Triton's python"
    assert ask(running, "first") == [[2, 2]]
    array = np.ones((1, 3), np.float32)
    with client.connect_to(running, "grpc") as connection:
        assert connection.infer("add_sub", {"A": array, "B": array})["SUM"].tolist() == [[2, 2, 2]]
    assert len(stubs(running)) == 2


def test_only_the_named_models_decide_whether_python_is_needed(repository: Path, tmp_path: Path) -> None:
    with embedded.start(repository, directory=tmp_path / "run", models=["add_sub"]) as started:
        assert "python" not in started.identity
        assert stubs(started) == []


def test_a_model_chosen_by_its_files_name_is_python_too(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    server_models.doubling(server_models.write(root, "doubling", server_models.DOUBLING.replace('backend: "python"', "")))
    with embedded.start(root, directory=tmp_path / "run") as started:
        assert ask(started, "doubling") == [[2, 2]]
        assert started.identity["backend"] == "Triton's python"


def test_the_models_processes_do_not_inherit_the_key(running: Running) -> None:
    (key,) = running.headers["http"].values()
    environments = [Path(f"/proc/{pid}/environ").read_text(errors="replace") for pid in stubs(running)]
    assert environments
    assert key not in "".join(environments)


def test_shared_memory_is_readable_only_by_its_owner(running: Running) -> None:
    files = list(Path("/dev/shm").glob(f"{running.shm_prefix}*"))
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_model_process_that_dies_is_reported_and_the_others_continue(repository: Path, tmp_path: Path) -> None:
    """The server goes on calling its model ready, so only an inference finds out."""
    with embedded.start(repository, directory=tmp_path / "run") as started:
        for pid in stubs(started, "first"):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not stubs(started, "first"))
        with client.connect_to(started, "http") as connection:
            assert connection.model_ready("first")
        with pytest.raises(InferenceError) as caught:
            ask(started, "first")
        assert "not healthy" in str(caught.value.found)
        with pytest.raises(ServerError, match="'first'") as unanswered:
            serving.probe(started, {})
        assert unanswered.value.cause == "its process in the server has died"
        assert ask(started, "second") == [[2, 2]]
    assert eventually(lambda: not processes_of(started.shm_prefix))
    assert list(Path("/dev/shm").glob(f"{started.shm_prefix}*")) == []
