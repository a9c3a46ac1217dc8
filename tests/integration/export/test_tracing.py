"""Clean files that can still be traced back, and failures that name operator, module, line and next steps."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import onnx
import pytest
import torch

from tests.support.command import MODELS, tritonize

INPUT = ("--input", "x:fp32:1x3x8x8")
OPERATORS = """
import tritonize
from onnxscript import opset18 as op

@tritonize.operator("aten::asinh", opset=9)
def asinh(x):
    return op.Log(x + op.Sqrt(x * x + 1.0))
"""
SPEC = """
schema: 1
models:
  net:
    source: {source}
    strategies: [{strategy}]
    operators: [operators.py]
    inputs: {{x: {{shape: [batch, 3, 8, 8]}}}}
    max_batch_size: 2
"""


def line(marker: str) -> str:
    """`tracing.py:<number>` of the line that ends in the marker."""
    lines = (MODELS / "tracing.py").read_text().splitlines()
    return f"tracing.py:{next(number for number, text in enumerate(lines, 1) if text.endswith(marker))}"


@pytest.fixture(autouse=True)
def tracing():
    """The module of networks, from a copy in the user's folder: what is traced names the file it was traced from."""
    shutil.copy(MODELS / "tracing.py", "tracing.py")
    Path("operators.py").write_text(OPERATORS)
    found = importlib.util.spec_from_file_location("tracing", Path("tracing.py").absolute())
    tracing = importlib.util.module_from_spec(found)
    found.loader.exec_module(tracing)
    torch.jit.trace(tracing.Net().eval(), torch.randn(2, 3, 8, 8)).save("net.pt")
    return tracing


def build(source: str, strategy: str) -> Path:
    """The staged version directory."""
    Path("spec.yaml").write_text(SPEC.format(source=source, strategy=strategy))
    done = tritonize("build", "spec.yaml", "--json", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["reports"][0]["location"])


@pytest.mark.parametrize(
    ("source", "strategy"),
    [
        pytest.param("tracing:Net", "dynamo", marks=pytest.mark.slow),
        pytest.param("tracing:Net", "legacy", marks=pytest.mark.slow),
        ("net.pt", "legacy"),
        pytest.param("net.pt", "converted", marks=pytest.mark.slow),
    ],
)
def test_every_node_is_mapped_or_says_that_it_is_not(source, strategy):
    """And the same model makes the same bytes, by each of the exporters."""
    version = build(source, strategy)
    content = (version / "model.onnx").read_bytes()
    if (source, strategy) in (("tracing:Net", "dynamo"), ("net.pt", "legacy")):
        assert (build(source, strategy) / "model.onnx").read_bytes() == content
    for word in (b"tracing.py", b"site-packages", str(Path.cwd()).encode(), b"forward"):
        assert word not in content
    table = json.loads((version / "evidence" / "node_map.json").read_text())
    model = onnx.load(version / "model.onnx")
    assert [(entry["node"], entry["operator"]) for entry in table["nodes"]] == [
        (node.name, node.op_type) for node in model.graph.node
    ]
    assert table["mapped"] + table["unmapped"] == len(model.graph.node)
    if strategy == "converted":  # its program keeps neither module nor line
        assert all(entry["unmapped"] for entry in table["nodes"])
        return
    assert table["unmapped"] == 0
    places = {(entry["operator"], entry["module"]): entry["source"] for entry in table["nodes"]}
    for block in ("blocks.0", "blocks.1"):
        assert places["Sigmoid", block] == places["Relu", block] == line("# the line of Block")
    assert places["Log", ""] == places["Sqrt", ""] == line("# the line of Net")  # out of an inlined function of the user
    manifest = json.loads((version / "evidence" / "manifest.json").read_text())
    assert any(name.endswith("node_map.json") for name in manifest["files"])


def test_an_unsupported_operator_is_named_with_module_line_strategies_and_two_steps():
    done = tritonize("build", "tracing:Unsupported", *INPUT, timeout=300)
    assert done.returncode == 4
    told = " ".join(done.stderr.split())
    assert f"{line('# the line of Bessel')}, module parts.1" in told
    assert '@tritonize.operator("prims::bessel_i0", opset=18)' in told
    assert f"; or write {line('# the line of Bessel')}" in told
    for strategy in ("dynamo (", "dynamo_decomposed (", "legacy ("):
        assert f"| {strategy}" in told
    assert "operator aten::i0" in told


@pytest.mark.slow
def test_an_unsupported_operator_in_a_traced_file(tracing):
    torch.jit.trace(tracing.Unsupported().eval(), torch.randn(2, 3, 8, 8)).save("unsupported.pt")
    done = tritonize("build", "unsupported.pt", "--input", "INPUT__0:fp32:1x3x8x8", timeout=300)
    assert done.returncode == 4
    told = " ".join(done.stderr.split())
    assert f"{line('# the line of Bessel')}, module parts.1" in told
    assert "export the model's Python code" in told


def test_a_factory_that_makes_another_model_each_time():
    done = tritonize("build", "tracing:other_each_time", *INPUT, "--json", timeout=300)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "source-not-reproducible"


@pytest.mark.slow
def test_a_factory_with_random_weights_is_the_same_in_every_process():
    done = tritonize("build", "tracing:Net", *INPUT, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


LEGACY_NAMES = """
import torch

class Shared(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.conv_1 = torch.nn.Conv1d(2, 2, 1), torch.nn.Conv1d(2, 2, 1)
        self.parts = torch.nn.ModuleDict({"x_y": torch.nn.Conv1d(2, 2, 1)})
        self.other = torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.other(self.other(self.parts["x_y"](self.conv_1(self.conv(self.conv(x))))))
"""


def test_the_legacy_exporters_made_up_modules_are_left_out():
    Path("shared.py").write_text(LEGACY_NAMES)
    Path("spec.yaml").write_text(SPEC.format(source="shared:Shared", strategy="legacy").replace("3, 8, 8", "2, 4"))
    done = tritonize("build", "spec.yaml", "--json", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    version = Path(json.loads(done.stdout)["reports"][0]["location"])
    found = [entry.get("module") for entry in json.loads((version / "evidence" / "node_map.json").read_text())["nodes"]]
    assert found[:4] == ["conv", None, None, "parts.x_y"]  # the second call of conv may not be told from conv_1
    assert set(found[4:]) == {"other"}  # called twice, and nothing else is called so
