"""Ragged inputs: what a spec may say, and what Triton makes of one request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tritonize.core.artifacts import OnnxArtifact, TensorSpec
from tritonize.onnx_model import ragged
from tritonize.spec import rules, schema
from tritonize.triton import executions, model_config
from tritonize.triton.executions import Counts

MADE = {"kind": "BATCH_ACCUMULATED_ELEMENT_COUNT", "target_name": ["ENDS"], "data_type": "TYPE_INT32", "source_input": ["X"]}


def model(**fields: Any) -> schema.Model:
    given = {
        "source": "m.onnx",
        "inputs": {"X": {"shape": ["batch", "n"], "ragged": True}},
        "axes": {"n": {"max": 9}},
        "max_batch_size": 8,
        "triton": {"batch_input": [MADE]},
    }
    return schema.Model.model_validate({**given, **fields})


def problems(**fields: Any) -> list[str]:
    return [why for _, why in rules.problems(model(**fields))]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"source": "m.pt"}, "needs an ONNX file as source"),
        ({"backend": "tensorrt"}, "needs an ONNX file as source"),
        ({"max_batch_size": 0}, "needs batching"),
        ({"inputs": {"X": {"shape": ["batch"], "ragged": True}}, "axes": {}}, "needs the shape of one request"),
        ({"inputs": {"X": {"shape": ["batch", "n"]}}}, "needs an input with ragged: true"),
        ({"triton": {"batch_input": [{**MADE, "source_input": ["Y"]}]}}, "source_input must name an input; found Y"),
        ({"triton": {"batch_input": [{**MADE, "kind": "BATCH_SUM"}]}}, "unknown kind 'BATCH_SUM'"),
        ({"triton": {"batch_input": [{**MADE, "target_name": []}]}}, "target_name must have one name"),
        ({"triton": {"batch_output": "Y"}}, "expected kind, target_name and source_input; found 'Y'"),
    ],
)
def test_what_cannot_be_ragged_is_refused_before_any_work(fields: dict[str, Any], text: str) -> None:
    assert problems() == []
    assert any(text in why for why in problems(**fields)), problems(**fields)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("BATCH_ELEMENT_COUNT", [6]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", [6]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 6]),
        ("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", [0] * 6),
        ("BATCH_ITEM_SHAPE", [[2, 3]]),
        ("BATCH_ITEM_SHAPE_FLATTEN", [2, 3]),
    ],
)
def test_one_request_becomes_the_inputs_of_the_file(kind: str, expected: list[Any]) -> None:
    spec = model(triton={"batch_input": [{**MADE, "kind": kind, "data_type": "TYPE_FP32"}]})
    joined = ragged.of(spec)
    assert joined is not None
    request = {"X": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}
    sent = joined.model_inputs(request)
    assert sent["X"].tolist() == [0, 1, 2, 3, 4, 5]
    assert (sent["ENDS"].dtype, sent["ENDS"].tolist()) == (np.float32, expected)


def test_a_scattered_output_has_the_shape_of_its_input() -> None:
    scattered = {"kind": "BATCH_SCATTER_WITH_INPUT_SHAPE", "target_name": "Y", "source_input": "X"}
    spec = model(triton={"batch_input": [MADE], "batch_output": [scattered]})
    assert problems(triton={"batch_input": [MADE], "batch_output": [scattered]}) == []
    joined = ragged.of(spec)
    assert joined is not None
    request = {"X": np.zeros((1, 3), np.float32)}
    found = joined.client_outputs({"Y": np.arange(3), "Z": np.ones((1, 1))}, request)
    assert {name: array.shape for name, array in found.items()} == {"Y": (1, 3), "Z": (1, 1)}
    with pytest.raises(ValueError, match="reshape"):
        joined.client_outputs({"Y": np.arange(4)}, request)


def test_the_configuration_describes_requests_and_not_the_file() -> None:
    inputs = (TensorSpec(name="X", dtype="fp32", shape=("n",)), TensorSpec(name="ENDS", dtype="int32", shape=("batch",)))
    outputs = (TensorSpec(name="SUM", dtype="fp32", shape=("batch", 1)),)
    artifact = OnnxArtifact.__new__(OnnxArtifact)
    for name, value in {"inputs": inputs, "outputs": outputs, "optional": ()}.items():
        object.__setattr__(artifact, name, value)
    config = model_config.parse(model_config.render("m", model(), artifact), where="")
    assert config["input"] == [{"name": "X", "data_type": "TYPE_FP32", "dims": ["-1"], "allow_ragged_batch": True}]
    assert config["max_batch_size"] == 8
    assert model().largest_request == 1


@pytest.mark.parametrize(("executed", "joined"), [(8, False), (7, True), (None, True)])
def test_concurrent_requests_prove_something_if_a_batch_ran(executed: int | None, joined: bool) -> None:
    counts = None if executed is None else Counts(requests=8, inferences=8, executions=executed, hits=0)
    config = model_config.parse('input [ { name: "X" allow_ragged_batch: true } ]', where="")
    assert (executions.why_not_joined(counts, config) is None) is joined
    assert executions.why_not_joined(counts, {}) is None
