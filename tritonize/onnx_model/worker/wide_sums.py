"""An ONNX file whose long sums are done in float64, beside what each of them answers in float32; built inside a worker.

A normalization or a mean over a large volume adds up millions of terms. Done in float64 the file answers what it means; the same
node in float32, on the same values, says how much of an error is ONNX Runtime's own sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

REDUCTIONS = frozenset(("ReduceMean", "ReduceSum", "ReduceSumSquare"))
OPERATORS = frozenset(("InstanceNormalization", "GroupNormalization", "LayerNormalization", "GlobalAveragePool", *REDUCTIONS))
"""Operators that add up an axis or more, and that ONNX Runtime's CPU provider computes in float64 from these or simpler ones."""
_AXES_ARE_INPUTS = 18
_PER_CHANNEL = 21
"""The opset from which GroupNormalization has a scale for each channel; before, one for each group."""
Shape = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class Sum:
    """One node that was widened, and the outputs of the widened file that tell of it."""

    node: str
    operator: str
    error: str
    """max |in float32 - in float64|, on the same values."""
    base: str
    """What rounding errors of its sums are relative to: the largest term, as far as it comes through to the answer."""
    taken: str
    """Number of elements that all its sums add up."""
    sums: str
    """Number of its sums."""


@dataclass(kw_only=True)
class _Writer:
    """Nodes and constants of one widened node, in the order in which they compute."""

    prefix: str
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; its name."""
        name = f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: object) -> str:
        """An initializer; its name."""
        name = f"{self.prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def wide(self, name: str) -> str:
        """The value in float64."""
        return self.add("Cast", name, to=TensorProto.DOUBLE)

    def mean(self, name: str, axes: Sequence[int]) -> str:
        """The mean over axes, which are kept with size 1."""
        if self.opset < _AXES_ARE_INPUTS:
            return self.add("ReduceMean", name, axes=list(axes), keepdims=1)
        return self.add("ReduceMean", name, self.constant(np.array(axes, np.int64)), keepdims=1)

    def largest(self, name: str) -> str:
        """The largest magnitude, a number without axes."""
        return self.add("ReduceMax", self.add("Abs", name), keepdims=0)


@dataclass(frozen=True, kw_only=True)
class _WideNode:
    """What a node answers in float64, by names."""

    value: str
    base: str
    sums: str
    """A value with one element per sum."""


def widen(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> tuple[Sum, ...]:
    """Do the long sums of a model in float64, in place; what each of them answers in float32 becomes outputs of it.

    Args:
        shapes: of the float32 values, as far as they are known; nodes that take others are left alone.
    """
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    nodes: list[onnx.NodeProto] = []
    found: list[Sum] = []
    for position, node in enumerate(model.graph.node):
        writer = _Writer(prefix=f"__sum{position}_", opset=opset)
        answer = _widened(writer, node, shapes) if node.op_type in OPERATORS and node.domain in ("", "ai.onnx") else None
        if answer is None:
            nodes.append(node)
            continue
        found.append(_replaced(writer, node, answer))
        nodes += writer.nodes
        model.graph.initializer.extend(writer.constants)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for each in found:
        for name, kind in ((each.error, TensorProto.DOUBLE), (each.base, TensorProto.DOUBLE)):
            model.graph.output.append(helper.make_tensor_value_info(name, kind, []))
        for name in (each.taken, each.sums):
            model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.INT64, []))
    return tuple(found)


def _replaced(writer: _Writer, node: onnx.NodeProto, answer: _WideNode) -> Sum:
    """The node as it was, under another name, beside the wide one, which takes its place."""
    own = f"{writer.prefix}own"
    beside = onnx.NodeProto()
    beside.CopyFrom(node)
    beside.name, beside.output[0] = own, own
    writer.nodes.append(beside)
    writer.nodes.append(helper.make_node("Cast", [answer.value], [node.output[0]], to=TensorProto.FLOAT))
    far = writer.add("Sub", writer.wide(own), answer.value)
    return Sum(
        node=node.name or node.output[0],
        operator=node.op_type,
        error=writer.largest(far),
        base=answer.base,
        taken=writer.add("Size", node.input[0]),
        sums=writer.add("Size", answer.sums),
    )


def _widened(writer: _Writer, node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> _WideNode | None:
    """`None` where the node is not widened: its sizes are not known, or it answers more than its value."""
    shape = shapes.get(node.input[0])
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if shape is None or len([name for name in node.output if name]) > 1:
        return None
    axes, rank = range(2, len(shape)), len(shape)
    if node.op_type in REDUCTIONS:
        return _reduced(writer, node)
    if node.op_type == "GlobalAveragePool":
        value = writer.wide(node.input[0])
        mean = writer.mean(value, axes)
        return _WideNode(value=mean, base=writer.largest(writer.mean(writer.add("Abs", value), axes)), sums=mean)
    epsilon = float(given.get("epsilon", 1e-5))
    if node.op_type == "LayerNormalization":
        first = int(given.get("axis", -1)) % rank
        return _normalized(writer, node, writer.wide(node.input[0]), axes=range(first, rank), epsilon=epsilon, scale=None)
    channels = writer.constant(np.array([-1, *[1] * (rank - 2)], np.int64))
    if node.op_type == "InstanceNormalization":
        return _normalized(writer, node, writer.wide(node.input[0]), axes=axes, epsilon=epsilon, scale=channels)
    if writer.opset < _PER_CHANNEL:
        return None
    groups = writer.constant(np.array([0, int(given["num_groups"]), -1], np.int64))
    grouped = writer.add("Reshape", writer.wide(node.input[0]), groups)
    back = writer.add("Shape", node.input[0])
    return _normalized(writer, node, grouped, axes=(2,), epsilon=epsilon, scale=channels, back=back)


def _reduced(writer: _Writer, node: onnx.NodeProto) -> _WideNode:
    def same(value: str) -> str:
        name = writer.add("Identity", value)
        again = onnx.NodeProto()
        again.CopyFrom(node)
        again.name, again.input[0], again.output[0] = "", name, f"{writer.prefix}{len(writer.nodes)}"
        writer.nodes.append(again)
        return again.output[0]

    value = writer.wide(node.input[0])
    answer = same(value)
    return _WideNode(value=answer, base=writer.largest(same(writer.add("Abs", value))), sums=answer)


def _normalized(
    writer: _Writer,
    node: onnx.NodeProto,
    value: str,
    *,
    axes: Sequence[int],
    epsilon: float,
    scale: str | None,
    back: str | None = None,
) -> _WideNode:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias.

    Args:
        scale: the shape that scale and bias are given; `None` for their own.
        back: the shape that the normalized value is given; `None` for its own.
    """
    mean = writer.mean(value, axes)
    centred = writer.add("Sub", value, mean)
    variance = writer.mean(writer.add("Mul", centred, centred), axes)
    deviation = writer.add("Sqrt", writer.add("Add", variance, writer.constant(np.float64(epsilon))))
    answer = writer.add("Div", centred, deviation)
    answer = writer.add("Reshape", answer, back) if back else answer
    base = writer.largest(writer.add("Div", value, deviation))
    for operator, place in (("Mul", 1), ("Add", 2)):
        if len(node.input) > place and node.input[place]:
            weight = writer.wide(node.input[place])
            answer = writer.add(operator, answer, writer.add("Reshape", weight, scale) if scale else weight)
            base = writer.add(operator, base, writer.largest(weight))
    return _WideNode(value=answer, base=base, sums=mean)


def bound(terms: int, base: float, *, alike: bool) -> float:
    """How far rounding may explain that a sum of so many terms is off, in the answer's unit.

    8 · u · (1 + sqrt(n)) of the largest term, as in `workers.rounding`: over 64³ to 128³ elements ONNX Runtime's normalizations
    were within a twentieth of it. Of equal terms all rounding errors have one sign: u · n / 4, since kernels add in four lanes at
    least.

    Args:
        alike: whether the terms may be all the same, as in an edge case.
    """
    walk = 8.0 * (1 + math.sqrt(terms))
    return 2.0**-24 * (max(walk, terms / 4) if alike else walk) * base
