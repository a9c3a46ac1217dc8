"""The inputs and outputs of an ONNX graph: their names, unused ones, and weights that are inputs too; in a worker.

An exporter is given names that occur nowhere else (`exported_as`), since it does not look whether a wanted name is taken by a
value inside the graph: dynamo names values after functions (`embedding`, `relu`), and two values of one name make a graph with
a cycle. The wanted names are given afterwards, and a value inside that has one of them gets another.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnx

from tritonize.core import dtypes
from tritonize.core.artifacts import TensorSpec

SEPARATE_WEIGHTS = 4
"""The IR version from which on an initializer need not be an input as well (ONNX, docs/IR.md)."""


def exported_as(kind: str, tensors: Sequence[TensorSpec]) -> list[str]:
    """Names for an exporter, one per input or output.

    Args:
        kind: `input` or `output`.
        tensors: the inputs or outputs in order.
    """
    return [f"tritonize_{kind}_{position}" for position in range(len(tensors))]


def name(model: onnx.ModelProto, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Give an exported graph the wanted names, and inputs that the exporter dropped since the model does not use them.

    Args:
        model: its inputs have the names of `exported_as`; one that is called otherwise keeps its name.
        inputs: as they are to be called, in order.
        outputs: likewise; where the graph has another number of them, they keep their names.
    """
    graph = model.graph
    wanted = dict(zip(exported_as("input", inputs), inputs, strict=True))
    present = {value.name for value in graph.input}
    graph.input.extend(_declared(missing, wanted[missing]) for missing in wanted if missing not in present)
    _separate_outputs(graph)
    new = {old: spec.name for old, spec in wanted.items()}
    if len(graph.output) == len(outputs):
        new |= {value.name: spec.name for value, spec in zip(graph.output, outputs, strict=True)}
    rename(graph, new)
    order(graph, [tensor.name for tensor in inputs])


def rename(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    """Rename values in a graph and all that is inside it; other values that have one of the new names get a free one."""
    taken = set(_names(graph))
    for clashing in sorted((taken & set(new.values())) - set(new)):
        new = {**new, clashing: _free(clashing, taken)}
    _apply(graph, new)


def unlist_weights(model: onnx.ModelProto, kept: Iterable[str]) -> tuple[str, ...]:
    """Take initializers off the graph's inputs, so that they are constants.

    Files of IR version 3, and of exporters with `keep_initializers_as_inputs`, list them there. Triton's native backend takes them
    for optional inputs, and a client cannot send those that the configuration leaves out.

    Args:
        model: it is changed.
        kept: names of those that stay inputs, with their values as defaults.

    Returns:
        The names of those that were taken off.
    """
    weights = {tensor.name for tensor in model.graph.initializer} | {each.values.name for each in model.graph.sparse_initializer}
    off = [value.name for value in model.graph.input if value.name in weights - set(kept)]
    left = [value for value in model.graph.input if value.name not in set(off)]
    if off:
        del model.graph.input[:]
        model.graph.input.extend(left)
        model.ir_version = max(model.ir_version, SEPARATE_WEIGHTS)
    return tuple(off)


def weights_of(graph: onnx.GraphProto) -> list[str]:
    """The inputs of a graph that have a value in the file: a client may leave them out."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value.name for value in graph.input if value.name in weights]


def _declared(name: str, spec: TensorSpec) -> onnx.ValueInfoProto:
    shape = [size if isinstance(size, int) else str(size) for size in spec.shape]
    return onnx.helper.make_tensor_value_info(name, dtypes.by_name(spec.dtype).onnx, shape)


def _separate_outputs(graph: onnx.GraphProto) -> None:
    """An output that is an input, a weight or an earlier output too gets a value of its own: two names need two values."""
    shared = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    taken = set(_names(graph))
    for value in graph.output:
        if value.name in shared:
            free = _free(value.name, taken)
            graph.node.append(onnx.helper.make_node("Identity", [value.name], [free], name=free))
            value.name = free
        shared.add(value.name)


def _free(name: str, taken: set[str]) -> str:
    """A name like another that nothing has; it is taken then."""
    free = next(each for number in itertools.count(1) if (each := f"{name}_inner_{number}") not in taken)
    taken.add(free)
    return free


def order(graph: onnx.GraphProto, wanted: Sequence[str]) -> None:
    """Put the inputs in the wanted order, others behind them."""
    place = {name: position for position, name in enumerate(wanted)}
    copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in graph.input]
    del graph.input[:]
    graph.input.extend(sorted(copies, key=lambda value: place.get(value.name, len(place))))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph, and all that are inside it."""
    pending = [graph]
    while pending:
        each = pending.pop()
        yield each
        for attribute in (attribute for node in each.node for attribute in node.attribute):
            pending += [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    """Every name of a value, some more than once."""
    for each in _graphs(graph):
        yield from (value.name for value in (*each.input, *each.output, *each.value_info))
        yield from (tensor.name for tensor in each.initializer)
        yield from (tensor.values.name for tensor in each.sparse_initializer)
        for node in each.node:
            yield from (name for name in (*node.input, *node.output) if name)


def _apply(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    for each in _graphs(graph):
        values: Iterable[Any] = (*each.input, *each.output, *each.value_info, *each.initializer)
        for value in values:
            value.name = new.get(value.name, value.name)
        for tensor in each.sparse_initializer:
            tensor.values.name = new.get(tensor.values.name, tensor.values.name)
        for annotation in each.quantization_annotation:
            annotation.tensor_name = new.get(annotation.tensor_name, annotation.tensor_name)
            for entry in annotation.quant_parameter_tensor_names:
                entry.value = new.get(entry.value, entry.value)
        for node in each.node:
            node.input[:] = [new.get(name, name) for name in node.input]
            node.output[:] = [new.get(name, name) for name in node.output]
