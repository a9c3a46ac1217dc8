"""`run --server URL`: a version is loaded into a running Triton, compared there, unloaded, and published from that proof."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from onnx import TensorProto, helper

from tests.support import polling_triton, server_models
from tests.support.command import CHECKOUT, invoke, tritonize
from tritonize.core import deadline
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import ServerError, UsageError
from tritonize.triton import client, on_target, remote
from tritonize.triton.client.http import HttpClient
from tritonize.triton.server.embedded import Running

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("on target")]


class Deployed(NamedTuple):
    """A Triton in explicit mode, and its model repository."""

    http: str
    grpc: str
    repository: Path

    def connected(self, *urls: str) -> ServerHandle:
        return remote.remote(urls or (f"http://{self.http}", f"grpc://{self.grpc}"))

    def left(self) -> list[str]:
        """What a proof left: models that are loaded, and files in the repository."""
        with client.connect(self.http, "http") as connection:
            loaded = [str(each["name"]) for each in connection.statistics()]  # the index lists what lies in the repository
        return loaded + [path.name for path in self.repository.iterdir()]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "models").mkdir()
    with polling_triton.explicit(folder / "models", folder) as (http, grpc):
        yield Deployed(http, grpc, folder / "models")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one version, 7, and labels beside it; its evidence is not for the server."""
    folder = tmp_path_factory.mktemp("staged")
    server_models.add_sub(folder / "add_sub" / "7" / "model.onnx")
    (folder / "add_sub" / "7" / "evidence").mkdir()
    (folder / "add_sub" / "7" / "evidence" / "report.json").touch()
    (folder / "add_sub" / "config.pbtxt").write_text(server_models.ADD_SUB + "version_policy: { specific: { versions: [3] } }")
    return folder


