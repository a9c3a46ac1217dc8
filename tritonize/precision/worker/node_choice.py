"""Choose the nodes of a float32 graph that compute in half precision, with a reason for each other node. Runs in a worker process.

A node is reduced if its operator supports the type, unless

- the spec keeps it in float32, or it has subgraphs (If, Loop, Scan), or its operator is in `NEVER`;
- it reads a constant that the type cannot represent: one that becomes infinite, or a single number that becomes zero. What is
  computed from such a constant stays in float32 too, until an operator brings it into range (a softmax behind a mask of -1e9);
- it computes with numbers that come only from integers, such as sizes, positions and masks: half precision counts to 2048;
- it only moves values, and its inputs are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
import onnx.defs
from onnx import NodeProto, TensorProto

from tritonize.core import dtypes
from tritonize.core.arrays import BFLOAT16, Array
from tritonize.precision.tasks import HalfPrecision

Reason = Literal["asked for", "subgraphs", "operator", "range", "integers", "moves float32"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEVER = _names(
    """Range ConstantOfShape EyeLike TopK CumSum GridSample AffineGrid RoiAlign NonMaxSuppression QuantizeLinear DequantizeLinear
    DynamicQuantizeLinear RandomNormal RandomUniform RandomNormalLike RandomUniformLike Multinomial Bernoulli DFT STFT
    MelWeightMatrix Det Upsample BitCast"""
)
"""Operators that compute positions, counts or orders from their inputs, where rounding changes the result."""
AGNOSTIC = frozenset({"Cast", "Shape", "Size"})
"""Operators that accept a tensor of any type."""
MOVING = _names(
    """Reshape Transpose Squeeze Unsqueeze Flatten Slice Split Concat Expand Tile Gather GatherElements GatherND Identity Pad
    DepthToSpace SpaceToDepth ReverseSequence ScatterND ScatterElements MaxPool GlobalMaxPool Max Min"""
)
"""Operators that return elements of their inputs unchanged."""
_LOOKUP = frozenset({"Gather", "GatherElements", "GatherND"})
_HEAVY = _names(
    """Conv ConvTranspose DeformConv MatMul Gemm Einsum LSTM GRU RNN Attention LayerNormalization InstanceNormalization
    GroupNormalization RMSNormalization BatchNormalization"""
)
"""Operators whose outputs are activations, even if their inputs come from integers."""
_KEEPS_LARGE = MOVING | _names("Add Sub Mul Div Where Neg Abs Sum Relu LeakyRelu PRelu Pow Clip Sqrt")
_KEEPS_TINY = MOVING | _names("Add Sub Where Neg Abs Sqrt Pow Clip ReduceL2 ReduceSum ReduceMax")
_FLOAT32_INPUTS: Mapping[str, frozenset[int]] = {"Resize": frozenset({1, 2})}
"""Positions of inputs that hold sizes, although the schema allows half precision for them."""
_ONNX = ("", "ai.onnx")
"""The names of ONNX's own domain."""
_FLOAT = TensorProto.FLOAT
_WHOLE = {dtype.onnx for dtype in dtypes.TABLE if not dtype.floating and dtype.name != "string"}


@dataclass(frozen=True, kw_only=True)
class Half:
    """A half-precision type with its names in ONNX and NumPy."""

    name: HalfPrecision
    onnx: int
    schema: str
    numpy: np.dtype[np.generic]
    never: frozenset[str] = frozenset()
    """Operators whose schema allows the type, and that TensorRT does not build with it."""


