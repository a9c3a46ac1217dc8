"""Emulate a half-precision graph in float32: round the inputs and outputs of every node to the half type.

ONNX Runtime's CPU provider supports bfloat16 only in Cast, and it computes float16 graphs in float32 and drops the casts between
nodes, so nothing is rounded and nothing overflows there. Here every half tensor is the output of a Cast to the type, and every node
reads it through a Cast back. ONNX Runtime keeps these pairs: it only drops casts that it inserted itself. Inputs and outputs of the
graph are float32.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx
import onnx.helper
from onnx import GraphProto, NodeProto, TensorProto

from tritonize.precision.worker.node_choice import AGNOSTIC, Half


def emulate(graph: GraphProto, tensors: Collection[str], half: Half) -> None:
    """Turn a half-precision graph into its emulation, in place.

    Args:
        tensors: names of its half tensors. They are never in a subgraph, since nodes with subgraphs stay in float32.
    """
    ends = {value.name for value in (*graph.input, *graph.output)} & set(tensors)
    nodes: list[NodeProto] = []
    for value in graph.input:
        if value.name in tensors:
            nodes += [_cast(value.name, _narrow(value.name, ends), half.onnx), *_widen(value.name, ends)]
    for tensor in graph.initializer:
        if tensor.name in tensors:
            nodes += _widen(tensor.name, ends)
    for node in graph.node:
        nodes += _emulated(node, tensors, ends, half=half)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for value in (*graph.input, *graph.output):
        if value.name in tensors:
            value.type.tensor_type.elem_type = TensorProto.FLOAT


def _emulated(node: NodeProto, tensors: Collection[str], ends: set[str], *, half: Half) -> list[NodeProto]:
    agnostic = node.op_type in AGNOSTIC and node.domain in ("", "ai.onnx")
    after: list[NodeProto] = []
    for position, name in enumerate(node.input):
        if name in tensors:
            node.input[position] = _narrow(name, ends) if agnostic else _wide(name)
    for position, name in enumerate(node.output):
        if name not in tensors:
            continue
        if agnostic:
            node.output[position] = _narrow(name, ends)
        else:
            node.output[position] = f"{name}__raw"
            after.append(_cast(f"{name}__raw", _narrow(name, ends), half.onnx))
        after += _widen(name, ends, output=True)
    return [node, *after]


def _narrow(name: str, ends: set[str]) -> str:
    """Return the name of a half tensor in its own type."""
    return f"{name}__narrow" if name in ends else name


def _wide(name: str) -> str:
    """Return the name of a half tensor as float32."""
    return f"{name}__wide"


def _widen(name: str, ends: set[str], *, output: bool = False) -> list[NodeProto]:
    casts = [_cast(_narrow(name, ends), _wide(name), TensorProto.FLOAT)]
    if output and name in ends:
        casts.append(_cast(_narrow(name, ends), name, TensorProto.FLOAT))
    return casts


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return onnx.helper.make_node("Cast", [source], [target], name=f"{target}__rounded", to=kind)
