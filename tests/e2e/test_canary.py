"""A new server and a new version against the one in use, on a real server: equal, slower, wrong, and away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import small_versions
from tests.support.command import invoke
from tests.support.golden_files import exported
from tests.support.proxy import Proxy, running
from tritonize.core.artifacts import ServerHandle
from tritonize.core.reports import Report
from tritonize.triton import serving
from tritonize.workflows import canary
from tritonize.workflows import golden as golden_workflow

pytestmark = pytest.mark.server
BOTH = {"version_policy": {"all": {}}}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ServerHandle]]:
    """A repository whose version 2 has other weights, and a server on it."""
    root = tmp_path_factory.mktemp("canary") / "models"
    small_versions.publish(root, 1, triton=BOTH)
    small_versions.publish(root, 2, small_versions.WEIGHTS * np.float32(1.5), triton=BOTH)
    with serving.serve(root, directory=tmp_path_factory.mktemp("server")) as server:
        yield root, server


def test_a_new_version_beside_the_one_in_use(deployed):
    root, server = deployed
    words = ("--url", f"grpc://{server.grpc_url}", "--baseline-version", "1", "--max-slowdown", "400", "--profile", "quick")
    done = invoke("verify", str(root), *words, "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    found = report["details"]["baseline"]
    assert [rule["verdict"] for rule in found["rules"]] == ["passed", "passed", "passed"]
    (output,) = found["outputs"]
    assert output["new"] < output["tolerance"] < output["difference"]  # each has its own reference, and they differ
    assert output["new_k"] is not None
    assert found["latency"]["pairs"] == 100
    assert "to each of the baseline and the new one" in done.stderr
    assert any("have references of their own" in note for note in report["notes"])

    slower = invoke("verify", str(root), *words[:2], "--baseline-version", "9")
    assert slower.returncode == 2, slower.stderr


def compared(path: Path, new: str, baseline: str, *, version: int = 1) -> Report:
    request = golden_workflow.Request(path=path, urls=[f"http://{new}"], version=version, profile="quick")
    return canary.verify_golden(request, canary.Baseline(urls=[f"http://{baseline}"], version=1, max_slowdown=1.0))


def test_a_slower_server_a_wrong_version_and_a_baseline_that_is_away(deployed):
    root, server = deployed
    path = exported(root, version=1)
    with running(Proxy(upstream=server.http_url, fault="delay", delay_s=0.02)) as slow:
        found = compared(path, slow.address, server.http_url)
        assert found.verdict == "failed"
        assert [rule["verdict"] for rule in found.details["baseline"]["rules"]] == ["passed", "passed", "failed"]
        assert "may not take over: Latency" in found.findings[-1].what
        assert compared(path, server.http_url, slow.address).verdict == "passed"  # the other way round it may

    wrong = compared(path, server.http_url, server.http_url, version=2)
    assert wrong.verdict == "failed"
    assert {rule["verdict"] for rule in wrong.details["baseline"]["rules"][:2]} == {"failed"}

    away = compared(path, server.http_url, "127.0.0.1:9")
    assert (away.verdict, away.stages[-1].verdict) == ("not run", "not run")
    assert "cannot be reached" in away.stages[-1].note
    request = golden_workflow.Request(path=path, urls=[f"http://{server.http_url}"], version=1, profile="quick")
    other = canary.verify_golden(request, canary.Baseline(urls=[f"grpc://{server.grpc_url}"], version=1, max_slowdown=1.0))
    assert other.verdict == "not run"
    assert "no protocol in common" in other.stages[-1].note
