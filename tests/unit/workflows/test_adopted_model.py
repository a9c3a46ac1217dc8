"""Inputs of models that others configured, from config.pbtxt and ONNX file: no server, no ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import tiny_onnx
from tests.support.tiny_onnx import FLOAT, INT64, STRING, Value
from tritonize.core import onnx_graph
from tritonize.core.errors import UsageError
from tritonize.spec import schema
from tritonize.triton import model_config
from tritonize.workflows import adopted_model

IMAGE = 'input [ { name: "X" data_type: TYPE_FP32 dims: [ 3, 8 ] } ] output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3, 8 ] } ]'
OPEN = IMAGE.replace("3, 8", "3, -1")


def described(
    config: str, inputs: list[Value], outputs: list[Value] | None = None, *, given: dict[str, Any] | None = None
) -> schema.Model:
    file = Path("model.onnx")
    file.write_bytes(tiny_onnx.identity(inputs, outputs or [("Y", *each[1:]) for each in inputs[:1]]))
    return adopted_model.describe(
        model_config.parse(config, where="config.pbtxt"),
        onnx_graph.read(file),
        name="net",
        file=Path("models/net/1/model.onnx"),
        source=file,
        given=schema.Model.model_validate(given) if given else None,
    )


@pytest.mark.parametrize(
    ("config", "inputs", "shapes"),
    [
        pytest.param("max_batch_size: 4 " + IMAGE, [("X", FLOAT, ["n", 3, 8])], {"X": ["batch", 3, 8]}, id="batched"),
        pytest.param(IMAGE, [("X", FLOAT, [3, 8])], {"X": [3, 8]}, id="not batched"),
        pytest.param(IMAGE, [("X", FLOAT, ["c", "w"])], {"X": [3, 8]}, id="the configuration fixes what the file leaves open"),
        pytest.param(OPEN, [("X", FLOAT, [3, 8])], {"X": [3, 8]}, id="the file fixes what the configuration leaves open"),
        pytest.param(IMAGE, [("X", FLOAT, None)], {"X": [3, 8]}, id="the file declares no shape"),
        pytest.param(
            'max_batch_size: 2 input [ { name: "X" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } } ] '
            'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } } ]',
            [("X", FLOAT, ["n"])],
            {"X": ["batch"]},
            id="a scalar of each sample",
        ),
        pytest.param(
            'input [ { name: "X" data_type: TYPE_FP32 dims: [ 1 ] } ] output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] } ]',
            [("X", FLOAT, [])],
            {"X": []},
            id="a scalar",
        ),
    ],
)
def test_sizes_come_from_configuration_and_file(config: str, inputs: list[Value], shapes: dict[str, list[object]]) -> None:
    model = described(config, inputs)
    assert {name: each.shape for name, each in model.inputs.items()} == shapes
    assert model.max_batch_size == int(model_config.parse(config, where="").get("max_batch_size", 0))
    assert list(model.outputs) == ["Y"]


PAIR = (
    'input [ { name: "MASK" data_type: TYPE_INT64 dims: [ -1 ] }, { name: "IDS" data_type: TYPE_INT64 dims: [ -1 ] } ] '
    'output [ { name: "Y" data_type: TYPE_INT64 dims: [ -1 ] } ] max_batch_size: 2'
)


def test_inputs_are_in_the_order_of_the_file_and_share_its_axes() -> None:
    inputs: list[Value] = [("IDS", INT64, ["b", "length"]), ("MASK", INT64, ["b", "length"])]
    given = {"source": "net.pt", "axes": {"length": {"min": 1, "max": 9}}}
    model = described(PAIR, inputs, given=given)
    assert {name: (each.dtype, each.shape) for name, each in model.inputs.items()} == {
        "IDS": ("int64", ["batch", "length"]),
        "MASK": ("int64", ["batch", "length"]),
    }
    assert list(model.inputs) == ["IDS", "MASK"]
    half = PAIR.replace("dims: [ -1 ] }, {", "dims: [ 7 ] }, {")
    assert [each.shape for each in described(half, inputs).inputs.values()] == [["batch", 7], ["batch", 7]]


def test_axes_without_a_name_are_separate() -> None:
    inputs: list[Value] = [("IDS", INT64, ["b", ""]), ("MASK", INT64, ["b", ""])]
    given = {"source": "net.pt", "axes": {"axis_1": {"max": 9}, "axis_2": {"max": 9}}}
    model = described(PAIR, inputs, given=given)
    assert [each.shape[1] for each in model.inputs.values()] == ["axis_1", "axis_2"]


@pytest.mark.parametrize(
    ("config", "inputs", "given", "code"),
    [
        (OPEN, [("X", FLOAT, [3, "w"])], None, "adopt-no-range"),
        (IMAGE + " sequence_batching { }", [("X", FLOAT, [3, 8])], None, "adopt-stateful"),
        (IMAGE + " model_transaction_policy { decoupled: true }", [("X", FLOAT, [3, 8])], None, "adopt-decoupled"),
        (
            IMAGE.replace("dims: [ 3, 8 ]", "dims: [ 24 ] reshape { shape: [ 3, 8 ] }", 1),
            [("X", FLOAT, [3, 8])],
            None,
            "adopt-reshaped",
        ),
        (IMAGE.replace("FP32 dims", "FP32 allow_ragged_batch: true dims", 1), [("X", FLOAT, [3, 8])], None, "adopt-ragged"),
        (IMAGE + " batch_input [ { kind: BATCH_ELEMENT_COUNT } ]", [("X", FLOAT, [3, 8])], None, "adopt-ragged"),
        (IMAGE, [("Z", FLOAT, [3, 8])], None, "adopt-no-tensor"),
        (IMAGE.replace("TYPE_FP32", "TYPE_STRING"), [("X", STRING, [3, 8])], None, "adopt-invalid"),
        ("max_batch_size: 5000 " + IMAGE, [("X", FLOAT, ["n", 3, 8])], None, "adopt-batch"),
        (IMAGE, [("X", FLOAT, [3, 8])], {"source": "a.pt", "max_batch_size": 2}, "adopt-spec-batch"),
        (IMAGE, [("X", FLOAT, [3, 8])], {"source": "a.pt", "inputs": {"A": {"shape": [3]}}}, "adopt-spec-inputs"),
    ],
)
def test_what_cannot_be_compared_has_a_reason(config: str, inputs: list[Value], given: dict[str, Any] | None, code: str) -> None:
    with pytest.raises(UsageError) as raised:
        described(config, inputs, given=given)
    assert raised.value.code == code


def test_outputs_that_the_configuration_leaves_out_are_named() -> None:
    inputs: list[Value] = [("X", FLOAT, [3, 8])]
    with pytest.raises(UsageError, match="leaves out outputs of the file: Z"):
        described(IMAGE, inputs, [("Y", FLOAT, [3, 8]), ("Z", FLOAT, [3, 8])])


def test_the_proposed_spec_names_the_axis_and_can_be_loaded() -> None:
    from ruamel.yaml import YAML

    with pytest.raises(UsageError) as raised:
        described(OPEN, [("X", FLOAT, [3, "w"])])
    step = raised.value.next_step
    assert step is not None
    text = step.partition("with --spec: ")[2]
    plain = YAML(typ="safe").load(text.replace("min: .., max: ..", "min: 1, max: 4"))
    given = schema.Spec.model_validate(plain).models["net"]
    assert given.source == "models/net/1/model.onnx"
    model = described(OPEN, [("X", FLOAT, [3, "w"])], given=plain["models"]["net"])
    assert model.inputs["X"].shape == [3, "w"]


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ("", {"max_batch_size", "input", "output", "dynamic_batching"}),
        ("max_batch_size: 4 dynamic_batching { }", {"input", "output"}),
        ('max_batch_size: 4 dynamic_batching { } input [ { name: "X" dims: [ 3 ] } ]', {"input", "output"}),
        (
            'max_batch_size: 4 dynamic_batching { } input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ] '
            'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ]',
            set(),
        ),
    ],
)
def test_the_completed_fields_are_those_that_the_text_lacks(written: str, fields: set[str]) -> None:
    served = model_config.parse(
        'max_batch_size: 4 dynamic_batching { preferred_batch_size: 4 } input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ] '
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ]',
        where="served",
    )
    assert set(adopted_model.completed(model_config.parse(written, where="written"), served)) == fields
