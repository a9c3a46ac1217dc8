"""Rewrite a float32 graph for a choice of half-precision nodes: constants converted once, casts between; inside a worker.

Every tensor keeps its name in the type that it is made in, since nodes are traced by the names of their outputs; what a Cast
answers is named `<tensor>__fp16` or `<tensor>__fp32`. An output of the graph that is made in the other type is the one exception:
there the Cast has the name.
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
    """What a rewriting did."""

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
        choice: what becomes of its nodes; those in subgraphs stay.
        value: the elements of an initializer, wherever they lie.
        half_io: whether outputs of the graph are half; its inputs are as `choice` says.
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
    """The new nodes, one by one."""

    def __init__(self, graph: GraphProto, types: Mapping[str, int], choice: Choice, *, half: Half, half_io: bool) -> None:
        self._types, self._choice, self.half = types, choice, half
        self._constants = constants(graph)
        self._taken = set(types) | {name for node in graph.node for name in (*node.input, *node.output)}
        self._casts: dict[tuple[str, bool], str] = {}
        self._named: dict[str, str] = {}
        self._outputs = {value.name: half_io for value in graph.output if self._is_float(value.name)}
        """Outputs of the graph to whether they are half."""
        self.uses = self._asked(graph)
        self.nodes: list[NodeProto] = []
        self.done = Rewritten(half=set(choice.half))

    def _is_float(self, name: str) -> bool:
        return self._types.get(name) == TensorProto.FLOAT

    def _asked(self, graph: GraphProto) -> dict[str, set[bool]]:
        """Of every constant whether it is asked for in half, in float32, or both."""
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
        """Add a node, with the casts that it needs before it, and after it where it makes an output of the graph."""
        inner = {name: self._as(name, half=False) for name in captured(node)}
        for position, name in enumerate(node.input):
            if self._is_float(name) and node.op_type not in AGNOSTIC:
                node.input[position] = self._as(name, half=position in inputs)
            else:
                node.input[position] = self._named.get(name, name)
        _substitute(node, {old: new for old, new in inner.items() if old != new})
        self.nodes.append(node)
        for position, name in enumerate(node.output):
            wanted = self._outputs.get(name)
            made = position in outputs
            if wanted is not None and wanted != made:
                inside = self._free(name, made)
                node.output[position] = self._named[name] = inside
                self.done.came_from[inside] = name
                if made:
                    self.done.half.add(inside)
                self._cast(inside, name, half=wanted)
                self._casts[name, wanted] = name

    def _as(self, name: str, *, half: bool) -> str:
        """A float tensor's name in a precision; a Cast is added where it was not made so."""
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
        """The name of a constant's half copy, beside the float32 one."""
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
        wanted = f"{name}__{self.half.name if half else 'fp32'}"
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted

    def copies(self) -> dict[str, str]:
        """Constants that are needed in both precisions, to the name of the half one."""
        return {name: self._casts[name, True] for name in self._constants if (name, True) in self._casts}


def _convert(graph: GraphProto, work: _Rewriting, value: Callable[[TensorProto], Array]) -> None:
    """Make the constants what is asked of them: one precision, or both beside each other."""
    copies = work.copies()
    for tensor in [each for each in graph.initializer if each.name in work.uses]:
        if work.uses[tensor.name] == {True}:
            _set(tensor, value(tensor), work)
        elif tensor.name in copies:
            made = TensorProto(name=copies[tensor.name])
            _set(made, value(tensor), work)
            graph.initializer.append(made)


def _set(tensor: TensorProto, array: Array, work: _Rewriting) -> None:
    name, half = tensor.name, work.half
    tensor.Clear()
    tensor.name, tensor.data_type = name, half.onnx
    tensor.dims.extend(array.shape)
    tensor.raw_data = array.astype(half.numpy).tobytes()


def captured(node: NodeProto) -> set[str]:
    """Names that a node's subgraphs take from around them."""
    found: set[str] = set()
    for graph in _subgraphs(node):
        own = {each.name for each in graph.input} | {each.name for each in graph.initializer}
        own |= {name for inner in graph.node for name in inner.output}
        taken = {name for inner in graph.node for name in (*inner.input, *captured(inner))}
        found |= (taken | {each.name for each in graph.output}) - own - {""}
    return found


def _substitute(node: NodeProto, names: Mapping[str, str]) -> None:
    """Let a node's subgraphs take other tensors from around them; no name is used twice in a graph and its subgraphs."""
    for graph in _subgraphs(node) if names else ():
        for inner in graph.node:
            inner.input[:] = [names.get(name, name) for name in inner.input]
            _substitute(inner, names)


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