HALVES: Mapping[str, Half] = {
    "fp16": Half(name="fp16", onnx=TensorProto.FLOAT16, schema="tensor(float16)", numpy=np.dtype(np.float16)),
    # Measured with TensorRT-RTX 1.7: its parser mixes float32 into a GRU, its builder
    # fails on a ConvTranspose, and on recurrences of two types in one graph.
    "bf16": Half(
        name="bf16",
        onnx=TensorProto.BFLOAT16,
        schema="tensor(bfloat16)",
        numpy=BFLOAT16,
        never=frozenset({"ConvTranspose", "GRU", "LSTM", "RNN"}),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """The decision for one node."""

    inputs: frozenset[int] = frozenset()
    """Positions of the inputs that are half."""
    outputs: frozenset[int] = frozenset()
    kept: Reason | None = None
    """Why a node with float32 tensors is not reduced; `None` if it is reduced or has no float32 tensor."""

    @property
    def reduced(self) -> bool:
        """Whether it computes in half precision."""
        return bool(self.inputs)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The decisions for all nodes of a graph."""

    places: tuple[Place, ...]
    """One per node, in the graph's order."""
    half: frozenset[str]
    """Names of the tensors that are computed in half precision; constants get the precision that their consumers need."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Nodes and operators that the spec keeps in float32."""

    nodes: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()


class Chooser:
    """Decides for each node in one pass over the graph, in its topological order."""

    def __init__(
        self, model: onnx.ModelProto, types: Mapping[str, int], half: Half, *, kept: Kept, value: Callable[[TensorProto], Array]
    ) -> None:
        """Prepare for a graph.

        Args:
            types: element types of its tensors; 0 or absent if unknown.
            value: returns the elements of an initializer, from the file or from external data.
        """
        self._graph, self._types, self._half, self._kept, self._value = model.graph, types, half, kept, value
        self._opset = next((entry.version for entry in model.opset_import if entry.domain in _ONNX), 1)
        self.constants = constants(model.graph)
        self._made_half: set[str] = set()
        self._large: set[str] = set()
        self._tiny: set[str] = set()
        self._counted: set[str] = set()
        """Float32 tensors that are computed only from integers."""
        self._ranges: dict[str, tuple[bool, bool]] = {}

    def choose(self, *, half_io: bool) -> Choice:
        """Decide for every node."""
        if half_io:
            self._made_half |= {value.name for value in self._graph.input if value.type.tensor_type.elem_type == _FLOAT}
            self._made_half -= set(self.constants)
        places = tuple(self._place(node) for node in self._graph.node)
        return Choice(places=places, half=frozenset(self._made_half))

    def _place(self, node: NodeProto) -> Place:
        if node.op_type in AGNOSTIC and node.domain in _ONNX:
            self._note_counted(node)
            return Place()
        inputs, outputs = self._positions(node)
        reason = self._reason(node, inputs)
        if reason is not None:
            concerned = any(self._is_float(name) for name in (*node.input, *node.output))
            return Place(kept=reason if concerned else None)
        self._made_half |= {node.output[position] for position in outputs}
        return Place(inputs=inputs, outputs=outputs)

    def _reason(self, node: NodeProto, inputs: frozenset[int]) -> Reason | None:
        counted = self._note_counted(node)
        ranged = self._note_range(node)
        if node.name in self._kept.nodes or node.op_type in self._kept.operators:
            return "asked for"
        if any(attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for attribute in node.attribute):
            return "subgraphs"
        if not inputs or node.op_type in NEVER | self._half.never or _adds_up(node) or not self._are_known(node):
            return "operator"
        if ranged:
            return "range"
        if counted:
            return "integers"
        moved = [name for name in self._floats(node) if name not in self.constants]
        if node.op_type in MOVING and moved and not self._made_half.intersection(moved):
            return "moves float32"
        return None

    def _are_known(self, node: NodeProto) -> bool:
        """Whether all inputs and outputs are tensors (not sequences) of known types."""
        return all(self._types.get(name) for name in (*node.input, *node.output) if name)

    def _is_float(self, name: str) -> bool:
        return self._types.get(name) == _FLOAT

    def _floats(self, node: NodeProto) -> list[str]:
        """Names of its float32 inputs, without those that hold sizes."""
        sizes = _FLOAT32_INPUTS.get(node.op_type, frozenset())
        return [name for position, name in enumerate(node.input) if self._is_float(name) and position not in sizes]

    def _positions(self, node: NodeProto) -> tuple[frozenset[int], frozenset[int]]:
        """Return the inputs and outputs that become half if the node is reduced, by its operator's schema.

        Only outputs whose type follows an input are included; attributes set the type of the others.
        """
        if node.domain not in _ONNX:
            return frozenset(), frozenset()
        try:
            schema = onnx.defs.get_schema(node.op_type, self._opset, "")
        except onnx.defs.SchemaError:
            return frozenset(), frozenset()
        free = {each.type_param_str for each in schema.type_constraints if self._half.schema in each.allowed_type_strs}
        sizes = _FLOAT32_INPUTS.get(node.op_type, frozenset())
        found = {
            position: kind
            for position, kind in _kinds(schema.inputs, node.input)
            if kind in free and position not in sizes and self._is_float(node.input[position])
        }
        decided = set(found.values())
        outputs = {position for position, kind in _kinds(schema.outputs, node.output) if kind in decided}
        return frozenset(found), frozenset(outputs)

    def _note_counted(self, node: NodeProto) -> bool:
        """Whether its outputs are computed only from integers; notes the outputs if so."""
        floats = [name for name in node.input if self._is_float(name) and name not in self.constants]
        others = {self._types.get(name, 0) for name in node.input if name and not self._is_float(name)}
        if node.op_type in _HEAVY or not set(floats) <= self._counted or not others <= _WHOLE:
            return False
        if not floats and (not others or node.op_type in _LOOKUP):  # a lookup in a table of weights yields weights, not counts
            return False
        self._counted.update(name for name in node.output if self._is_float(name))
        return True

    def _note_range(self, node: NodeProto) -> bool:
        """Whether it reads numbers that the type cannot represent; notes the outputs that may pass them on."""
        floats = self._floats(node)
        large = any(name in self._large or self._outside(name)[0] for name in floats)
        tiny = any(name in self._tiny or self._outside(name)[1] for name in floats)
        outputs = [name for name in node.output if self._is_float(name)]
        if large and node.op_type in _KEEPS_LARGE:
            self._large.update(outputs)
        if tiny and node.op_type in _KEEPS_TINY:
            self._tiny.update(outputs)
        return large or tiny

    def _outside(self, name: str) -> tuple[bool, bool]:
        """Whether a constant has finite elements that become infinite, and whether it is a single number that becomes zero."""
        if name not in self.constants:
            return False, False
        if name not in self._ranges:
            array = np.asarray(self._value(self.constants[name]))
            single = array.size == 1
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                largest = np.abs(array[np.isfinite(array)]).max(initial=0.0)
                rounded = np.asarray(largest).astype(self._half.numpy).astype(np.float32)
            self._ranges[name] = (not bool(np.isfinite(rounded)), single and bool(largest) and not bool(rounded))
        return self._ranges[name]


def constants(graph: onnx.GraphProto) -> dict[str, TensorProto]:
    """Return the float32 initializers by name, without those that are graph inputs, which callers can replace."""
    given = {value.name for value in graph.input}
    return {each.name: each for each in graph.initializer if each.data_type == _FLOAT and each.name not in given}


def _adds_up(node: NodeProto) -> bool:
    """Whether it is a scatter with a reduction, which rounds at every step and which ONNX Runtime does not run in float16."""
    return any(attribute.name == "reduction" and attribute.s not in (b"", b"none") for attribute in node.attribute)


def _kinds(formals: Sequence[onnx.defs.OpSchema.FormalParameter], names: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield position and type parameter of every present argument; the last formal parameter stands for all further ones."""
    for position, name in enumerate(names):
        if name and formals:
            yield position, formals[min(position, len(formals) - 1)].type_str
