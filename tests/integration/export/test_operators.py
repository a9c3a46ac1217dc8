"""Operators of the user's: one that the legacy exporter lacks, and one of torch.library; and those that tritonize adds to it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import onnx
import onnxruntime_extensions
import pytest

from tests.support.command import CHECKOUT, tritonize
from tests.support.leaks import nothing_left

NETWORK = """
import torch

class Asinh(torch.nn.Module):
    def forward(self, x):
        return torch.asinh(x) * 2

class Hypot(torch.nn.Module):
    def forward(self, x):
        return torch.hypot(x, x + 1)

@torch.jit.script
def pointwise(x):
    y = torch.asinh(x) + torch.sinh(x) + torch.cosh(x) + torch.acosh(x.abs() + 1) + torch.atanh(x / 8)
    z = torch.exp2(x) + torch.expm1(x) + torch.special.expm1(x * 1e-4) + torch.deg2rad(x) + torch.rad2deg(x)
    return torch.stack([y, z, torch.trunc(x) + torch.fix(x), torch.frac(x), torch.asinh((x * 4).long())], 1)

class Parts(torch.nn.Module):
    def forward(self, x):
        return pointwise(x)

def scripted():
    return torch.jit.script(Parts())

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
def test_asinh_the_documented_example(opset, strategy):
    done, answer = build("network:Asinh", opset, strategy)
    assert done.returncode == 0, done.stderr
    model = onnx.load(Path(answer["reports"][0]["location"]) / "model.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert not model.functions
    assert "Asinh" in [node.op_type for node in model.graph.node]


def test_without_it_the_missing_operator_is_named():
    done, answer = build("network:Hypot", 18, "legacy", operators=None)
    assert done.returncode == 4
    assert "aten::hypot" in answer["error"]["found"]


@pytest.mark.parametrize("opset", [pytest.param(9, marks=pytest.mark.slow), 18])
def test_scripted_operators_that_only_tritonize_adds_to_the_legacy_exporter(opset):
    done, answer = build("network:scripted", opset, "legacy", operators=None)
    assert done.returncode == 0, done.stderr
    graph = onnx.load(Path(answer["reports"][0]["location"]) / "model.onnx").graph
    assert {"Asinh", "Acosh", "Atanh", "Sinh", "Cosh", "Floor"} <= {node.op_type for node in graph.node}


def test_dynamo_below_18_is_refused_and_not_silently_18():
    done, answer = build("network:Asinh", 17, "dynamo")
    assert done.returncode == 4
    assert "does not write opset" in answer["error"]["found"]


@pytest.mark.parametrize("strategy", [pytest.param("legacy", marks=pytest.mark.slow), "dynamo"])
def test_an_operator_of_torch_library(strategy):
    done, _ = build("network:custom", 18, strategy)
    assert done.returncode == 0, done.stderr


LIBRARY_OPERATORS = """
import onnxscript
import torch
import tritonize

shop = onnxscript.values.Opset("{domain}", 1)

@torch.library.custom_op("shop::computed", mutates_args=())
def computed(x: torch.Tensor) -> torch.Tensor:
    return {pytorch}

@computed.register_fake
def _(x):
    return torch.empty_like(x)

@tritonize.operator("shop::computed", opset=18)
def translated(x):
    return shop.{operator}(x)
"""
LIBRARY_SPEC = """
schema: 1
models:
  shop:
    source: network:Shop
    operators: [operators.py]
    strategies: [{strategy}]
    custom_op_libraries: ['{library}']
    inputs: {{x: {{shape: [4, 4]}}}}
"""
TWICE = {"domain": "test.shop", "operator": "Twice", "pytorch": "2 * x"}
INVERSE = {"domain": "ai.onnx.contrib", "operator": "Inverse", "pytorch": "torch.linalg.inv(x)"}


def library_spec(strategy: str, library: str | Path, operator: dict[str, str]) -> None:
    Path("operators.py").write_text(LIBRARY_OPERATORS.format(**operator))
    Path("network.py").write_text(
        "import torch\nclass Shop(torch.nn.Module):\n"
        "    def forward(self, x):\n        return torch.ops.shop.computed(x @ x.T + 3 * torch.eye(4))\n"
    )
    Path("s.yaml").write_text(LIBRARY_SPEC.format(strategy=strategy, library=library))


def compiled(library: Path, *options: str) -> Path:
    """A library of one operator that needs no Python."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("not run: there is no C compiler for the library of operators")
    source = CHECKOUT / "tests/support/custom_operators.c"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", *options, "-o", str(library), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return library


@pytest.mark.parametrize("strategy", ["legacy", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_a_library_of_custom_operators_is_checked_and_served(strategy, tmp_path):
    twice = compiled(tmp_path / "libtwice.so")
    library_spec(strategy, twice, TWICE)
    done = tritonize("run", "s.yaml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = json.loads(done.stdout)["reports"]
    assert {check["stage"] for check in report["checks"]} >= {"onnxruntime", "grpc", "shm"}
    assert set(report["details"]["custom_op_libraries"]) == {twice.name}  # evidence tells no places
    version = Path(report["location"])
    assert f'op_library_filename: "{twice}"' in (version.parent / "config.pbtxt").read_text()
    model = onnx.load(version / "model.onnx")
    assert ("test.shop", "Twice") in {(node.domain, node.op_type) for node in model.graph.node}


def test_a_model_that_crashes_the_server_fails_the_run_and_is_named(tmp_path):
    """Nothing hangs: the server's end is exit code 7, and the report names the model."""
    library_spec("legacy", compiled(tmp_path / "libcrash.so", "-DIN_SERVER=abort()"), TWICE)
    done = tritonize("run", "s.yaml", timeout=120)
    assert done.returncode == 7, done.stdout + done.stderr
    assert "'shop'" in done.stdout + done.stderr
    nothing_left()


def test_a_library_that_needs_python_is_refused_by_the_server_with_that_reason():
    """Like onnxruntime-extensions, whose library is one of Python's extension modules too."""
    library = onnxruntime_extensions.get_library_path()
    library_spec("legacy", library, INVERSE)
    done = tritonize("run", "s.yaml", "--json")
    assert done.returncode == 7, done.stdout + done.stderr
    assert f"op_library_filename '{library}' needs Python, which is not in the server's process" in done.stdout + done.stderr


@pytest.mark.parametrize(("library", "words"), [("/nowhere/libops.so", "does not load the library"), ("libs/ops.so", "bare name")])
def test_a_library_that_is_not_there(library, words):
    library_spec("legacy", library, INVERSE)
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
def test_a_bad_file_of_operators(text, words, code):
    done, answer = build("network:Asinh", 18, "legacy", operators=text)
    assert done.returncode in (code, 4), done.stderr
    assert words in json.dumps(answer["error"])
