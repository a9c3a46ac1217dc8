"""The ways to start a server: a tritonserver on PATH, and `docker run`, for which a stand-in starts the same server."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support import server_models, stand_ins
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import MissingError
from tritonize.core.server_choice import Start
from tritonize.triton import client, serving
from tritonize.triton.server import binary, docker, environment, ways

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-ins, for PATH, and a repository whose version is a link."""
    folder = tmp_path_factory.mktemp("ways")
    stand_ins.docker(folder, stand_ins.tritonserver(folder))
    server_models.add_sub(folder / "kept" / "model.onnx")
    (folder / "repository" / "add_sub").mkdir(parents=True)
    (folder / "repository" / "add_sub" / "1").symlink_to(folder / "kept")
    (folder / "repository" / "add_sub" / "config.pbtxt").write_text(server_models.ADD_SUB)
    return folder


@pytest.fixture(autouse=True)
def _on_path(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_SEEN", str(place / "seen"))


def _sum(server: ServerHandle) -> np.ndarray:
    with client.connect_to(server, "grpc") as connection:
        ones = np.ones((1, 3), np.float32)
        return connection.infer("add_sub", {"A": ones, "B": ones})["SUM"]


def test_a_tritonserver_on_path_serves_with_its_own_backends(place: Path, tmp_path: Path) -> None:
    with serving.serve(place / "repository", directory=tmp_path / "server", start=Start(way="binary")) as server:
        assert (_sum(server) == 2).all()
        assert server.local
        assert server.identity["tritonserver"] == binary.version_of(place / "tritonserver") == "2.51.0"
        assert (server.identity["backend"], server.identity["program"]) == ("its own", str(place / "tritonserver"))
        assert not server.key_is_hidden  # it is a script
        with client.connect(server.http_url, "http") as without_key, pytest.raises(Exception, match="restricted"):
            without_key.statistics("add_sub")
    assert binary.probe().found == f"version 2.51.0, {place / 'tritonserver'}"


def test_every_option_is_one_of_the_real_server(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of all ways come from one function, so what a real server does not know would fail here."""
    known = binary._known(environment.ready().server)
    assert {"--id", "--http-restricted-api", "--grpc-restricted-protocol", "--model-config-name"} <= binary.needed() <= known
    assert "--http-max-input-size" not in known  # so the comparison is with what this server says
    monkeypatch.setattr(binary, "find", lambda: environment.ready().server)
    assert binary.program(python=False).hides_key  # it is no script
    (place / "old").mkdir(exist_ok=True)
    old = place / "old" / "tritonserver"
    old.write_text("#!/bin/sh\necho '  --id <string>'\n")
    old.chmod(0o755)
    assert binary._known(old) == {"--id"}


def test_an_old_tritonserver_is_refused_with_what_it_lacks(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "tritonserver"
    old.write_text("#!/bin/sh\necho '  --id <string>'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(MissingError) as caught:
        ways.resolve("binary")
    assert caught.value.code == "server-binary-too-old"
    assert "--http-restricted-api" in str(caught.value.found)
    assert "--id" not in str(caught.value.found).split(", ")


def test_docker_run_serves_the_same_files(place: Path, tmp_path: Path) -> None:
    """Only its command line is tested: the stand-in has neither NVIDIA's image nor a container."""
    with serving.serve(place / "repository", directory=tmp_path / "server", start=Start(way="docker", release="26.06")) as server:
        assert (_sum(server) == 2).all()
        assert not server.local
        assert server.identity["program"] == "nvcr.io/nvidia/tritonserver:26.06-py3"
        assert not server.key_is_hidden
    seen = (place / "seen").read_text().splitlines()
    assert {"--rm", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only", "--tmpfs=/tmp", "--shm-size=1g"} <= set(
        seen
    )
    assert [each for each in seen if each.startswith("--gpus")] == []
    published = [each for each in seen if each.startswith("--publish")]
    assert len(published) == 2
    assert all(each.startswith("--publish=127.0.0.1:") for each in published)
    mounts = [each for each in seen if each.startswith("--mount")]
    assert all(each.endswith(",readonly") for each in mounts)
    assert f"--mount=type=bind,source={place / 'kept/model.onnx'},target=/models/add_sub/1/model.onnx,readonly" in mounts
    assert docker.probe().found == (
        f"version 27.0.1; nvcr.io/nvidia/tritonserver:{docker.RELEASE}-py3 by default; never tried by tritonize's tests"
    )


def test_auto_takes_the_embedded_server_if_it_is_installed_else_what_is_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ways.resolve("auto") == "embedded"
    monkeypatch.setattr(environment, "is_installed", lambda: False)
    assert ways.resolve("auto") == "binary"
    monkeypatch.setattr(binary, "find", lambda: None)
    assert ways.resolve("auto") == "embedded"  # which is then installed
    refused = MissingError("x", expected="e", found="f", next_step="n")

    def refuse(**_: object) -> None:
        raise refused

    monkeypatch.setattr(environment, "require_possible", refuse)
    assert ways.resolve("auto") == "docker"
    monkeypatch.setattr(docker, "_run", lambda *_: (1, "Cannot connect to the Docker daemon"))
    with pytest.raises(MissingError) as caught:
        ways.resolve("auto")
    assert caught.value.exit_code == 3
    assert (caught.value.found, caught.value.next_step) == ("f", "n")
    assert [line.split(":")[0] for line in caught.value.details] == ["binary", "embedded", "docker"]
    assert "Cannot connect to the Docker daemon" in caught.value.details[2]
