"""What deployment files start, on this machine: the server on the packed models, and the verification as a Job runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from urllib3 import PoolManager

from tests.support import small_versions
from tests.support.command import invoke
from tests.support.deploy_schemas import documents
from tests.support.deployments import HEART
from tritonize.core.artifacts import ServerHandle
from tritonize.triton import serving
from tritonize.triton.server import environment

pytestmark = pytest.mark.xdist_group("deploy")  # one server for all

NAMES = ("small", "absent")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a compose file, with copies of the models and golden files."""
    place = tmp_path_factory.mktemp("deploy")
    small_versions.publish(place / "repository", 1)
    done = invoke("deploy", "compose", str(place / "repository"), "--out", str(place / "out"), "--triton", "26.06")
    assert done.returncode == 0, done.stderr
    return place / "out"


@pytest.fixture(scope="module")
def deployed(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHandle]:
    """The embedded server on the packed models."""
    with serving.serve(written / "models", directory=tmp_path_factory.mktemp("server")) as server:
        yield server


def arguments(folder: Path, server: ServerHandle) -> list[str]:
    """The verification's own command, with this machine's addresses and folder in place of the container's."""
    (compose,) = documents((folder / "compose.yaml").read_text())
    command = compose["services"]["small-verify-1"]["command"]
    here = {"/golden/": f"{folder / 'golden'}/", "triton:8000": str(server.http_url), "triton:8001": str(server.grpc_url)}
    for there, replacement in here.items():
        assert any(there in word for word in command)
        command = [word.replace(there, replacement) for word in command]
    return list(command)


@pytest.mark.server
def test_the_command_of_a_verification_passes_on_the_packed_models(written, deployed):
    done = invoke(*arguments(written, deployed), "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    stages = {stage["name"]: stage["verdict"] for stage in report["stages"]}
    assert (stages["http"], stages["grpc"]) == ("passed", "passed")


@pytest.mark.server
def test_the_command_of_a_verification_fails_for_good_with_other_weights(deployed, tmp_path):
    small_versions.publish(tmp_path / "repository", 1, small_versions.WEIGHTS + np.float32(0.01))
    out = tmp_path / "out"
    assert invoke("deploy", "compose", str(tmp_path / "repository"), "--out", str(out), "--triton", "26.06").returncode == 0
    done = invoke(*arguments(out, deployed))
    assert done.returncode == 1  # one of the codes after which a Job is not repeated


@pytest.mark.server
def test_the_probe_of_the_model_is_answered(deployed):
    with PoolManager() as connections:
        asked = [connections.request("GET", f"http://{deployed.http_url}/v2/models/{name}/ready", timeout=10) for name in NAMES]
        assert [response.status == 200 for response in asked] == [True, False]


@pytest.mark.server
def test_the_server_knows_every_option_of_its_command_line():
    server = environment.ready()
    command = [server.server, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=server.variables())
    text = done.stdout + done.stderr
    known = [word.split("=")[0] for word in HEART.server()[1:]]
    assert [option for option in known if option not in text] == []
