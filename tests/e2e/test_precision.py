"""A version of reduced precision, served."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from tests.support.command import tritonize
from tests.support.reduced_precision import FLOAT, FP16, NETWORK, computed, written


@pytest.mark.server
def test_a_version_in_fp16_is_served_and_published():
    Path("network.py").write_text(NETWORK)
    written("network:Net", "fp16", 2e-3, more="    strategies: [legacy]\n    half_io: true\n    keep_fp32: {operators: [Gemm]}")
    done = tritonize("run", "spec.yaml", "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    stages = {check["stage"] for check in report["checks"]}
    assert stages >= {"onnxruntime", "onnxruntime fp16", "onnxruntime fp16 (emulated)", "http", "grpc", "shm", "concurrent"}
    served = [tensor for check in report["checks"] if check["stage"] == "shm" for tensor in check["tensors"]]
    assert {(tensor["expected_dtype"], tensor["found_dtype"]) for tensor in served} == {("fp16", "fp16")}
    judged = {gate["stage"]: gate["verdict"] for gate in report["gates"] if gate["gate"] == "noise floor"}
    assert (judged["onnxruntime fp16 (emulated)"], judged["shm"]) == ("passed", "passed")  # by PyTorch's own error in fp16
    version = Path(report["location"])
    manifest = json.loads((version / "evidence" / "manifest.json").read_text())
    assert manifest["onnx"]["precision"] == report["details"]["onnx"]["precision"] == "fp16"
    assert manifest["onnx"]["kept_nodes"] == {"asked for": 1}
    assert manifest["spec"]["precision"] == "fp16"
    assert computed(version / "model.onnx", ("Conv", "Gemm")) == {("Conv", FP16): 1, ("Gemm", FLOAT): 1}
    assert (version.parent / "config.pbtxt").read_text().count("TYPE_FP16") == 2
    assert len(json.loads((version / "evidence" / "node_map.json").read_text())["nodes"]) == len(
        onnx.load(version / "model.onnx").graph.node
    )
