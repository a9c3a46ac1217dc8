"""The error after every strategy failed: next steps name only the user's lines, and none that would fail the same way."""

from __future__ import annotations

import json
import types

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tritonize.core import errors
from tritonize.core.artifacts import Attempt, Source
from tritonize.core.errors import CodePlace, ExportError
from tritonize.export import ladder_failure
from tritonize.export.worker import failures
from tritonize.onnx_model.worker import session as ort_session
from tritonize.quality import golden_set
from tritonize.spec import schema

MODEL = schema.Model.model_validate({"source": "m.pt", "inputs": {"x": {"shape": [1]}}})
PYTHON = "export the model's Python code"


def failed(**fields) -> Attempt:
    return Attempt(strategy="dynamo", outcome="failed", seconds=1.0, reason="it failed", **fields)


def error_of(kind: str, *attempts: Attempt) -> ExportError:
    return ladder_failure.every_strategy_failed(MODEL, Source(kind=kind, location="m", sha256={}), attempts)


@pytest.mark.parametrize(
    ("place", "where"),
    [
        (CodePlace(line="net.py:8"), "net.py:8"),
        (CodePlace(line="sub/net.py:8", module="blocks.0"), "sub/net.py:8, module blocks.0"),
        (CodePlace(module="blocks.0"), "module blocks.0"),
        (None, "m"),
    ],
)
def test_the_next_step_names_only_lines_of_the_users_code(place, where):
    error = error_of("factory", failed(where="model.onnx", place=place), failed())  # the file is the run's own and gone by now
    assert error.where == where
    line = place and place.line
    assert (f"write {line} with operators" in str(error.next_step)) == bool(line)
    assert "write model.onnx" not in str(error.next_step)


def test_a_line_of_code_comes_before_a_module():
    module, line = CodePlace(module="blocks.0"), CodePlace(line="net.py:8")
    assert error_of("factory", failed(place=module), failed(place=line)).where == "net.py:8"


def test_a_place_survives_the_way_from_a_worker():
    place = CodePlace(line="net.py:8", module="blocks.0")
    received = errors.from_dict(json.loads(json.dumps(ExportError("It failed.", where=place).to_dict())))
    assert (received.place, received.where) == (place, "net.py:8, module blocks.0")
    assert errors.from_dict(ExportError("It failed.", where="model.onnx").to_dict()).place is None


def test_no_export_of_the_python_code_is_suggested_if_onnxruntime_lacks_the_operator():
    lacking = failed(code="onnxruntime-lacks-operator", next_step="call float() on it")
    assert error_of("torchscript", failed(next_step="register one"), lacking).next_step == "call float() on it"
    assert (
        error_of("torchscript", failed(code="autocast-in-script", next_step="leave it out"), failed()).next_step == "leave it out"
    )
    assert PYTHON in str(error_of("torchscript", failed(), failed()).next_step)
    assert PYTHON not in str(error_of("factory", failed(), failed()).next_step)


def convolution(dtype: int, weight: np.ndarray | None = None) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 3, 3]) for name in ("x", "y")]
    kernel = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "k")
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=dtype),
        helper.make_node("Cast", ["k"], ["w"], to=dtype),
        helper.make_node("Conv", ["a", "w"], ["b"], name="conv"),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    made = helper.make_graph(nodes, "g", values[:1], values[1:], [kernel])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize(("dtype", "name"), [(TensorProto.DOUBLE, "float64"), (TensorProto.BFLOAT16, "bfloat16")])
def test_an_operator_that_onnxruntime_lacks_is_named_with_its_type(dtype, name, tmp_path):
    onnx.save(convolution(dtype), tmp_path / "model.onnx")
    with pytest.raises(Exception, match="Conv"):
        onnxruntime.InferenceSession(tmp_path / "model.onnx")
    with pytest.raises(ExportError) as refused:
        ort_session.session(tmp_path / "model.onnx", ())
    assert refused.value.code == "onnxruntime-lacks-operator"
    assert f"Conv for {name}" in refused.value.what
    assert ("autocast" in str(refused.value.next_step)) == (name == "bfloat16")
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("Exporting the operator 'aten::foo' to ONNX opset version 18 is not supported.", "aten::foo"),
        ("ONNX export failed on an operator with unrecognized namespace my::thing. If you are trying", "my::thing"),
        ("something else went wrong", None),
    ],
)
def test_the_legacy_exporters_operator_is_named_or_nothing_is(told, named, tmp_path):
    (tmp_path / "graph.txt").write_text("")
    error = failures.unsupported_in_graph(RuntimeError(told), tmp_path / "graph.txt", "")
    assert error.code == ("no-onnx-function" if named else "no-onnx-function-for-part")
    assert "operator an operator" not in error.what
    assert (f'"{named}"' in str(error.next_step)) == (named is not None)


def test_a_part_that_dynamo_cannot_translate_and_that_is_not_an_operator_is_named():
    told = RuntimeError("No ONNX function found for <built-in function gcd>. Failure message: none")
    program = types.SimpleNamespace(graph=types.SimpleNamespace(nodes=[]))
    error = failures.untranslated(told, program, "")
    assert error is not None
    assert "<built-in function gcd>" in error.what
    assert error.code == "no-onnx-function-for-part"
    assert error.next_step == "write that part with PyTorch's operators, or choose other exporters under strategies in the spec"


def test_autocast_in_a_script_is_seen():
    class Cast(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = torch.mm(x, x)
            return y  # noqa: RET504 - a script returns from no `with`

    class Plain(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.mm(x, x)

    assert failures.autocasts(torch.jit.script(Cast()))
    assert not failures.autocasts(torch.jit.script(Plain()))


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"why_not": "", "answered_by": "somebody"}, "somebody"),
        ({"why_not": ""}, golden_set.PYTORCH),
        ({"why_not": "the source is an ONNX file", "answered_by": golden_set.ONNX_SOURCE}, golden_set.ONNX_SOURCE),
    ],
)
def test_a_golden_set_names_what_computed_its_outputs(facts, named, tmp_path):
    whole = {"schema": 2, "count": 1, "drawn": 1, "origin": "", "edges": {}, "max_batch_size": 0, "inputs": [], "expected": []}
    whole |= {"exact": None, "required": False, "floors": [], "rules": {}, **facts}
    assert golden_set.from_facts(tmp_path, whole).answered_by == named
