"""Rules about the control inputs and states of sequence batching, compared with an ONNX file.

Source: onnxruntime_backend, `ValidateBooleanSequenceControl`, `ValidateTypedSequenceControl` and `ValidateOutputs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any  # Any: a message of protobuf's generated classes, which have no types

from tritonize.core.onnx_graph import Graph, GraphValue
from tritonize.lint.files import listed
from tritonize.lint.model import Model
from tritonize.lint.onnx_tensors import triton_type
from tritonize.lint.rule import Diagnostic, Rule

CONTROL = Rule(
    id="TR613",
    name="onnx-control",
    severity="error",
    triton="refuses",
    what="A control input of sequence batching does not fit the model.",
    why="Triton writes one element per request into a control input, so the model has to have an input of that name with dims [1], "
    "behind the batch, and of the control's type: that of `fp32_false_true` and its like, or `data_type`.",
    fix="use the name and type of an input of the model with one element",
    wrong='control_input [ { name: "START" control [ { … int32_false_true: [ 0, 1 ] } ] } ]   # the model has float32',
    right='control_input [ { name: "START" control [ { … fp32_false_true: [ 0, 1 ] } ] } ]',
)
STATE = Rule(
    id="TR614",
    name="onnx-state",
    severity="error",
    triton="refuses",
    what="A state of sequence batching does not fit the model.",
    why="Triton feeds the output `output_name` of one request into the input `input_name` of the next, so the model has to "
    "have both, with "
    "the state's type.",
    fix="use the names and the type of the model's input and output",
    wrong='state [ { input_name: "STATE" output_name: "NEW" … } ]   # the model has NEXT',
    right='state [ { input_name: "STATE" output_name: "NEXT" … } ]',
)
RULES = (CONTROL, STATE)
_SEQUENCE = "sequence_batching"
_SWITCHES = {"fp32_false_true": "TYPE_FP32", "int32_false_true": "TYPE_INT32", "bool_false_true": "TYPE_BOOL"}


def check(model: Model, graph: Graph) -> Iterator[Diagnostic]:
    """Compare sequence batching with a graph."""
    batching = model.config.sequence_batching
    inputs = {each.name: each for each in graph.inputs}
    for index, each in enumerate(batching.control_input):
        if each.name and each.control:
            place = (_SEQUENCE, "control_input", index)
            if problem := _unfit(model, each.control[0], inputs.get(each.name)):
                expected = None if each.name in inputs else listed(inputs)
                yield model.at(CONTROL, *place, "name", found=f"control {each.name!r}: {problem}", expected=expected)
    outputs = {each.name: each for each in graph.outputs}
    for index, state in enumerate(batching.state):
        for field, name, values in (("input_name", state.input_name, inputs), ("output_name", state.output_name, outputs)):
            place = (_SEQUENCE, "state", index)
            wanted = _name(state, state.data_type)
            if name not in values:
                yield model.at(STATE, *place, field, found=f"{field} {name!r}", expected=listed(values))
            elif (modelled := triton_type(values[name])) != wanted:
                yield model.at(STATE, *place, "data_type", found=f"{name!r}: {wanted}", expected=modelled)


def _unfit(model: Model, control: Any, value: GraphValue | None) -> str | None:
    """Why a control does not fit an input of the model; `None` if it does."""
    if value is None:
        return "the model has no such input"
    dims = list(value.dims or ())
    if dims[1 if model.config.max_batch_size > 0 else 0 :] != [1] or len(dims) != (2 if model.config.max_batch_size > 0 else 1):
        return f"the model has {dims}, and dims [1] are needed"
    switch = next((wanted for name, wanted in _SWITCHES.items() if getattr(control, name)), None)
    wanted = switch or _name(control, control.data_type)
    modelled = triton_type(value)
    return None if modelled == wanted else f"{wanted}, and the model has {modelled}"


def _name(message: Any, number: int) -> str:
    """The name of a data type."""
    types = message.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    return str(types[number].name) if number in types else str(number)
