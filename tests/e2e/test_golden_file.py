"""Golden files against a deployment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import verification as bench
from tests.support import ci_templates, small_versions
from tests.support.command import tritonize
from tests.support.golden_files import COUNT, exported
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import UsageError
from tritonize.triton import serving
from tritonize.workflows import golden as golden_workflow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one small version."""
    place = tmp_path_factory.mktemp("golden") / "models"
    small_versions.publish(place, 1)
    return place


@pytest.fixture(scope="module")
def deployed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHandle]:
    """A server on it."""
    with serving.serve(root, directory=tmp_path_factory.mktemp("server")) as server:
        yield server


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "onnxruntime", "onnxslim", "tensorrt", "pytriton"}:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)
sys.meta_path.insert(0, Block())
sys.argv = ["tritonize", *sys.argv[1:]]
from tritonize.cli import main
main()
"""


@pytest.mark.server
def test_a_deployment_is_verified_without_torch_onnx_and_repository(root, deployed, tmp_path):
    path = exported(root, seeds=True)
    place = tmp_path / "elsewhere"
    place.mkdir()
    shutil.move(path, place)
    command = [sys.executable, "-c", BLOCKED, "verify", "--golden", path.name, "--url", f"grpc://{deployed.grpc_url}"]
    command += ["--url", f"http://{deployed.http_url}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["reports"]
    assert {stage["name"]: stage["verdict"] for stage in found["stages"]} == {
        **dict.fromkeys(("http", "grpc", "invariances", "concurrent", "new samples"), "passed"),
        **dict.fromkeys(("shm", "statistics"), "not run"),  # they take the server's key
    }
    assert any(gate["gate"] == "noise floor" and gate["stage"] == "grpc" for gate in found["gates"])
    assert found["details"]["golden"]["samples"] == COUNT


@pytest.mark.server
def test_other_outputs_fail_and_another_model_is_an_error(root, deployed, tmp_path):
    urls = [f"grpc://{deployed.grpc_url}"]
    other = tmp_path / "other"
    small_versions.publish(other, 1, small_versions.WEIGHTS + np.float32(0.01))
    found = golden_workflow.verify(golden_workflow.Request(path=exported(other, "weights.golden"), urls=urls))
    assert found.verdict == "failed"
    assert {gate.gate for gate in found.gates if gate.verdict == "failed"} == {"tolerance", "noise floor"}

    wide = tmp_path / "wide"
    small_versions.publish(wide, 1, np.ones((8, 3), np.float32), inputs={"x": {"shape": ["batch", 8]}})
    with pytest.raises(UsageError, match="another model") as caught:
        golden_workflow.verify(golden_workflow.Request(path=exported(wide, "wide.golden"), urls=urls))
    assert caught.value.details == (
        "input x: the golden set has FP32 [8], the server FP32 [16]",
        "output y: the golden set has FP32 [3], the server FP32 [10]",
    )
    absent = golden_workflow.verify(golden_workflow.Request(path=exported(root), urls=urls, model="absent"))
    assert (absent.verdict, absent.findings[0].where) == ("failed", "absent version 1 on the server")
    with pytest.raises(UsageError, match="running server"):
        golden_workflow.verify(golden_workflow.Request(path=Path("small.golden"), urls=[]))


@pytest.mark.server
def test_the_quick_profile_sends_few_requests_at_the_given_rate_and_still_finds_another_model(root, deployed, tmp_path):
    url = f"grpc://{deployed.grpc_url}"
    options = ("--url", url, "--profile", "quick", "--rate", "40", "--junit", "results.xml", "--json")
    started = time.perf_counter()
    done = tritonize("verify", "--golden", str(exported(root)), *options, env={"GITHUB_ACTIONS": "true"})
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert "at most" in done.stderr  # the number of requests is said before they are sent
    (note,) = [each for each in report["notes"] if each.startswith("The quick profile sent ")]
    sent = int(note.split()[4])
    assert len(report["checks"]) <= sent <= 20
    assert time.perf_counter() - started > (sent - 1) / 40
    stages = {stage["name"]: stage["verdict"] for stage in report["stages"]}
    assert stages["concurrent"] == "not run"
    assert "::error" not in done.stderr
    assert b'failures="0"' in Path("results.xml").read_bytes()

    other = tmp_path / "other"
    small_versions.publish(other, 1, small_versions.WEIGHTS + np.float32(0.01))
    wrong = tritonize("verify", "--golden", str(exported(other, "other.golden")), *options, env={"GITHUB_ACTIONS": "true"})
    assert wrong.returncode == 1
    assert "::error title=FAILED " in wrong.stderr
    assert b"<failure" in Path("results.xml").read_bytes()


@pytest.mark.server
def test_the_script_of_the_ci_templates_verifies_and_annotates(root, deployed, tmp_path):
    other = tmp_path / "other"
    small_versions.publish(other, 1, small_versions.WEIGHTS + np.float32(0.01))
    urls = f"grpc://{deployed.grpc_url}\nhttp://{deployed.http_url}\n"
    for golden, code in ((exported(root), 0), (exported(other, "other.golden"), 1)):
        inputs = ci_templates.environment(golden=str(golden), url=urls, profile="quick", junit="out/results.xml")
        env = {**os.environ, **inputs, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "GITHUB_ACTIONS": "true"}
        Path("out").mkdir(exist_ok=True)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", ci_templates.script()]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stderr
        assert ("::error title=FAILED small version 1::" in done.stderr) == bool(code)
        assert (b"<failure" in Path("out/results.xml").read_bytes()) == bool(code)


@pytest.mark.server
def test_a_truncated_golden_file_is_exit_code_6(root, deployed):
    path = exported(root)
    path.write_bytes(path.read_bytes()[:-200])
    done = tritonize("verify", "--golden", str(path), "--url", f"grpc://{deployed.grpc_url}")
    assert done.returncode == 6
    assert "The golden file is damaged" in done.stderr


@pytest.mark.server
def test_a_verification_keeps_up_with_the_raw_client(tmp_path):
    """`make bench` asks for half the speed with 10,000 samples; here with few, and a bound that other work does not break."""
    found = bench.compared(tmp_path, 500)
    raw, verified = (requests / seconds for requests, seconds in found.values())
    assert verified > 0.2 * raw, found
