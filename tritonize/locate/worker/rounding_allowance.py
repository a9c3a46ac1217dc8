"""The rounding allowance: how large a node's own error may be from rounding alone; inside a worker.

The allowance of a node is FACTOR · u · (1 + sqrt(n)): u is the unit roundoff of the least precise type that it computes in, n the
number of terms that one element of its output sums. Rounding errors of a sum behave like a random walk, hence the square root;
FACTOR covers terms that are larger than the sum. The allowances of the nodes of a unit are added.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from onnx import NodeProto, TensorProto

from tritonize.locate.worker.subgraphs import Graph

FACTOR = 8.0
UNKNOWN_TERMS = 1024
"""n of a summing node with unknown shapes."""
_ROUNDOFF: dict[int, float] = {
    TensorProto.FLOAT: 2.0**-24,
    TensorProto.DOUBLE: 2.0**-53,
    TensorProto.FLOAT16: 2.0**-11,
    TensorProto.BFLOAT16: 2.0**-8,
    TensorProto.FLOAT8E4M3FN: 2.0**-4,
    TensorProto.FLOAT8E5M2: 2.0**-3,
}
_QUANTIZED = 2.0**-7
"""Half a step of int8, relative to the largest value."""
_BY_WEIGHT = {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv"}
_PRODUCTS = {"MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "Einsum"}
_RECURRENT = {"LSTM", "GRU", "RNN"}
_WHOLE = (
    *(
        "Attention",
        "AveragePool",
        "CumSum",
        "GlobalAveragePool",
        "GlobalLpPool",
        "GridSample",
        "GroupNorm",
        "Hardmax",
        "If",
        "Instance",
    ),
    *("LRN", "LayerNorm", "LogSoftmax", "Loop", "Lp", "MeanVariance", "RMSNorm", "Reduce", "Resize", "Scan", "Scatter", "Softmax"),
)
"""Prefixes of operators that may sum over their whole first input."""
REDUCED: set[int] = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2}


def allowance(graph: Graph, nodes: Sequence[int], output: str, *, emulated: bool) -> float:
    """The relative error of `output` that rounding in these nodes explains; 0 if only integers are involved."""
    unit = roundoff(graph, nodes, output, emulated=emulated)
    return sum(FACTOR * unit * (1 + math.sqrt(_terms(graph, graph.nodes[index]))) for index in nodes)


def roundoff(graph: Graph, nodes: Sequence[int], output: str, *, emulated: bool) -> float:
    """The unit roundoff of the least precise type among the inputs, intermediate tensors and outputs of nodes."""
    quantized = any(_quantizes(graph.nodes[index]) for index in nodes)
    return max(
        [_ROUNDOFF.get(kind, 0.0) for kind in _computed_in(graph, nodes, output, emulated=emulated)] + [_QUANTIZED] * quantized,
        default=0.0,
    )


def is_reduced(graph: Graph, nodes: Sequence[int], output: str, *, emulated: bool) -> bool:
    """Whether that type is below fp32."""
    return any(_quantizes(graph.nodes[index]) for index in nodes) or bool(
        _computed_in(graph, nodes, output, emulated=emulated) & REDUCED
    )


def _computed_in(graph: Graph, nodes: Sequence[int], output: str, *, emulated: bool) -> set[int]:
    """The element types that nodes compute in, without types that only casts use.

    A cast to fp16 and back between two fp32 tensors is not a computation in fp16 but a possible cause of an error. In an emulation
    of fp16, such casts represent the computation.
    """
    computing = [graph.nodes[index] for index in nodes if emulated or graph.nodes[index].op_type != "Cast"]
    inside = {name for index in nodes for name in graph.nodes[index].output}
    taken = {name for index in nodes for name in graph.needs[index] if name not in inside}
    return _types(graph, {output, *taken} | {name for node in computing for name in (*node.input, *node.output)})


def _quantizes(node: NodeProto) -> bool:
    return "Quantize" in node.op_type or node.op_type.startswith("QLinear")


def _types(graph: Graph, names: Iterable[str]) -> set[int]:
    """The element types of tensors; an unknown type counts as fp32."""
    weights = graph.weights
    return {weights[name].data_type if name in weights else graph.types.get(name, TensorProto.FLOAT) for name in names if name}


def _terms(graph: Graph, node: NodeProto) -> int:
    """The approximate number of terms that one element of the node's output sums."""
    weights = _shape(graph, node, 1)
    if node.op_type in _BY_WEIGHT:
        return math.prod(weights) // max(1, min(weights[:2])) if weights else UNKNOWN_TERMS
    if node.op_type in _PRODUCTS:
        first = _shape(graph, node, 0)
        return max(first) if first else UNKNOWN_TERMS
    if node.op_type in _RECURRENT:
        sequence, recurrent = _shape(graph, node, 0), _shape(graph, node, 2)
        return max(sequence[:2]) * (weights[-1] + recurrent[-1]) if sequence and weights and recurrent else UNKNOWN_TERMS
    if node.op_type.startswith(_WHOLE) or node.op_type.endswith("Normalization"):
        first = _shape(graph, node, 0)
        return math.prod(first) if first else UNKNOWN_TERMS
    return 1


def _shape(graph: Graph, node: NodeProto, position: int) -> tuple[int, ...]:
    if len(node.input) <= position:
        return ()
    name = node.input[position]
    return tuple(graph.weights[name].dims) if name in graph.weights else graph.shapes.get(name, ())
