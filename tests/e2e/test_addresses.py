"""A deployment behind TLS and proxies, and several replicas of it, with the real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.support import small_versions
from tests.support.authority import Authority
from tests.support.command import invoke
from tests.support.golden_files import exported
from tests.support.proxy import Proxy, running
from tritonize.core.artifacts import ServerHandle
from tritonize.triton import serving

NAME = "triton.example"
TOKEN = "Bearer very-secret"


class Deployed(NamedTuple):
    """A repository with its golden file, and a server on it."""

    root: Path
    golden: Path
    server: ServerHandle


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    place = tmp_path_factory.mktemp("deployed")
    small_versions.publish(place / "models", 1)
    golden = exported(place / "models", str(place / "small.golden"))
    with serving.serve(place / "models", directory=place / "server") as server:
        yield Deployed(place / "models", golden, server)


def resolve(monkeypatch: pytest.MonkeyPatch, *ips: str) -> None:
    """Let the name have these addresses."""
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != NAME:
            return known(host, port, *arguments, **options)
        return [each for ip in ips for each in known(ip, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.server
def test_a_deployment_behind_tls_a_prefix_and_a_header_passes_over_both_protocols(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, server = Authority(tmp_path), deployed.server
    over_http = Proxy(upstream=server.http_url, tls=authority.server(NAME), prefix="/models", header=("authorization", TOKEN))
    over_grpc = Proxy(upstream=server.grpc_url, tls=authority.server(NAME, alpn=("h2",)), raw=True)
    with running(over_http), running(over_grpc):
        urls = [f"https://{NAME}:{over_http.address[10:]}/models", f"grpcs://{NAME}:{over_grpc.address[10:]}"]
        words = ["verify", "--golden", str(deployed.golden), "--url", urls[0], "--url", urls[1], "--ca", str(authority.ca)]
        # One replica that is connected to by its address: gRPC would resolve the name by itself.
        monkeypatch.setattr("tritonize.triton.replicas._ips", lambda host: ("127.0.0.1", "127.0.0.1"))
        done = invoke(*words, "--header", "authorization=@env:TOKEN", "--wait", "5", "--json", env={"TOKEN": TOKEN})
    assert done.returncode == 0, done.stderr + done.stdout
    (found,) = json.loads(done.stdout)["reports"]
    verdicts = {stage["name"]: stage["verdict"] for stage in found["stages"]}
    assert (verdicts["http"], verdicts["grpc"], verdicts["concurrent"]) == ("passed", "passed", "passed")
    assert "very-secret" not in done.stdout + done.stderr


@pytest.mark.server
def test_every_replica_of_a_name_is_asked_and_the_one_that_differs_is_named(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_versions.publish(tmp_path / "other", 1, small_versions.WEIGHTS + np.float32(0.01))
    resolve(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.3")
    with (
        serving.serve(tmp_path / "other", directory=tmp_path / "server") as wrong,
        running(Proxy(upstream=deployed.server.http_url)) as one,
    ):
        port = int(one.address[10:])
        with running(Proxy(upstream=wrong.http_url), host="127.0.0.2", port=port):
            done = invoke("verify", "--golden", str(deployed.golden), "--url", f"http://{NAME}:{port}", "--json")
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)["reports"]
    rows = {row["replica"].rpartition(" ")[2]: row for row in found["details"]["replicas"]}
    assert {ip: row["verdict"] for ip, row in rows.items()} == {"127.0.0.1": "passed", "127.0.0.2": "failed", "127.0.0.3": "failed"}
    assert rows["127.0.0.2"]["failed"]
    assert not rows["127.0.0.1"]["failed"]
    assert "cannot be reached" in rows["127.0.0.3"]["error"]
