"""Rewrite a float32 graph for a choice of half-precision nodes: convert constants and insert casts. Runs in a worker process.

Every tensor keeps its name in the type that it is computed in, since nodes are identified by the names of their outputs. The output
of a Cast is named `<tensor>__fp16` or `<tensor>__fp32`. The one exception is a graph output that is computed in the other type:
there the Cast's output keeps the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import onnx
import onnx.helper
from onnx import GraphProto, NodeProto, TensorProto

from tritonize.core.arrays import Array
from tritonize.precision.worker.node_choice import AGNOSTIC, Choice, Half, constants


@dataclass(kw_only=True)
class Rewritten:
    """The changes to a graph."""

    half: set[str] = field(default_factory=set)
    """Names of all half tensors of the new graph."""
    came_from: dict[str, str] = field(default_factory=dict)
    """New name of a tensor to the one in the old graph."""
    casts: int = 0


def rewrite(
    graph: GraphProto,
    types: Mapping[str, int],
    choice: Choice,
    *,
    half: Half,
    value: Callable[[TensorProto], Array],
    half_io: bool,
) -> Rewritten:
    """Rewrite a graph in place.

    Args:
        types: element types of its tensors.
        choice: the decisions for its nodes; nodes in subgraphs stay.
        value: returns the elements of an initializer, from the file or from external data.
        half_io: whether outputs of the graph become half; `choice` decides about its inputs.
    """
    work = _Rewriting(graph, types, choice, half=half, half_io=half_io)
    nodes = list(graph.node)
    for node, place in zip(nodes, choice.places, strict=True):
        work.take(node, place.inputs, place.outputs)
    _convert(graph, work, value)
    del graph.node[:]
    graph.node.extend(work.nodes)
    for tensor in (*graph.input, *graph.output, *graph.value_info):
        if tensor.name in work.done.half:
            tensor.type.tensor_type.elem_type = half.onnx
    return work.done


class _Rewriting:
    """Builds the new list of nodes."""

    def __init__(self, graph: GraphProto, types: Mapping[str, int], choice: Choice, *, half: Half, half_io: bool) -> None:
        self._types, self._choice, self.half = types, choice, half
        self._constants = constants(graph)
        self._taken = set(types) | {name for node in graph.node for name in (*node.input, *node.output)}
        self._casts: dict[tuple[str, bool], str] = {}
        self._named: dict[str, str] = {}
        self._outputs = {value.name: half_io for value in graph.output if self._is_float(value.name)}
        """Float outputs of the graph, and whether they become half."""
        self.uses = self._constant_uses(graph)
        self.nodes: list[NodeProto] = []
        self.done = Rewritten(half=set(choice.half))

    def _is_float(self, name: str) -> bool:
        return self._types.get(name) == TensorProto.FLOAT

    def _constant_uses(self, graph: GraphProto) -> dict[str, set[bool]]:
        """Map every constant to the precisions that its consumers need: True for half, False for float32."""
        uses: dict[str, set[bool]] = {name: set() for name in self._constants}
        for node, place in zip(graph.node, self._choice.places, strict=True):
            for position, name in enumerate(node.input):
                if name in uses:
                    uses[name].add(position in place.inputs)
            for name in captured(node):
                uses.get(name, set()).add(False)
        for value in graph.output:
            uses.get(value.name, set()).add(False)
        return uses

    def take(self, node: NodeProto, inputs: frozenset[int], outputs: frozenset[int]) -> None:
        """Add a node with the casts before it, and after it if it computes an output of the graph."""
        inner = {name: self._as(name, half=False) for name in captured(node)}
        for position, name in enumerate(node.input):
            if self._is_float(name) and node.op_type not in AGNOSTIC:
                node.input[position] = self._as(name, half=position in inputs)
            else:
                node.input[position] = self._named.get(name, name)
        _substitute(node, {old: new for old, new in inner.items() if old != new})
        self.nodes.append(node)
        for position, name in enumerate(node.output):
            declared_half = self._outputs.get(name)
            is_half = position in outputs
            if declared_half is not None and declared_half != is_half:
                inside = self._free(name, is_half)
                node.output[position] = self._named[name] = inside
                self.done.came_from[inside] = name
                if is_half:
                    self.done.half.add(inside)
                self._cast(inside, name, half=declared_half)
                self._casts[name, declared_half] = name

    def _as(self, name: str, *, half: bool) -> str:
        """Return a float tensor's name in a precision; adds a Cast if it is computed in the other one."""
        if name in self._constants:
            if half and self.uses[name] == {True}:
                self.done.half.add(name)
                return name
            return self._copy(name) if half else name
        if (name in self._choice.half) == half or not self._is_float(name):
            return self._named.get(name, name)
        if (name, half) not in self._casts:
            cast = self._free(name, half)
            self._casts[name, half] = cast
            self.done.came_from[cast] = name
            self._cast(self._named.get(name, name), cast, half=half)
        return self._casts[name, half]

    def _copy(self, name: str) -> str:
        """Return the name of a constant's half copy, which exists beside the float32 one."""
        if (name, True) not in self._casts:
            self._casts[name, True] = self._free(name, True)
            self.done.half.add(self._casts[name, True])
        return self._casts[name, True]

    def _cast(self, source: str, target: str, *, half: bool) -> None:
        kind = self.half.onnx if half else TensorProto.FLOAT
        self.nodes.append(onnx.helper.make_node("Cast", [source], [target], name=f"{target}__cast", to=kind))
        self.done.casts += 1
        if half:
            self.done.half.add(target)
        else:
            self.done.half.discard(target)

    def _free(self, name: str, half: bool) -> str:
        free = f"{name}__{self.half.name if half else 'fp32'}"
        while free in self._taken:
            free += "_"
        self._taken.add(free)
        return free

    def copies(self) -> dict[str, str]:
        """Map constants that are needed in both precisions to the name of the half copy."""
        return {name: self._casts[name, True] for name in self._constants if (name, True) in self._casts}


def _convert(graph: GraphProto, work: _Rewriting, value: Callable[[TensorProto], Array]) -> None:
    """Convert each constant to the precision that its consumers need, or add a half copy if they need both."""
    copies = work.copies()
    for tensor in [each for each in graph.initializer if each.name in work.uses]:
        if work.uses[tensor.name] == {True}:
            _set(tensor, value(tensor), work)
        elif tensor.name in copies:
            copy = TensorProto(name=copies[tensor.name])
            _set(copy, value(tensor), work)
            graph.initializer.append(copy)


def _set(tensor: TensorProto, array: Array, work: _Rewriting) -> None:
    name, half = tensor.name, work.half
    tensor.Clear()
    tensor.name, tensor.data_type = name, half.onnx
    tensor.dims.extend(array.shape)
    tensor.raw_data = array.astype(half.numpy).tobytes()


def captured(node: NodeProto) -> set[str]:
    """Return the names that a node's subgraphs use from the outer graph."""
    found: set[str] = set()
    for graph in _subgraphs(node):
        own = {each.name for each in graph.input} | {each.name for each in graph.initializer}
        own |= {name for inner in graph.node for name in inner.output}
        taken = {name for inner in graph.node for name in (*inner.input, *captured(inner))}
        found |= (taken | {each.name for each in graph.output}) - own - {""}
    return found


def _substitute(node: NodeProto, names: Mapping[str, str]) -> None:
    """Rename outer tensors in a node's subgraphs. Names are unique across a graph and its subgraphs."""
    for graph in _subgraphs(node) if names else ():
        for inner in graph.node:
            inner.input[:] = [names.get(name, name) for name in inner.input]
            _substitute(inner, names)


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
