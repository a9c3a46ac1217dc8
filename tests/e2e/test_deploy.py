"""What a compose file starts, on this machine: the server by its command line on the packed models, and the verifications."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from urllib3 import PoolManager, Retry
from urllib3.exceptions import HTTPError

from tests.support import small_versions
from tests.support.command import invoke
from tests.support.deploy_schemas import documents
from tests.support.waiting import eventually
from tritonize.triton.server import environment

pytestmark = pytest.mark.xdist_group("deploy")  # one server for all

Addresses = Mapping[str, str]
"""An address in the files to the one on this machine."""


def services(folder: Path) -> dict[str, Any]:
    (compose,) = documents((folder / "compose.yaml").read_text())
    return dict(compose["services"])


def here(command: list[str], replaced: Mapping[str, str]) -> list[str]:
    """A container's command line on this machine; each text to replace must be in it."""
    for there, replacement in replaced.items():
        assert any(there in word for word in command), (there, command)
        command = [word.replace(there, replacement) for word in command]
    return command


def status(url: str) -> int:
    """The status of a response; 0 without a server."""
    try:
        with PoolManager(retries=Retry(0)) as connections:
            return connections.request("GET", url, timeout=10).status
    except HTTPError:
        return 0


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a compose file, with copies of the models and golden files."""
    place = tmp_path_factory.mktemp("deploy")
    small_versions.publish(place / "repository", 1)
    done = invoke("deploy", "compose", str(place / "repository"), "--out", str(place / "out"), "--triton", "26.06")
    assert done.returncode == 0, done.stderr
    return place / "out"


@pytest.fixture(scope="module")
def deployed(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """The wheel's server with the file's command line, and tritonize's backend, which NVIDIA's image has its own instead of."""
    installed = environment.ready()
    ports = {}
    with socket.socket() as http, socket.socket() as grpc, socket.socket() as metrics:
        for listener, port in ((http, "8000"), (grpc, "8001"), (metrics, "8002")):
            listener.bind(("127.0.0.1", 0))
            ports[port] = str(listener.getsockname()[1])
    options = {f"-port={port}": f"-port={own}" for port, own in ports.items()}
    command = here(
        services(written)["triton"]["command"],
        {
            "tritonserver": str(installed.server),
            "--model-repository=/models": f"--model-repository={written / 'models'}",
            **options,
        },
    )
    command += [f"--backend-directory={installed.backends}", *installed.native.options()]
    command += [f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=installed.variables())
    try:
        addresses = {f"127.0.0.1:{port}": f"127.0.0.1:{own}" for port, own in ports.items()}
        health = here(services(written)["triton"]["healthcheck"]["test"], {"127.0.0.1:8000": addresses["127.0.0.1:8000"]})[-1]
        assert eventually(lambda: server.poll() is not None or status(health) == 200, 60), log.read_text()
        assert server.poll() is None, log.read_text()
        yield addresses
        server.terminate()
        assert server.wait(60) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()


def verification(folder: Path, deployed: Addresses) -> list[str]:
    """The command of the verification, on this machine."""
    known = {f"triton:{port}": deployed[f"127.0.0.1:{port}"] for port in ("8000", "8001")}
    return here(services(folder)["small-verify-1"]["command"], {"/golden/": f"{folder / 'golden'}/", **known})


@pytest.mark.server
def test_the_command_of_a_verification_passes_on_the_packed_models(written, deployed):
    done = invoke(*verification(written, deployed), "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    stages = {stage["name"]: stage["verdict"] for stage in report["stages"]}
    assert (stages["http"], stages["grpc"]) == ("passed", "passed")


@pytest.mark.server
def test_the_command_of_a_verification_fails_for_good_with_other_weights(deployed, tmp_path):
    small_versions.publish(tmp_path / "repository", 1, small_versions.WEIGHTS + np.float32(0.01))
    out = tmp_path / "out"
    assert invoke("deploy", "compose", str(tmp_path / "repository"), "--out", str(out), "--triton", "26.06").returncode == 0
    done = invoke(*verification(out, deployed))
    assert done.returncode == 1  # one of the codes after which a Job is not repeated


@pytest.mark.server
def test_probes_and_the_metrics_that_scaling_reads_are_answered(deployed):
    http, metrics = deployed["127.0.0.1:8000"], deployed["127.0.0.1:8002"]
    paths = {"/v2/models/small/ready": True, "/v2/models/absent/ready": False, "/v2/health/ready": True, "/v2/health/live": True}
    assert {path: status(f"http://{http}{path}") == 200 for path in paths} == paths
    with PoolManager() as connections:
        text = connections.request("GET", f"http://{metrics}/metrics", timeout=10).data.decode()
    for name in ("nv_inference_queue_duration_us", "nv_inference_request_success"):
        assert f'{name}{{model="small",version="1"}}' in text
