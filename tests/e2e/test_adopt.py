"""A repository that was made by hand is adopted: proven as it is, and nothing in it is touched."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.support import server_models
from tests.support.command import invoke

WEIGHTS = np.random.default_rng(0).standard_normal((16, 10), dtype=np.float32)
NAMED = """# by hand
platform: "onnxruntime_onnx"
default_model_filename: "net.onnx"
max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 10 ] label_filename: "classes.txt" } ]
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""
BROKEN = 'backend: "onnxruntime"\ninput [ { name: "z" data_type: TYPE_FP32 dims: [ 16 ] } ]\n'
PYTHON = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
MODELS = Path("models")
Entry = tuple[int, int, bytes]


def write_onnx(path: Path, weights: np.ndarray = WEIGHTS) -> None:
    """y = relu(x @ w)."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["v"]), helper.make_node("Relu", ["v"], ["y"])]
    server_models.save(path, nodes, [("x", 1, ["n", 16])], [("y", 1, ["n", 10])], {"w": weights})


def write_repository() -> None:
    write_onnx(MODELS / "plain/1/model.onnx")
    (MODELS / "plain/config.pbtxt").write_text('backend: "onnxruntime"\n')
    write_onnx(MODELS / "bare/1/model.onnx")
    write_onnx(MODELS / "named/3/net.onnx")
    (MODELS / "named/config.pbtxt").write_text(NAMED)
    (MODELS / "named/classes.txt").write_text("\n".join("abcdefghij"))
    write_onnx(MODELS / "broken/1/model.onnx")
    (MODELS / "broken/config.pbtxt").write_text(BROKEN)
    (MODELS / "post/1").mkdir(parents=True)
    (MODELS / "post/1/model.py").write_text(PYTHON)
    (MODELS / "post/config.pbtxt").write_text('backend: "python"\n')


def entries() -> dict[str, Entry]:
    """Mode, time of change in ns and content of everything in the repository."""
    found = {}
    for path in (MODELS, *sorted(MODELS.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


def adopted(*arguments: str, code: int) -> dict[str, dict[str, Any]]:
    ran = invoke("adopt", "models", *arguments, "--json")
    assert ran.returncode == code, ran.stderr
    return {each["model"]: each for each in json.loads(ran.stdout)["versions"]}


@pytest.mark.server
def test_a_repository_made_by_hand(tmp_path: Path) -> None:
    write_repository()
    before = entries()
    found = adopted(code=1)
    assert entries() == before
    assert {name: each["outcome"] for name, each in found.items()} == {
        "plain": "adopted",
        "bare": "adopted",
        "named": "adopted",
        "broken": "refused",
        "post": "other backend",
    }
    assert "'z'" in found["broken"]["reason"]  # the server's own reason
    assert found["plain"]["reference"] == "none"
    assert {path.name for path in tmp_path.iterdir() if "scratch" in path.name or "staging" in path.name} == set()
    manifest = json.loads(Path("models.evidence/named/3/manifest.json").read_text())
    assert {"config.pbtxt", "classes.txt", "3/net.onnx"} <= set(manifest["files"])
    assert manifest["reference"] == {"kind": "none", "text": "unreferenced: the reference is the file itself in ONNX Runtime"}
    assert str(tmp_path) not in json.dumps(manifest)

    listed = invoke("list", "models")
    assert listed.stdout.count("unreferenced: the reference is the file itself in ONNX Runtime") == 3
    again = adopted("plain", "bare", "named", "post", code=0)
    assert [each["outcome"] for each in again.values()] == ["up to date", "up to date", "up to date", "other backend"]

    verified = invoke("verify", "models", "-m", "plain", "-m", "bare", "-m", "named", "--verbose")
    assert verified.returncode == 0, verified.stderr
    assert "unreferenced" in verified.stdout
    made = "from the model file: backend onnxruntime, max_batch_size 4, input x TYPE_FP32 [16], output y TYPE_FP32 [10], dynamic"
    assert made in " ".join(verified.stdout.split())
    assert invoke("golden", "export", "models", "bare").returncode == 0
    assert entries() == before

    write_onnx(MODELS / "named/3/net.onnx", WEIGHTS * np.float32(1.01))
    changed = invoke("verify", "models", "-m", "named")
    assert changed.returncode == 1
    assert "named/3/net.onnx: the file was changed after it was proven" in " ".join(changed.stdout.split())
    assert adopted("named", code=1)["named"]["outcome"] == "changed"


@pytest.mark.server
def test_a_source_in_pytorch_is_the_reference_if_a_spec_names_it() -> None:
    import torch

    class Layer(torch.nn.Module):
        def __init__(self, weights: np.ndarray) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.from_numpy(weights))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x @ self.w)

    for name, weights in (("right", WEIGHTS), ("wrong", WEIGHTS + np.float32(0.1))):
        write_onnx(MODELS / name / "3/net.onnx")
        (MODELS / name / "config.pbtxt").write_text(NAMED.replace(' label_filename: "classes.txt"', ""))
        torch.jit.script(Layer(weights)).save(f"{name}.pt")
    Path("spec.yaml").write_text("schema: 1\nmodels:\n  right: {source: right.pt}\n  wrong: {source: wrong.pt}\n")

    found = adopted("--spec", "spec.yaml", code=1)
    assert (found["wrong"]["outcome"], found["wrong"]["report"]["verdict"]) == ("failed", "failed")
    assert not Path("models.evidence/wrong").exists()
    assert (found["right"]["outcome"], found["right"]["reference"]) == ("adopted", "torchscript")
    report = json.loads(Path("models.evidence/right/3/report.json").read_text())
    assert "text" not in report["details"]["reference"]
    assert any(gate["gate"] == "noise floor" and gate["verdict"] == "passed" for gate in report["gates"])


@pytest.mark.server
def test_a_file_that_changes_meanwhile_leaves_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    from tritonize.workflows import adopted_proof

    write_onnx(MODELS / "plain/1/model.onnx")
    (MODELS / "plain/config.pbtxt").write_text('backend: "onnxruntime"\n')
    prove = adopted_proof.prove

    def prove_and_change(subject: adopted_proof.Subject, **options: Any) -> adopted_proof.Proof:
        proof = prove(subject, **options)
        write_onnx(MODELS / "plain/1/model.onnx", WEIGHTS + 1)
        return proof

    monkeypatch.setattr(adopted_proof, "prove", prove_and_change)
    found = adopted(code=3)["plain"]
    assert found["reason"].startswith("plain/1/model.onnx: the file was changed after it was proven, so nothing was written")
    assert not Path("models.evidence/plain/1").exists()
    shutil.rmtree(MODELS)
