"""Compare the inputs that a spec or flags describe with those that the ONNX file itself states, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tritonize.core import dtypes, onnx_graph, onnx_indices, suggestions
from tritonize.core.artifacts import Source
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as wording
from tritonize.core.onnx_graph import Graph, GraphValue
from tritonize.onnx_model import ragged
from tritonize.spec import schema

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_LARGEST = {name: int(np.iinfo(name).max) for name in INTEGERS}


def checked(model: schema.Model, source: Source) -> schema.Model:
    """The model, with what its ONNX file says about its inputs: which are optional, and the range of those that are indices.

    What the spec says itself stays.

    Raises:
        UsageError: an input is not in the file, one of the file's is not described, or its type, shape, `optional` or range
            does not fit.
    """
    if source.kind != "onnx":
        return model
    path = Path(source.location)
    try:
        graph = onnx_graph.read(path)
    except (OSError, ValueError):  # an inspection of the file reports it
        return model
    requests = ragged.of(model)
    made = [each.name for each in requests.made] if requests else []
    _require_names(model, [each for each in graph.inputs if each.name not in made], graph.overridable, where=path.name)
    for value in (*graph.inputs, *graph.overridable):
        if value.name in model.inputs:
            _require_type(model.inputs[value.name], value, path.name)
            if not model.inputs[value.name].ragged:  # its rank differs between a request and the file
                _require_shape(model, value, path.name)
    inputs = _with_optional(model, graph, path.name)
    return model.model_copy(update={"inputs": _with_ranges(inputs, path)})


def _require_names(model: schema.Model, required: Sequence[GraphValue], optional: Sequence[GraphValue], *, where: str) -> None:
    """Require the names of the file: all that are required, and no others than its own."""
    expected = ", ".join(map(_described, required))
    known = [each.name for each in (*required, *optional)]
    if unknown := [name for name in model.inputs if name not in known]:
        raise UsageError.of(
            wording.NO_SUCH_INPUT,
            where=where,
            expected=expected,
            found=", ".join(unknown),
            # An input that is described under its own name is not meant by another one.
            meant=suggestions.meant(unknown[0], [name for name in known if name not in model.inputs]),
            name=unknown[0],
        )
    if missing := [each.name for each in required if each.name not in model.inputs]:
        found = ", ".join(model.inputs)
        raise UsageError.of(wording.INPUT_NOT_DESCRIBED, where=where, expected=expected, found=found, name=missing[0])


def _require_type(given: schema.Input, value: GraphValue, where: str) -> None:
    own = _dtype(value)
    if own is not None and own != given.dtype:
        raise UsageError.of(wording.INPUT_TYPE, where=where, expected=own, found=given.dtype, name=value.name)


def _require_shape(model: schema.Model, value: GraphValue, where: str) -> None:
    """Require the file's rank, and on every axis that the file fixes, its size alone."""
    shape = model.inputs[value.name].shape
    if value.shape is None:
        return
    sizes = zip(value.shape, shape, strict=False)
    if len(value.shape) != len(shape) or any(isinstance(own, int) and not _is(model, size, own) for own, size in sizes):
        expected, found = _listed(value.shape), _listed(shape)
        raise UsageError.of(wording.INPUT_SHAPE, where=where, expected=expected, found=found, name=value.name)


def _is(model: schema.Model, size: int | str, only: int) -> bool:
    """Whether an axis of a spec has this size alone."""
    if isinstance(size, int):
        return size == only
    if model.max_batch_size and size == model.batch_axis:
        return model.max_batch_size == only
    axis = model.axes.get(size)
    return axis is None or axis.min == axis.max == only


def _with_optional(model: schema.Model, graph: Graph, where: str) -> dict[str, schema.Input]:
    overridable = {each.name for each in graph.overridable}
    inputs = dict(model.inputs)
    for name, tensor in model.inputs.items():
        if tensor.optional and name not in overridable:
            expected = f"a value for it in the file, as for {', '.join(sorted(overridable)) or 'none'}"
            raise UsageError.of(wording.NOT_OPTIONAL, where=where, expected=expected, name=name)
        if tensor.optional is None and name in overridable:
            inputs[name] = tensor.model_copy(update={"optional": True})
    return inputs


def _with_ranges(inputs: Mapping[str, schema.Input], path: Path) -> dict[str, schema.Input]:
    """The inputs, where integers that select rows of a weight have the range of all rows, unless they have a range already."""
    integers = [name for name, tensor in inputs.items() if tensor.dtype in INTEGERS and tensor.distribution in (None, "token_ids")]
    try:
        rows = onnx_indices.rows(path) if integers else {}
    except (OSError, ValueError):  # too large to search, or invalid, which its inspection reports
        return dict(inputs)
    found = dict(inputs)
    for name in integers:
        count, tensor = rows.get(name, 0), inputs[name]
        if not count:
            continue
        if tensor.range is None:
            found[name] = tensor.model_copy(update={"range": (0, min(count - 1, _LARGEST[tensor.dtype]))})
        elif tensor.range[0] < -count or tensor.range[1] >= count:
            low, high = tensor.range
            raise UsageError.of(
                wording.INDEX_RANGE,
                where=path.name,
                expected=f"[0, {count - 1}]",
                found=f"[{low:g}, {high:g}]",
                name=name,
                rows=f"{count:,}",
            )
    return found


def _dtype(value: GraphValue) -> str | None:
    """The name of its element type in a spec; `None` if a spec has none."""
    try:
        return dtypes.by_onnx(value.element_type).name if value.element_type else None
    except KeyError:
        return None


def _described(value: GraphValue) -> str:
    shape = "" if value.shape is None else f" {_listed(value.shape)}"
    return f"{value.name} ({_dtype(value) or 'a type that Triton lacks'}{shape})"


def _listed(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(str(size) or '?' for size in shape)}]"
