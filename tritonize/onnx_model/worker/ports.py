"""Set the names and order of a graph's inputs and outputs, and take weights off the inputs. Runs in a worker process.

The exporter gets placeholder names (`exported_as`), since it does not check whether an input or output name is also the name of a
value inside the graph: dynamo names values after functions (`embedding`, `relu`), and two values with the same name make the graph
cyclic. `name` sets the final names after the export and renames inner values that clash with them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnx

from tritonize.core import dtypes
from tritonize.core.artifacts import TensorSpec

SEPARATE_WEIGHTS = 4
"""The first IR version in which an initializer need not be an input too (ONNX, docs/IR.md)."""


def exported_as(kind: str, tensors: Sequence[TensorSpec]) -> list[str]:
    """Return placeholder names for the exporter, one per input or output.

    Args:
        kind: `input` or `output`.
        tensors: the inputs or outputs in order.
    """
    return [f"tritonize_{kind}_{position}" for position in range(len(tensors))]


def name(model: onnx.ModelProto, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Rename an exported graph's inputs and outputs, and add the inputs that the exporter dropped because the model ignores them.

    Args:
        model: the exported model; inputs without a name of `exported_as` keep their name.
        inputs: the final inputs in order.
        outputs: the final outputs in order; if their number differs from the graph's, the outputs keep their names.
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
    """Rename values in a graph and its subgraphs; other values that have one of the new names get an unused name."""
    taken = set(_names(graph))
    for clashing in sorted((taken & set(new.values())) - set(new)):
        new = {**new, clashing: _free(clashing, taken)}
    _apply(graph, new)


def unlist_weights(model: onnx.ModelProto, kept: Iterable[str]) -> tuple[str, ...]:
    """Take initializers off the graph's inputs, so that they become constants.

    Files of IR version 3 list initializers as inputs, and so do exporters with `keep_initializers_as_inputs`. Triton's native
    backend treats them as optional inputs, and a client cannot send inputs that the configuration does not declare.

    Args:
        model: the model, changed in place.
        kept: names of initializers that stay inputs, with their values as defaults.

    Returns:
        The names of the inputs that were taken off.
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
    """Return the inputs that have a default value in the file, which a client may omit."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value.name for value in graph.input if value.name in weights]


def _declared(name: str, spec: TensorSpec) -> onnx.ValueInfoProto:
    shape = [size if isinstance(size, int) else str(size) for size in spec.shape]
    return onnx.helper.make_tensor_value_info(name, dtypes.by_name(spec.dtype).onnx, shape)


def _separate_outputs(graph: onnx.GraphProto) -> None:
    """Add an Identity for each output that is also an input, an initializer or an earlier output, so that it has its own name."""
    shared = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    taken = set(_names(graph))
    for value in graph.output:
        if value.name in shared:
            free = _free(value.name, taken)
            graph.node.append(onnx.helper.make_node("Identity", [value.name], [free], name=free))
            value.name = free
        shared.add(value.name)


def _free(name: str, taken: set[str]) -> str:
    """Return an unused name that starts with `name`, and add it to `taken`."""
    free = next(each for number in itertools.count(1) if (each := f"{name}_inner_{number}") not in taken)
    taken.add(free)
    return free


def order(graph: onnx.GraphProto, wanted: Sequence[str]) -> None:
    """Sort the inputs in the wanted order; inputs that it does not list come last."""
    place = {name: position for position, name in enumerate(wanted)}
    copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in graph.input]
    del graph.input[:]
    graph.input.extend(sorted(copies, key=lambda value: place.get(value.name, len(place))))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all graphs inside it."""
    pending = [graph]
    while pending:
        each = pending.pop()
        yield each
        for attribute in (attribute for node in each.node for attribute in node.attribute):
            pending += [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the name of every value; a name may occur several times."""
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
