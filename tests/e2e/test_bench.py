"""`tritonize bench` on the embedded server: figures, and responses that are not those of the golden set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import small_versions
from tests.support.command import invoke
from tests.support.golden_files import exported
from tritonize.core.artifacts import ServerHandle
from tritonize.triton import serving

SHORT = ("--warm-up", "0.1", "--window", "0.2", "--most-windows", "3")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one small version."""
    place = tmp_path_factory.mktemp("bench") / "models"
    small_versions.publish(place, 1, triton={"dynamic_batching": {}})
    return place


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHandle]:
    """A server of a model with the same name and version, and other weights."""
    place = tmp_path_factory.mktemp("exchanged") / "models"
    small_versions.publish(place, 1, small_versions.WEIGHTS + np.float32(0.01))
    with serving.serve(place, directory=tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.mark.server
def test_loads_of_every_kind_on_the_embedded_server(root, tmp_path):
    page, place = tmp_path / "bench.html", tmp_path / "exported"
    extra = ("--html", str(page), "--export-perf-analyzer", str(place))
    done = invoke("bench", str(root), "--batch", "1,4", "--concurrency", "2", *SHORT, *extra, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["bench"]
    assert found["verdict"] == "passed"
    assert [(each["level"], each["batch_size"]) for each in found["loads"]] == [(2, 1), (2, 4)]
    for each in found["loads"]:
        latency, server = each["latency"], each["server"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"] <= latency["largest"]
        assert each["requests_per_second"] * latency["mean"] == pytest.approx(2, rel=0.4)  # Little's law
        assert 0 < server["queue"] + server["input"] + server["compute"] + server["output"] < latency["mean"]
        assert server["inferences"] == server["requests"] * each["batch_size"]
        assert 0 < each["usage"]["cores"] < 64
        assert each["usage"]["memory"] > 2**24
        assert each["wrong"] == each["errors"] == 0
    assert found["compared"] >= 8
    assert page.read_text().count("<svg") == 3
    assert len(json.loads((place / "inputs.json").read_text())["data"]) == 8
    assert (place / "run.sh").read_text().count("perf_analyzer -m small -x 1 -i grpc -u") == 2


@pytest.mark.server
def test_a_rate_over_http_as_text(root):
    done = invoke("bench", str(root), "--rate", "50", "--arrivals", "constant", "--protocol", "http", *SHORT)
    assert done.returncode == 0, done.stderr
    assert "PASSED  small version 1" in done.stdout
    (line,) = [each for each in done.stdout.splitlines() if each[2:].startswith("50/s")][:1]
    assert 40 < float(line.split()[3]) < 60, line
    assert "over http" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.server
def test_a_benchmark_of_wrong_responses_fails(root, exchanged):
    """As fast as the right ones, and worth nothing."""
    urls = ("--url", f"grpc://{exchanged.grpc_url}")
    done = invoke("bench", str(root), *urls, "--concurrency", "1", *SHORT)
    assert done.returncode == 1, done.stderr
    assert "FAILED  small version 1" in done.stdout
    assert "responses are outside their tolerance" in done.stdout
    assert "does not allow reading its statistics" in " ".join(done.stdout.split())

    golden = exported(root)
    done = invoke("bench", "--golden", str(golden), *urls, "--concurrency", "1", *SHORT, "--json")
    assert done.returncode == 1, done.stderr
    (load,) = json.loads(done.stdout)["bench"]["loads"]
    assert load["sent"] >= load["wrong"] > 0.5 * load["sent"]  # some edge cases have the same outputs with any weights
    assert load["server"] is None
