"""The user's operators: asinh, which the legacy exporter lacks at every opset, and one of torch.library."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import onnxruntime_extensions
import pytest

from tests.support.command import tritonize

NETWORK = """
import torch

class Asinh(torch.nn.Module):
    def forward(self, x):
        return torch.asinh(x) * 2

def custom():
    class Custom(torch.nn.Module):
        def forward(self, x):
            return torch.ops.shop.double_it(x) + 1
    return Custom()
"""
OPERATORS = """
import torch
import tritonize
from onnxscript import opset9 as op

@tritonize.operator("aten::asinh", opset=9)
def asinh(x):
    return op.Asinh(x)

@torch.library.custom_op("shop::double_it", mutates_args=())
def double_it(x: torch.Tensor) -> torch.Tensor:
    return x * 2

@double_it.register_fake
def _(x):
    return torch.empty_like(x)

@tritonize.operator("shop::double_it", opset=9)
def translated(x):
    return op.Add(x, x)
"""


def build(source: str, opset: int, strategy: str, *, operators: str | None = OPERATORS):
    Path("network.py").write_text(NETWORK)
    named = ""
    if operators is not None:
        Path("operators.py").write_text(operators)
        named = "operators: [operators.py], "
    Path("s.yaml").write_text(
        f"schema: 1\nmodels: {{m: {{source: '{source}', {named}opset: {opset}, strategies: [{strategy}], "
        "inputs: {x: {shape: [batch, 4]}}, max_batch_size: 2}}\n"
    )
    done = tritonize("build", "s.yaml", "--json")
    return done, json.loads(done.stdout)


@pytest.mark.parametrize(("opset", "strategy"), [(9, "legacy"), pytest.param(18, "legacy", marks=pytest.mark.slow), (18, "dynamo")])
def test_the_documented_translation_of_asinh_is_exported(opset, strategy):
    done, answer = build("network:Asinh", opset, strategy)
    assert done.returncode == 0, done.stderr
    model = onnx.load(Path(answer["reports"][0]["location"]) / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert not model.functions
    assert "Asinh" in [node.op_type for node in model.graph.node]


def test_without_a_translation_the_missing_operator_is_named():
    done, answer = build("network:Asinh", 18, "legacy", operators=None)
    assert done.returncode == 4
    assert "aten::asinh" in answer["error"]["found"]


def test_dynamo_refuses_opsets_below_18():
    done, answer = build("network:Asinh", 17, "dynamo")
    assert done.returncode == 4
    assert "does not write opset" in answer["error"]["found"]


@pytest.mark.parametrize("strategy", [pytest.param("legacy", marks=pytest.mark.slow), "dynamo"])
def test_an_operator_of_torch_library_is_exported(strategy):
    done, _ = build("network:custom", 18, strategy)
    assert done.returncode == 0, done.stderr


LIBRARY_OPERATORS = """
import onnxscript
import torch
import tritonize

contrib = onnxscript.values.Opset("ai.onnx.contrib", 1)

@torch.library.custom_op("shop::inverse", mutates_args=())
def inverse(x: torch.Tensor) -> torch.Tensor:
    return torch.linalg.inv(x)

@inverse.register_fake
def _(x):
    return torch.empty_like(x)

@tritonize.operator("shop::inverse", opset=18)
def translated(x):
    return contrib.Inverse(x)
"""
LIBRARY_SPEC = """
schema: 1
models:
  inverse:
    source: network:Inverse
    operators: [operators.py]
    strategies: [{strategy}]
    custom_op_libraries: ['{library}']
    inputs: {{x: {{shape: [4, 4]}}}}
"""


def library_spec(strategy: str, library: str) -> None:
    Path("operators.py").write_text(LIBRARY_OPERATORS)
    Path("network.py").write_text(
        "import torch\nclass Inverse(torch.nn.Module):\n"
        "    def forward(self, x):\n        return torch.ops.shop.inverse(x @ x.T + 3 * torch.eye(4))\n"
    )
    Path("s.yaml").write_text(LIBRARY_SPEC.format(strategy=strategy, library=library))


@pytest.mark.parametrize("strategy", ["legacy", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_a_library_of_custom_operators_is_checked_and_served(strategy):
    library = onnxruntime_extensions.get_library_path()
    library_spec(strategy, library)
    done = tritonize("run", "s.yaml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert {check["stage"] for check in report["checks"]} >= {"onnxruntime", "grpc", "shm"}
    assert set(report["details"]["custom_op_libraries"]) == {Path(library).name}  # evidence contains no folders
    version = Path(report["location"])
    assert f'op_library_filename: "{library}"' in (version.parent / "config.pbtxt").read_text()
    model = onnx.load(version / "model.onnx")
    assert ("ai.onnx.contrib", "Inverse") in {(node.domain, node.op_type) for node in model.graph.node}


@pytest.mark.parametrize(("library", "words"), [("/nowhere/libops.so", "does not load the library"), ("libs/ops.so", "bare name")])
def test_a_missing_library_of_custom_operators_is_an_error(library, words):
    library_spec("legacy", library)
    done = tritonize("build", "s.yaml", "--json")
    assert done.returncode == 2
    assert words in done.stdout


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        ("import tritonize\n@tritonize.operator('asinh', opset=9)\ndef f(x): return x\n", "Invalid operator name", 2),
        ("1 / 0\n", "ZeroDivisionError", 4),
        ("import nowhere\n", "nowhere", 4),
    ],
)
def test_an_invalid_operators_file_is_an_error(text, words, code):
    done, answer = build("network:Asinh", 18, "legacy", operators=text)
    assert done.returncode in (code, 4), done.stderr
    assert words in json.dumps(answer["error"])