def test_a_version_is_proven_on_a_running_server_and_published(deployed: Deployed) -> None:
    server_models.add_sub(Path("add.onnx"))
    done = tritonize("run", "add.onnx", "--server", f"http://{deployed.http}", "--server", f"grpc://{deployed.grpc}", "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert {"http", "grpc", "shm", "again", "order", "concurrent"} <= {check["stage"] for check in report["checks"]}
    manifest = json.loads(Path("model_repository/add/1/evidence/manifest.json").read_text())
    proved = manifest["proved_by"]
    assert (proved["tritonserver"], proved["at http"], proved["at grpc"]) == ("2.51.0", deployed.http, deployed.grpc)
    assert proved["backend"].startswith("onnxruntime")
    assert manifest["proven_on"]["sha256"] == {"add/1/model.onnx": manifest["files"]["1/model.onnx"]["sha256"]}
    assert manifest["proven_on"]["how"].endswith("over gRPC")
    assert not any("was not run here" in note for note in manifest["notes"])
    assert deployed.left() == []


@pytest.mark.slow  # the first test's way again
def test_a_version_is_proven_through_a_shared_folder(deployed: Deployed) -> None:
    server_models.add_sub(Path("add.onnx"))
    assert tritonize("run", "add.onnx").returncode == 0
    again = tritonize("run", "add.onnx", "--server", f"http://{deployed.http}", "--server-repository", str(deployed.repository))
    assert again.returncode == 0, again.stderr  # another proof is wanted, so it is not up to date
    assert "version 2" in again.stdout
    assert "copied into the server's repository" in " ".join(again.stdout.split())
    assert deployed.left() == []


@pytest.mark.slow
def test_a_server_that_computes_something_else_publishes_nothing(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    server_models.add_sub(Path("add.onnx"))
    other = server_models.save(
        Path("other.onnx"),
        [helper.make_node("Sub", ["A", "B"], ["SUM"]), helper.make_node("Add", ["A", "B"], ["DIFF"])],
        [(name, TensorProto.FLOAT, ["batch", 3]) for name in ("A", "B")],
        [(name, TensorProto.FLOAT, ["batch", 3]) for name in ("SUM", "DIFF")],
    ).read_bytes()
    load = HttpClient.load

    def swapped(self: HttpClient, name: str, config: str, files: Mapping[str, bytes]) -> None:
        load(self, name, config, dict.fromkeys(files, other))

    monkeypatch.setattr(HttpClient, "load", swapped)
    done = invoke("run", "add.onnx", "--server", f"http://{deployed.http}", "--json")
    assert done.returncode == 1, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert (report["verdict"], report["published"]) == ("failed", False)
    assert {check["stage"] for check in report["checks"] if not all(each["passed"] for each in check["tensors"])} >= {
        "http",
        "again",
    }
    assert not Path("model_repository").exists() or not list(Path("model_repository").iterdir())
    assert deployed.left() == []


@pytest.mark.slow
def test_python_steps_and_ensembles_go_with_requests_too(deployed: Deployed) -> None:
    for path in (CHECKOUT / "examples/pipeline").iterdir():
        shutil.copy(path, ".")
    models = ("decode", "classifier", "decide", "pictures")
    chosen = [word for model in models for word in ("-m", model)]
    done = tritonize("run", "pipeline.yaml", *chosen, "--server", f"http://{deployed.http}", "--json", timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    reports = {report["model"]: report for report in json.loads(done.stdout)["reports"]}
    assert {name: report["verdict"] for name, report in reports.items()} == dict.fromkeys(models, "passed")
    sent = json.loads(Path("model_repository/pictures/1/evidence/manifest.json").read_text())["proven_on"]["sha256"]
    assert {"decode/1/model.py", "decode/1/image_steps.py", "classifier/1/model.onnx"} <= set(sent)
    assert deployed.left() == []


@pytest.mark.parametrize("shared", [False, True])
def test_nothing_is_left_after_ctrl_c_or_a_deadline(shared: bool, deployed: Deployed, staged: Path) -> None:
    server = deployed.connected()
    models = on_target.parts(staged, "add_sub", 7)
    place = deployed.repository if shared else None
    with pytest.raises(KeyboardInterrupt), on_target.loaded(server, models, shared=place) as found:
        assert found.sha256.keys() == {"add_sub/7/model.onnx"}
        with client.connect_to(server, "http") as connection:
            assert connection.model_metadata(found.model)["versions"] == ["7"]
        assert found.model in deployed.left()
        raise KeyboardInterrupt
    assert deployed.left() == []
    with pytest.raises(ServerError, match="x"), deadline.within(1), on_target.loaded(server, models, shared=place):
        time.sleep(max(0, deadline.left()))
        raise ServerError("x")
    assert deployed.left() == []


def test_a_model_that_the_server_refuses_is_explained_and_not_left(deployed: Deployed, staged: Path, tmp_path: Path) -> None:
    shutil.copytree(staged, tmp_path / "broken")
    (tmp_path / "broken/add_sub/7/model.onnx").write_bytes(b"nothing")
    models = on_target.parts(tmp_path / "broken", "add_sub", 7)
    for shared in (None, deployed.repository):
        with pytest.raises(ServerError) as caught, on_target.loaded(deployed.connected(), models, shared=shared):
            pass
        assert caught.value.code == "server-model-refused"
        assert caught.value.cause
        assert deployed.left() == []


def test_another_folder_than_the_server_s_is_an_error(deployed: Deployed, staged: Path, tmp_path: Path) -> None:
    models = on_target.parts(staged, "add_sub", 7)
    with pytest.raises(ServerError) as caught, on_target.loaded(deployed.connected(), models, shared=tmp_path):
        pass
    assert caught.value.code == "target-other-folder"
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []
    with pytest.raises(UsageError):
        on_target.require_possible(deployed.connected(), shared=tmp_path / "absent")


def test_two_servers_are_not_taken_for_one(deployed: Deployed, staged: Path, server: Running) -> None:
    """Over HTTP another server answers than over gRPC, as with replicas behind one name."""
    both = ServerHandle(http_url=server.http_url, grpc_url=deployed.grpc)
    with pytest.raises(ServerError) as caught, on_target.loaded(both, on_target.parts(staged, "add_sub", 7)):
        pass
    assert caught.value.code == "target-not-ready"
    assert str(caught.value.where).startswith("http")
    assert deployed.left() == []


def test_a_server_that_loads_nothing_by_requests_is_refused_at_once(server: Running, deployed: Deployed) -> None:
    on_target.require_possible(deployed.connected())
    with pytest.raises(ServerError) as without_key:
        on_target.require_possible(remote.remote([f"http://{server.http_url}", f"grpc://{server.grpc_url}"]))
    assert without_key.value.code == "target-control-restricted"
    assert "tritonize-key" in str(without_key.value.found)
    with pytest.raises(ServerError) as with_key:
        on_target.require_possible(server)
    assert with_key.value.code == "target-not-explicit"
