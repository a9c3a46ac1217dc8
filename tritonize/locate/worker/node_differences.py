"""Differences of a node between two graphs: operator, attributes, inputs, weights; inside a worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import onnx.helper
import onnx.numpy_helper
from onnx import NodeProto, TensorProto

from tritonize.locate.worker.subgraphs import Graph
from tritonize.onnx_model.worker import writer

_TEXT_LENGTH = 60
"""Characters of a value."""


class Suspect(NamedTuple):
    """A node by its index, and its difference from its counterpart; `None` if no node of the unit differs."""

    node: int
    difference: str | None


def suspect(graph: Graph, other: Graph, nodes: Sequence[int], *, last: int) -> Suspect:
    """The first node of a unit that differs from its counterpart, and the difference; without one, the node `last`."""
    for index in nodes:
        node = graph.nodes[index]
        twin = counterpart(graph, other, node)
        if twin is None:
            if len(nodes) > 1:
                return Suspect(index, f"{node.op_type} is not in the expected graph")
            continue
        found = "; ".join(_differences(graph, other, node, twin=twin))
        if found:
            return Suspect(index, found)
    return Suspect(last, None)


def counterpart(graph: Graph, other: Graph, node: NodeProto) -> NodeProto | None:
    """The node of another graph that produces the same tensor, or has the same name and operator."""
    for name in node.output:
        if name in other.producer:
            return other.nodes[other.producer[name]]
    named = other.by_name(node.name) if graph.by_name(node.name) is not None else None
    return other.nodes[named] if named is not None and other.nodes[named].op_type == node.op_type else None


def _differences(graph: Graph, other: Graph, node: NodeProto, *, twin: NodeProto) -> Iterator[str]:
    if node.op_type != twin.op_type:
        yield f"operator {node.op_type} instead of {twin.op_type}"
        return
    found, expected = ({each.name: each for each in side.attribute} for side in (node, twin))
    for name in sorted(found.keys() | expected.keys()):
        one, two = found.get(name), expected.get(name)
        if one is None or two is None or one.SerializeToString(deterministic=True) != two.SerializeToString(deterministic=True):
            yield f"attribute {name}: {_text(one)} instead of {_text(two)}"
    if list(node.input) != list(twin.input):
        yield f"inputs {', '.join(node.input)} instead of {', '.join(twin.input)}"
    for name, its_own in zip(node.input, twin.input, strict=False):
        if name in graph.weights and its_own in other.weights:
            yield from _weight_difference(graph.weights[name], other.weights[its_own])


def _text(attribute: onnx.AttributeProto | None) -> str:
    if attribute is None:
        return "none"
    if attribute.type == onnx.AttributeProto.TENSOR:
        if writer.is_external(attribute.t):
            return "a tensor"
        text = str(onnx.numpy_helper.to_array(attribute.t).reshape(-1)[:8].tolist())
    elif attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        text = "a subgraph"
    else:
        value = onnx.helper.get_attribute_value(attribute)
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= _TEXT_LENGTH else f"{text[: _TEXT_LENGTH - 1]}…"


def _weight_difference(found: TensorProto, expected: TensorProto) -> Iterator[str]:
    if writer.is_external(found) or writer.is_external(expected):
        return
    one, two = onnx.numpy_helper.to_array(found), onnx.numpy_helper.to_array(expected)
    if one.shape != two.shape or one.dtype != two.dtype:
        yield f"weight {found.name}: {one.dtype} {list(one.shape)} instead of {two.dtype} {list(two.shape)}"
    elif one.tobytes() != two.tobytes() and one.dtype.kind in "biuf":
        differing = int(np.count_nonzero(one != two))
        largest = float(np.max(np.abs(one.astype(np.float64) - two.astype(np.float64))))
        yield f"weight {found.name}: {differing} of {one.size} elements differ, by up to {largest:.3g}"
