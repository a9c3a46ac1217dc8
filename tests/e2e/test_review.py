"""What a hunt for false passes found, each as a test: none of these may be published or verified as right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support import plan_requests
from tests.support.command import tritonize

MODELS = """
import torch
from torch import Tensor, nn

class Mixes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 5 * (x - x.mean(0))

class Named(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"a": x + 1, "b": x - 1}

class Minus(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x - y

class Open(nn.Module):
    # as transformers models are: names beside an open end
    def forward(self, ids: Tensor, mask: Tensor | None = None, extra: Tensor | None = None, **options: Tensor) -> Tensor:
        assert mask is None
        return ids + 2 * extra + 4 * options["more"]

class Halves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x // 2

class Nan(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float("nan")

class Tiny(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 1e-5

class Total(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()

class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1

class Short(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x.float() + 1).to(x.dtype)
"""


@pytest.fixture(autouse=True)
def _models():
    Path("odd.py").write_text(MODELS)


def work(command: str, model: str, *flags: str, name: str = "m"):
    """The command, with one model; by the quick exporter, since none of this is about exporting."""
    model += "" if "strategies" in model else ", strategies: [legacy]"
    Path("s.yaml").write_text(f"schema: 1\nmodels: {{{name}: {{{model}}}}}\n")
    done = tritonize(command, "s.yaml", "--json", *flags)
    return done, json.loads(done.stdout)


def session(answer: dict) -> onnxruntime.InferenceSession:
    path = Path(answer["reports"][0]["location"]) / "model.onnx"
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_a_model_that_mixes_a_batch_of_equal_samples_is_found():
    x = "inputs: {x: {shape: [batch, 4]}}, max_batch_size: 4"
    done, answer = work("build", f"source: 'odd:Mixes', {x}, samples: {{count: 1}}")
    assert done.returncode == 2
    assert "not batchable" in answer["error"]["what"]
    np.savez("one.npz", x=np.ones((1, 4), np.float32))
    done, answer = work("build", f"source: 'odd:Mixes', {x}, samples: {{files: one.npz}}")
    assert done.returncode == 2
    assert "All samples of one shape are equal" in answer["error"]["what"]


@pytest.mark.slow
def test_outputs_that_the_model_names_keep_their_names():
    x = "inputs: {x: {shape: [batch, 4]}}, max_batch_size: 2"
    done, answer = work("build", f"source: 'odd:Named', {x}, outputs: {{b: {{}}, a: {{}}}}")
    assert done.returncode == 0, done.stderr
    zeros = np.zeros((1, 4), np.float32)
    assert session(answer).run(["b", "a"], {"x": zeros})[0][0, 0] == -1
    done, answer = work("build", f"source: 'odd:Named', {x}, outputs: {{b: {{}}, c: {{}}}}")
    assert done.returncode == 2


@pytest.mark.parametrize("names", [("INPUT__1", "INPUT__0"), ("y", "x")])
def test_numbered_and_named_inputs_reach_their_parameters(names):
    inputs = ", ".join(f"{name}: {{shape: [batch, 4]}}" for name in names)
    done, answer = work("build", f"source: 'odd:Minus', inputs: {{{inputs}}}, max_batch_size: 2")
    assert done.returncode == 0, done.stderr
    first, second = sorted(names)
    one, zero = np.ones((1, 4), np.float32), np.zeros((1, 4), np.float32)
    assert session(answer).run(None, {first: one, second: zero})[0][0, 0] == 1


def test_keyword_parameters_receive_their_names():
    names = ("ids", "extra", "more")
    inputs = ", ".join(f"{name}: {{shape: [batch, 4]}}" for name in names)
    done, answer = work("build", f"source: 'odd:Open', inputs: {{{inputs}}}, max_batch_size: 2")
    assert done.returncode == 0, done.stderr
    ones = {name: np.ones((1, 4), np.float32) for name in names}
    assert session(answer).run(None, ones)[0][0, 0] == 7


@pytest.mark.parametrize("names", [("INPUT__3", "INPUT__7"), ("left", "right")])
def test_inputs_that_match_no_parameter_are_an_error(names):
    inputs = ", ".join(f"{name}: {{shape: [batch, 4]}}" for name in names)
    done, _ = work("build", f"source: 'odd:Minus', inputs: {{{inputs}}}, max_batch_size: 2")
    assert done.returncode == 2


def test_integer_samples_have_both_signs():
    import sys

    import torch

    sys.path.insert(0, str(Path.cwd()))
    import odd

    torch.jit.trace(odd.Halves(), torch.tensor([[7, 8]])).save("halves.pt")
    done, answer = work("build", "source: halves.pt, inputs: {x: {dtype: int64, shape: [batch, 2]}}, max_batch_size: 2")
    if done.returncode == 0:  # some rung of the ladder does it right
        assert session(answer).run(None, {"x": np.array([[-7, -1]])})[0].tolist() == [[-4, -1]]
    else:
        assert done.returncode in (1, 4)


def test_an_output_that_is_always_nan_proves_nothing():
    done, answer = work("build", "source: 'odd:Nan', inputs: {x: {shape: [batch, 4]}}, max_batch_size: 2")
    assert done.returncode == 1
    assert "proves nothing" in json.dumps(answer["reports"][0]["findings"])


def test_a_tolerance_above_the_output_is_a_weak_proof():
    _, answer = work("build", "source: 'odd:Tiny', inputs: {x: {shape: [batch, 4]}}, max_batch_size: 2")
    assert any("Weak proof" in note for note in answer["reports"][0]["notes"])


@pytest.mark.server
@pytest.mark.parametrize(
    "model",
    [
        "source: 'odd:Total', inputs: {x: {shape: [4]}}",
        "source: 'odd:Short', inputs: {x: {dtype: bf16, shape: [batch, 4]}}, max_batch_size: 2",
        pytest.param(
            "source: 'odd:Short', inputs: {x: {dtype: fp16, shape: [batch, 4]}}, max_batch_size: 2", marks=pytest.mark.slow
        ),
    ],
)
def test_scalars_and_short_types_are_served(model):
    done, answer = work("run", model)
    assert done.returncode == 0, done.stderr
    assert answer["reports"][0]["published"]


@pytest.mark.slow
@pytest.mark.server
def test_a_repository_path_may_have_any_characters():
    folder = "ünï with blank"
    model = "{source: 'odd:Half', inputs: {x: {shape: [batch, 4]}}, max_batch_size: 2, strategies: [legacy]}"
    Path("s.yaml").write_text(f"schema: 1\nrepository: '{folder}'\nmodels: {{m: {model}}}\n")
    done = tritonize("run", "s.yaml", timeout=120)
    assert done.returncode == 0, done.stderr
    assert tritonize("verify", folder, timeout=120).returncode == 0


@pytest.mark.slow  # tests/integration/repository/test_publishing.py and test_checking.py have each part by itself
@pytest.mark.server
def test_labels_of_published_versions_stay_and_damage_is_a_finding():
    Path("labels.txt").write_text("a\nb\nc\nd\n")
    model = "source: 'odd:Half', inputs: {x: {shape: [batch, 4]}}, outputs: {y: {labels: labels.txt}}, max_batch_size: 2"
    done, _ = work("run", model)
    assert done.returncode == 0, done.stderr
    Path("labels.txt").write_text("b\na\nc\nd\n")
    done, answer = work("run", model)
    assert done.returncode == 6
    assert answer["error"]["code"] == "repository-config-differs"
    assert [line.partition(":")[0] for line in answer["error"]["details"]] == ["label_filename of y"]
    Path("labels.txt").write_text("a\nb\nc\nd\n")
    done, answer = work("run", model)
    assert (done.returncode, answer["reports"][0]["details"]) == (0, {"up_to_date": True})
    done, _ = work("run", model, "--force")
    assert done.returncode == 0, done.stderr

    place = Path("model_repository/m")
    kept = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    damages = {
        place / "config.pbtxt": None,
        place / "1" / "model.onnx": b"older version",
        place / "2" / "evidence" / "golden" / "expected" / "0" / "0.npy": b"",
        place / "2" / "evidence" / "golden" / "golden.json": b"{",
    }
    for path, content in damages.items():
        path.unlink() if content is None else path.write_bytes(content)
        done = tritonize("verify")
        assert done.returncode == 1, f"{path}: {done.returncode} {done.stderr}"
        assert path.name in done.stdout
        path.write_bytes(kept[path])
    manifest = json.loads((place / "2/evidence/manifest.json").read_text())
    (place / "2/evidence/manifest.json").write_text(json.dumps({**manifest, "verdict": "failed"}))
    assert tritonize("verify").returncode == 1
    shutil.rmtree("model_repository")


@pytest.mark.slow
@pytest.mark.server
def test_a_failing_model_does_not_hide_the_others():
    kinds = {"one": "Half", "two": "Mixes", "three": "Half"}
    rest = "inputs: {x: {shape: [batch, 4]}}, max_batch_size: 2, strategies: [legacy]"
    lines = [f"  {name}: {{source: 'odd:{kind}', {rest}}}" for name, kind in kinds.items()]
    Path("s.yaml").write_text("\n".join(["schema: 1", "models:", *lines]))
    done = tritonize("run", "s.yaml", "--json")
    assert done.returncode == 2
    assert [report["published"] for report in json.loads(done.stdout)["reports"]] == [True, False, True]


def test_rules_for_an_unknown_output_are_an_error():
    """They would hold for none, and the output they were meant for would be judged by the defaults."""
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(plan_requests.network("m.onnx"))), "m.onnx")
    Path("spec.yaml").write_text("schema: 1\nmodels: {net: {source: m.onnx, max_batch_size: 4, outputs: {y: {}}}}\n")
    done = tritonize("build", "spec.yaml", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["found"], error["expected"]) == ("spec-output-unknown", "y", "one of y0")
