"""Rules about an ONNX file's inputs and outputs, compared with the configuration.

Source: onnxruntime_backend, `ValidateInputs`, `ValidateOutputs` and `CompareDimsSupported`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any  # Any: a message of protobuf's generated classes, which have no types

from tritonize.core import dtypes
from tritonize.core.onnx_graph import Graph, GraphValue
from tritonize.lint.files import listed
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule

_BACKEND = "The ONNX Runtime backend compares the configuration with the model when it loads it."

UNKNOWN_INPUT = Rule(
    id="TR602",
    name="onnx-no-such-input",
    severity="error",
    triton="refuses",
    what="The configuration has an input that the model does not have.",
    why=_BACKEND,
    fix="use the names of the model's inputs",
    wrong='input [ { name: "x" … } ]   # the model has X',
    right='input [ { name: "X" … } ]',
)
MISSING_INPUT = Rule(
    id="TR603",
    name="onnx-input-missing",
    severity="error",
    triton="refuses",
    what="The configuration lacks an input of the model.",
    why=_BACKEND + " Every input of the model has to come from a request, from `batch_input`, or from the sequence batcher.",
    fix="add the input",
    wrong='input [ { name: "A" … } ]   # the model has A and B',
    right='input [ { name: "A" … }, { name: "B" … } ]',
)
UNKNOWN_OUTPUT = Rule(
    id="TR604",
    name="onnx-no-such-output",
    severity="error",
    triton="refuses",
    what="The configuration has an output that the model does not have.",
    why=_BACKEND,
    fix="use the names of the model's outputs",
    wrong='output [ { name: "y" … } ]   # the model has Y',
    right='output [ { name: "Y" … } ]',
)
TYPE = Rule(
    id="TR605",
    name="onnx-type",
    severity="error",
    triton="refuses",
    what="A tensor has another data type in the model.",
    why=_BACKEND,
    fix="use the model's data type",
    wrong="data_type: TYPE_FP16   # the model has float32",
    right="data_type: TYPE_FP32",
)
DIMS = Rule(
    id="TR606",
    name="onnx-dims",
    severity="error",
    triton="refuses",
    what="A tensor has other dims in the model.",
    why=_BACKEND
    + " With max_batch_size above 0 the dims leave out the first axis. An input may fix an axis that is dynamic in the "
    "model; an output has exactly the model's dims, with -1 for a dynamic axis. A reshape is compared in place of the dims.",
    fix="use the model's dims, without the batch if max_batch_size is above 0",
    wrong="max_batch_size: 4\ninput [ { … dims: [ -1, 3 ] } ]   # the model has [-1, 3]",
    right="max_batch_size: 4\ninput [ { … dims: [ 3 ] } ]",
)
BATCH_AXIS = Rule(
    id="TR607",
    name="onnx-batch-axis",
    severity="error",
    triton="refuses",
    what="The model takes no batches although max_batch_size is above 0.",
    why=_BACKEND + " For batching the first axis of every input and output has to be dynamic.",
    fix="set max_batch_size to 0 and write all axes into the dims, or export the model with a dynamic first axis",
    wrong="max_batch_size: 4   # the model has [1, 3]",
    right="max_batch_size: 0",
)
OPTIONAL = Rule(
    id="TR608",
    name="onnx-optional-with-batching",
    severity="error",
    triton="refuses",
    what="An optional input is declared for a model with batching, or for a ragged input.",
    why="The ONNX Runtime backend joins the inputs of several requests, and cannot join what one of them leaves out.",
    fix="remove `optional`, or set max_batch_size to 0",
    wrong="max_batch_size: 4\ninput [ { … optional: true } ]",
    right="max_batch_size: 0\ninput [ { … optional: true } ]",
)
RAGGED = Rule(
    id="TR609",
    name="onnx-ragged-shape",
    severity="error",
    triton="refuses",
    what="A ragged input has more than one axis in the model.",
    why="Triton passes all elements of the joined requests in a row, so the model's input is of shape [-1].",
    fix="remove `allow_ragged_batch`, or change the model",
    wrong="allow_ragged_batch: true   # the model has [-1, 3]",
    right="allow_ragged_batch: true   # the model has [-1]",
)
RULES = (UNKNOWN_INPUT, MISSING_INPUT, UNKNOWN_OUTPUT, TYPE, DIMS, BATCH_AXIS, OPTIONAL, RAGGED)


def triton_type(value: GraphValue) -> str | None:
    """Triton's name of a value's type; `None` if Triton has no such type."""
    try:
        return dtypes.by_onnx(value.element_type or 0).triton
    except KeyError:
        return None


def check(model: Model, graph: Graph) -> Iterator[Diagnostic]:
    """Compare the configuration with a graph."""
    config = model.config
    if config.input or config.batch_input:
        yield from _inputs(model, graph)
    outputs = {each.name: each for each in graph.outputs}
    scattered = {name for each in config.batch_output for name in each.target_name}
    for index, output in enumerate(config.output):
        if output.name not in outputs:
            if output.name:
                yield model.at(UNKNOWN_OUTPUT, "output", index, "name", found=repr(output.name), expected=listed(outputs))
            continue
        yield from _type(model, "output", index=index, value=outputs[output.name])
        if output.name not in scattered:
            yield from _dims(model, "output", index=index, value=outputs[output.name])


def _inputs(model: Model, graph: Graph) -> Iterator[Diagnostic]:
    config = model.config
    required = {each.name: each for each in graph.inputs}
    known = required | {each.name: each for each in graph.overridable}
    for index, each in enumerate(config.input):
        value = known.get(each.name)
        if each.optional and (config.max_batch_size or each.allow_ragged_batch):
            yield model.at(
                OPTIONAL, "input", index, "optional", found=f"input {each.name!r}, max_batch_size {config.max_batch_size}"
            )
        if value is None and each.name:
            yield model.at(UNKNOWN_INPUT, "input", index, "name", found=repr(each.name), expected=listed(known))
        if value is None:
            continue
        yield from _type(model, "input", index=index, value=value)
        if not each.allow_ragged_batch:
            yield from _dims(model, "input", index=index, value=value)
        elif value.dims is not None and (len(value.dims) != 1 or value.dims[0] != -1):
            found = f"input {each.name!r} has {list(value.dims)} in the model"
            yield model.at(RAGGED, "input", index, "allow_ragged_batch", found=found, expected="[-1]")
    provided = _provided(config)
    for name in required:
        if name not in provided:
            yield model.at(MISSING_INPUT, "input", found=f"input {name!r} of the model", expected=listed(required))


def _provided(config: Any) -> set[str]:
    """The inputs that reach the model, whoever provides them."""
    names = {each.name for each in config.input}
    names.update(name for each in config.batch_input for name in each.target_name)
    names.update(each.name for each in config.sequence_batching.control_input)
    names.update(each.input_name for each in config.sequence_batching.state)
    return names


def _type(model: Model, field: str, *, index: int, value: GraphValue) -> Iterator[Diagnostic]:
    tensor = getattr(model.config, field)[index]
    wanted = triton_type(value)
    if wanted and tensor.data_type:
        types = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
        found = types[tensor.data_type].name if tensor.data_type in types else str(tensor.data_type)
        if found != wanted:
            yield model.at(TYPE, field, index, "data_type", found=f"{field} {tensor.name!r}: {found}", expected=wanted)


def _is_plausible(tensor: Any, max_batch_size: int) -> bool:
    """Whether the dims can be compared; `tensors` reports those that are impossible by themselves."""
    sizes = (*tensor.dims, *tensor.reshape.shape)
    empty = tensor.HasField("reshape") and not tensor.reshape.shape and not max_batch_size
    return bool(tensor.dims) and not empty and max_batch_size >= 0 and all(size == -1 or size > 0 for size in sizes)


def _dims(model: Model, field: str, *, index: int, value: GraphValue) -> Iterator[Diagnostic]:
    tensor = getattr(model.config, field)[index]
    name, batched = f"{field} {tensor.name!r}", model.config.max_batch_size > 0
    modelled = list(value.dims or ())  # ONNX Runtime reports no axes for a value without a shape
    dims = list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
    if batched and (not modelled or modelled[0] != -1):
        found = f"{name} has {modelled} in the model" if modelled else f"{name} is a scalar in the model"
        yield model.at(BATCH_AXIS, "max_batch_size", found=found, expected="a dynamic first axis")
    elif not modelled:
        if any(size != 1 for size in dims):
            yield model.at(DIMS, field, index, "dims", found=f"{name}: {dims}", expected="[1], for a scalar in the model")
    elif _is_plausible(tensor, model.config.max_batch_size):
        full = [-1, *dims] if batched else dims
        fits = len(full) == len(modelled) and all(
            size == most or (field == "input" and most == -1) for size, most in zip(full, modelled, strict=True)
        )
        if not fits:
            key = "reshape" if tensor.HasField("reshape") else "dims"
            wanted = f"{modelled[1:]}, behind the batch" if batched else f"{modelled}"
            yield model.at(DIMS, field, index, key, found=f"{name}: {dims}", expected=wanted)
