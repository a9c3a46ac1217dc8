"""Rules about inputs and outputs as the configuration describes them, whatever the model file says.

Source: core, `ValidateIOShape`, `ValidateModelInput` and `ValidateModelOutput` in `model_config_utils.cc`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any  # Any: a message of protobuf's generated classes, which have no types

from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule
from tritonize.repository.unconfigured import FILES

WILDCARD = -1
_MOST_AXES = 64
COMPLETING_TENSORS = ("tensorrt", "python", "openvino")
"""Backends that complete types and dims of tensors that are named; `model_files` reports these."""
_CORE = "Triton checks this before it loads the model (core, `model_config_utils.cc`)."

NAME_MISSING = Rule(
    id="TR201",
    name="tensor-without-name",
    severity="error",
    triton="refuses",
    what="An input or output has no name.",
    why=_CORE,
    fix="set `name`",
    wrong="input [ { data_type: TYPE_FP32 dims: [ 3 ] } ]",
    right='input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]',
)
NAME_TWICE = Rule(
    id="TR202",
    name="tensor-name-twice",
    severity="error",
    triton="depends",
    what="Two inputs, or two outputs, have the same name.",
    why="Triton's core keeps the first and ignores the second without a word; most backends then find that the number of "
    "inputs differs.",
    fix="rename one, or remove it",
    wrong='input [ { name: "X" … }, { name: "X" … } ]',
    right='input [ { name: "X" … }, { name: "Z" … } ]',
)
TYPE_MISSING = Rule(
    id="TR203",
    name="tensor-without-type",
    severity="error",
    triton="refuses",
    what="An input or output has no data type.",
    why=_CORE,
    fix="set `data_type`",
    wrong='input [ { name: "X" dims: [ 3 ] } ]',
    right='input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]',
)
DIMS_MISSING = Rule(
    id="TR204",
    name="tensor-without-dims",
    severity="error",
    triton="refuses",
    what="An input or output has no dims.",
    why=_CORE + " A tensor that has no axes besides the batch is `dims: [ 1 ]` with `reshape { shape: [ ] }`.",
    fix="set `dims`, without the batch if max_batch_size is above 0",
    wrong='input [ { name: "X" data_type: TYPE_FP32 } ]',
    right='input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]',
)
DIM = Rule(
    id="TR205",
    name="dim",
    severity="error",
    triton="refuses",
    what="A dim is neither a positive size nor -1.",
    why=_CORE + " -1 is an axis of any size.",
    fix="use -1 for an axis of any size",
    wrong="dims: [ 0, 3 ]",
    right="dims: [ -1, 3 ]",
)
RESHAPE_EMPTY = Rule(
    id="TR206",
    name="empty-reshape-without-batch",
    severity="error",
    triton="refuses",
    what="A reshape is empty although the model takes no batches.",
    why="With max_batch_size 0 the reshaped tensor would have no axes at all, and Triton has no scalars.",
    fix="remove the reshape, or set max_batch_size",
    wrong="max_batch_size: 0\ninput [ { … dims: [ 1 ] reshape { } } ]",
    right="max_batch_size: 0\ninput [ { … dims: [ 1 ] } ]",
)
RESHAPE_DIM = Rule(
    id="TR207",
    name="reshape-dim",
    severity="error",
    triton="refuses",
    what="A size in a reshape is neither positive nor -1.",
    why=_CORE,
    fix="use the size that the model expects",
    wrong="dims: [ 3 ] reshape { shape: [ 3, 0 ] }",
    right="dims: [ 3 ] reshape { shape: [ 3, 1 ] }",
)
RESHAPE_SIZE = Rule(
    id="TR208",
    name="reshape-size",
    severity="error",
    triton="refuses",
    what="A reshape has another number of elements than the dims.",
    why="A reshape moves no data. Between axes of any size, the products of the sizes have to be equal too.",
    fix="make the products of the sizes equal",
    wrong="dims: [ 3 ] reshape { shape: [ 2, 2 ] }",
    right="dims: [ 4 ] reshape { shape: [ 2, 2 ] }",
)
SHAPE_TENSOR = Rule(
    id="TR209",
    name="shape-tensor",
    severity="error",
    triton="refuses",
    what="A shape tensor is declared for a platform that has none.",
    why="Only TensorRT has inputs and outputs that are shapes.",
    fix="remove `is_shape_tensor`",
    wrong='backend: "onnxruntime"\ninput [ { … is_shape_tensor: true } ]',
    right='backend: "onnxruntime"\ninput [ { … } ]',
)
NON_LINEAR = Rule(
    id="TR210",
    name="non-linear-format",
    severity="error",
    triton="refuses",
    what="A non-linear format is declared where it is not possible.",
    why="Only TensorRT has such formats, and only for three dims.",
    fix="remove `is_non_linear_format_io`",
    wrong='backend: "onnxruntime"\ninput [ { … is_non_linear_format_io: true } ]',
    right='backend: "onnxruntime"\ninput [ { … } ]',
)
FORMAT = Rule(
    id="TR211",
    name="format-dims",
    severity="error",
    triton="refuses",
    what="FORMAT_NHWC or FORMAT_NCHW is declared for an input that has not three dims.",
    why=_CORE,
    fix="remove `format`, or write the three dims of an image",
    wrong="format: FORMAT_NCHW dims: [ 3, 224 ]",
    right="format: FORMAT_NCHW dims: [ 3, 224, 224 ]",
)
RAGGED = Rule(
    id="TR212",
    name="ragged-without-batching",
    severity="warning",
    triton="accepts",
    what="A ragged input is declared, but Triton never joins requests of this model.",
    why="`allow_ragged_batch` lets the dynamic batcher join requests of different shapes. Without batching it has no effect.",
    fix="set max_batch_size and dynamic_batching, or remove `allow_ragged_batch`",
    wrong="max_batch_size: 0\ninput [ { … allow_ragged_batch: true } ]",
    right="max_batch_size: 8\ndynamic_batching { }\ninput [ { … allow_ragged_batch: true } ]",
)
RULES = (
    NAME_MISSING,
    NAME_TWICE,
    TYPE_MISSING,
    DIMS_MISSING,
    DIM,
    RESHAPE_EMPTY,
    RESHAPE_DIM,
    RESHAPE_SIZE,
    SHAPE_TENSOR,
    NON_LINEAR,
    FORMAT,
    RAGGED,
)


def check(model: Model) -> Iterator[Diagnostic]:
    """Check all inputs and outputs."""
    for field in ("input", "output"):
        tensors = getattr(model.config, field)
        counted = Counter(each.name for each in tensors)
        last = {each.name: index for index, each in enumerate(tensors)}
        for index, tensor in enumerate(tensors):
            yield from _names(model, field, index=index, count=counted[tensor.name] if last[tensor.name] == index else 1)
            yield from _dims(model, field, index)
            if tensor.HasField("reshape"):
                yield from _reshape(model, field, index)
            yield from _formats(model, field, index)
    yield from _ragged(model)


def label(tensor: Any, field: str) -> str:
    """A tensor in a sentence, such as `input 'X'`."""
    return f"{field} {tensor.name!r}" if tensor.name else f"an {field}"


def _names(model: Model, field: str, *, index: int, count: int) -> Iterator[Diagnostic]:
    tensor = getattr(model.config, field)[index]
    if not tensor.name:
        yield model.at(NAME_MISSING, field, index, found=f"{field} number {index + 1} has no name")
    elif count > 1:
        counted_on = model.completed.backend == "onnxruntime" and field == "input"
        found = f"{count} {field}s are called {tensor.name!r}"
        yield model.at(NAME_TWICE, field, index, "name", found=found, triton="refuses" if counted_on else "accepts")
    if not tensor.data_type and model.completed.backend not in COMPLETING_TENSORS:
        yield model.at(TYPE_MISSING, field, index, found=f"{label(tensor, field)} has no data type")


def _dims(model: Model, field: str, index: int) -> Iterator[Diagnostic]:
    tensor = getattr(model.config, field)[index]
    if not tensor.dims and model.completed.backend not in COMPLETING_TENSORS:
        yield model.at(DIMS_MISSING, field, index, found=f"{label(tensor, field)} has no dims", expected="one at least")
    for axis, size in enumerate(tensor.dims):
        if size < 1 and size != WILDCARD:
            found = f"{label(tensor, field)}, dim {axis}: {size}"
            yield model.at(DIM, field, index, "dims", axis, found=found, expected="1 or more, or -1")


def _reshape(model: Model, field: str, index: int) -> Iterator[Diagnostic]:
    tensor = getattr(model.config, field)[index]
    place = (field, index, "reshape")
    sizes = list(tensor.reshape.shape)
    if max(len(sizes), len(tensor.dims)) > _MOST_AXES:
        return  # no backend has so many, and the products would become huge
    if not sizes and not model.config.max_batch_size:
        yield model.at(RESHAPE_EMPTY, *place, found=f"{label(tensor, field)}: an empty reshape and max_batch_size 0")
    invalid = [axis for axis, size in enumerate(sizes) if size < 1 and size != WILDCARD]
    for axis in invalid:
        yield model.at(
            RESHAPE_DIM, *place, "shape", axis, found=f"{label(tensor, field)}: {sizes[axis]}", expected="1 or more, or -1"
        )
    if not invalid and tensor.dims and _parts(tensor.dims) != _parts(sizes):
        found = f"{label(tensor, field)}: dims {list(tensor.dims)} reshaped to {sizes}"
        yield model.at(RESHAPE_SIZE, *place, found=found, expected=_elements(tensor.dims))


def _parts(sizes: Sequence[int]) -> list[int]:
    """The products of the sizes between axes of any size."""
    parts = [1]
    for size in sizes:
        if size == WILDCARD:
            parts.append(1)
        else:
            parts[-1] *= size
    return parts


def _elements(dims: Sequence[int]) -> str:
    if WILDCARD in dims:
        return f"the products {_parts(dims)} between the axes of any size"
    return f"{math.prod(dims)} elements"


def _formats(model: Model, field: str, index: int) -> Iterator[Diagnostic]:
    tensor = getattr(model.config, field)[index]
    plan = model.completed.platform == "tensorrt_plan"
    if tensor.is_shape_tensor and not plan:
        yield model.at(SHAPE_TENSOR, field, index, "is_shape_tensor", found=f"{label(tensor, field)} of {model.completed.backend}")
    if tensor.is_non_linear_format_io and (not plan or len(tensor.dims) != 3):
        found = f"{len(tensor.dims)} dims" if plan else f"the backend {model.completed.backend}"
        yield model.at(NON_LINEAR, field, index, "is_non_linear_format_io", found=f"{label(tensor, field)}: {found}")
    if field == "input" and tensor.format and len(tensor.dims) != 3:
        yield model.at(FORMAT, field, index, "format", found=f"{label(tensor, field)}: {len(tensor.dims)} dims", expected="3 dims")


def _ragged(model: Model) -> Iterator[Diagnostic]:
    config = model.config
    if model.completed.backend not in FILES:
        return  # a backend of its own may join requests itself
    joined = config.max_batch_size > 0 and (config.HasField("dynamic_batching") or config.HasField("sequence_batching"))
    for index, tensor in enumerate(config.input):
        if tensor.allow_ragged_batch and not joined:
            found = f"max_batch_size {config.max_batch_size}" if config.max_batch_size < 1 else "no dynamic_batching"
            yield model.at(RAGGED, "input", index, "allow_ragged_batch", found=f"{label(tensor, 'input')}: {found}")
