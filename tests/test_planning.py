"""`backend: tensorrt_rtx` from PyTorch to a staged version: built for real, and not run for want of a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import tritonize
from tritonize import gpu, model_config, plan_file, planning, spec

NETWORK = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.first(x))
"""
SPEC = """
schema: 1
target: {{compute_capabilities: {targets}}}
models:
  net:
    source: network:Net
    backend: {backend}
    strategies: [legacy]
    inputs: {{x: {{shape: [batch, 3, 8, 8]}}}}
    max_batch_size: 4
    triton: {{dynamic_batching: {{preferred_batch_size: [1, 2]}}}}
"""
without_gpu = pytest.mark.skipif(gpu.find() is not None, reason="not run: these say what happens without a GPU")


@pytest.fixture(autouse=True)
def _files() -> None:
    Path("network.py").write_text(NETWORK)


def run(command: str, *arguments: str, targets: str = '["8.9", "12.0"]', backend: str = "tensorrt_rtx"):
    Path("spec.yaml").write_text(SPEC.format(targets=targets, backend=backend))
    done = tritonize(command, "spec.yaml", "--json", *arguments)
    return done, json.loads(done.stdout)


@without_gpu
def test_a_plan_that_nobody_ran_is_unproven_and_not_published():
    done, answer = run("run")
    assert done.returncode == 3, done.stderr
    (report,) = answer["reports"]
    assert report["verdict"] == "not run"
    assert not report["published"]
    assert not Path("model_repository").exists()
    assert ("plan run", "not run", "no GPU") in {(stage["name"], stage["verdict"], stage["note"]) for stage in report["stages"]}
    version = Path(report["location"])
    for name, capability in (("model.sm89.plan", "8.9"), ("model.sm120.plan", "12.0")):
        assert plan_file.read_header(version / name).compute_capabilities == (capability,)
        known = plan_file.read_metadata(version / name)
        assert known.profiles[0]["x"] == {"min": (1, 3, 8, 8), "opt": (2, 3, 8, 8), "max": (4, 3, 8, 8)}
        assert str(Path.cwd()) not in (version / "evidence" / f"{Path(name).stem}.log").read_text()
    assert not (version / "model.onnx").exists()
    config = model_config.parse((version.parent / "config.pbtxt").read_text(), where="config.pbtxt")
    assert config["backend"] == "tensorrt_rtx"
    assert not config.get("platform")
    assert config["cc_model_filenames"] == {"8.9": "model.sm89.plan", "12.0": "model.sm120.plan"}


@without_gpu
def test_it_is_published_where_that_is_allowed_and_says_so():
    done, answer = run("run", "--allow-unproven", targets='["8.9"]')
    assert done.returncode == 0, done.stderr
    (report,) = answer["reports"]
    assert report["published"]
    version = Path(report["location"])
    assert (version / "model.plan").is_file()
    assert json.loads((version / "evidence" / "manifest.json").read_text())["verdict"] == "not run"
    assert "No GPU ran the plan" in (version / "evidence" / "report.txt").read_text()


@without_gpu
def test_what_cannot_be_built_here_is_said_before_anything_is_exported():
    done, answer = run("run", backend="tensorrt")
    assert done.returncode == 3
    assert answer["error"]["next_step"]
    assert "Export" not in done.stderr
    done, answer = run("run", targets="[]")
    assert done.returncode == 2
    assert "names none" in answer["error"]["what"]


def test_precision_goes_with_a_plan():
    Path("spec.yaml").write_text(
        SPEC.format(targets="[]", backend="onnxruntime").replace("backend:", "precision: tf32\n    backend:")
    )
    done = tritonize("build", "spec.yaml")
    assert done.returncode == 2
    assert "switch of TensorRT's builder" in " ".join(done.stderr.split())


@pytest.mark.parametrize(("batching", "usual"), [({"preferred_batch_size": [2, 4]}, 4), ({}, 8), (None, 8)])
def test_the_usual_batch_is_the_one_that_batching_prefers(batching, usual):
    triton = {} if batching is None else {"dynamic_batching": batching}
    fields = {"source": "m.pt", "inputs": {"x": {"shape": ["batch", "length"]}}, "axes": {"length": {"min": 1, "opt": 5, "max": 9}}}
    shapes = planning.profile(spec.Model.model_validate({**fields, "max_batch_size": 8, "triton": triton}))["x"]
    assert (shapes.min, shapes.opt, shapes.max) == ((1, 1), (usual, 5), (8, 9))
