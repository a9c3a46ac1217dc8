"""Find the inputs of an ONNX file that are indices, such as token numbers, and how many rows each may select from.

Like `onnx_graph`, this needs neither the onnx package nor any weight. Source: onnx.proto3, and the operators' documentation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tritonize.core import onnx_protobuf
from tritonize.core.onnx_protobuf import Content

_MOST_FIELDS = 5_000_000
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT = 1, 5, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_NUMBER, _ATTRIBUTE_TENSOR = 1, 3, 5
_TENSOR_DIMS, _TENSOR_NAME, _VALUE_NAME = 1, 8, 1
_BOOL = 9  # TensorProto.DataType

_SAME_VALUES = frozenset(
    ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Transpose", "Expand", "Tile", "Slice", "Split", "Gather")
)
"""Operators whose outputs only have values of their first input."""
_SAME_WEIGHT = ("Identity", "Cast", "DequantizeLinear")
"""Operators whose output has the sizes of their first input."""


@dataclass(kw_only=True)
class _Node:
    kind: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    dims: list[int] | None = None
    """Of the tensor in an attribute."""


def rows(path: Path) -> Mapping[str, int]:
    """Return the number of rows for each input whose elements all select a row of a weight: an index is below this number.

    An input that selects from several weights has the smallest number. An input that is computed with before it selects is left
    out, and so is a selection in a branch or a loop, which need not run.

    Raises:
        ValueError: the file is not a valid ONNX file, is truncated, or needs too much work.
        OSError: it cannot be read.
    """
    with onnx_protobuf.mapped(path) as content:
        try:
            return _Reader(content).rows()
        except IndexError as error:
            raise ValueError("it ends inside a field") from error


class _Reader:
    """One pass over a file. The nodes of a graph are in an order in which each follows those that it depends on."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._count = itertools.count(1)
        self._weights: dict[str, list[int]] = {}
        self._sources: dict[str, frozenset[str]] = {}
        """Tensor to the inputs that its values are of."""
        self._found: dict[str, int] = {}

    def rows(self) -> dict[str, int]:
        nodes: list[tuple[int, int]] = []
        for number, start, end in self._fields(0, len(self._content)):
            for part, low, high in self._fields(start, end) if number == _MODEL_GRAPH else ():
                if part == _GRAPH_NODE:
                    nodes.append((low, high))
                elif part == _GRAPH_INPUT:
                    name = "".join(self._texts(low, high, _VALUE_NAME))
                    self._sources[name] = frozenset([name])
                elif part == _GRAPH_INITIALIZER:
                    self._weights["".join(self._texts(low, high, _TENSOR_NAME))] = self._dims(low, high)
        for name in self._weights:  # old files list weights as inputs too
            self._sources.pop(name, None)
        for low, high in nodes:
            self._follow(self._node(low, high))
        return self._found

    def _follow(self, node: _Node) -> None:
        first = node.inputs[0] if node.inputs else ""
        if node.kind == "Gather" and len(node.inputs) == 2:
            self._select(node.inputs[1], first, axis=node.numbers.get("axis", 0))
        elif node.kind == "EmbedLayerNormalization":  # com.microsoft: tokens, segments, and their weights
            for index, weight in zip(node.inputs[:2], (*node.inputs[2:3], *node.inputs[4:5]), strict=False):
                self._select(index, weight, axis=0)
        if node.kind == "Constant" and node.dims is not None:
            self._weights |= dict.fromkeys(node.outputs, node.dims)
        elif node.kind in _SAME_WEIGHT and first in self._weights:
            self._weights |= dict.fromkeys(node.outputs, self._weights[first])
        elif node.kind in _SAME_VALUES and first in self._sources and node.numbers.get("to") != _BOOL:
            self._sources |= dict.fromkeys(node.outputs, self._sources[first])
        elif node.kind == "Concat":
            joined = frozenset(itertools.chain.from_iterable(self._sources.get(each, ()) for each in node.inputs))
            self._sources |= dict.fromkeys(node.outputs, joined)

    def _select(self, index: str, weight: str, *, axis: int) -> None:
        dims = self._weights.get(weight, [])
        if -len(dims) <= axis < len(dims):
            for name in self._sources.get(index, ()):
                self._found[name] = min(dims[axis], self._found.get(name, dims[axis]))

    def _node(self, start: int, end: int) -> _Node:
        node = _Node()
        for number, low, high in self._fields(start, end):
            if number == _NODE_INPUT:
                node.inputs.append(self._text(low, high))
            elif number == _NODE_OUTPUT:
                node.outputs.append(self._text(low, high))
            elif number == _NODE_TYPE:
                node.kind = self._text(low, high)
            elif number == _NODE_ATTRIBUTE:
                self._attribute(node, low, high)
        return node

    def _attribute(self, node: _Node, start: int, end: int) -> None:
        name, value = "", None
        for number, low, high in self._fields(start, end):
            if number == _ATTRIBUTE_NAME:
                name = self._text(low, high)
            elif number == _ATTRIBUTE_NUMBER:
                value = next(self._numbers(low, high))
            elif number == _ATTRIBUTE_TENSOR:
                node.dims = self._dims(low, high)
        if value is not None:
            node.numbers[name] = value

    def _dims(self, start: int, end: int) -> list[int]:
        """The sizes of a tensor, each in a field of its own or several in one."""
        parts: Iterable[Iterator[int]] = (
            self._numbers(low, high) for number, low, high in self._fields(start, end) if number == _TENSOR_DIMS
        )
        return list(itertools.chain.from_iterable(parts))

    def _numbers(self, start: int, end: int) -> Iterator[int]:
        while start < end:
            value, start = onnx_protobuf.varint(self._content, start)
            yield value - (1 << 64) if value >= 1 << 63 else value

    def _texts(self, start: int, end: int, wanted: int) -> Iterator[str]:
        return (self._text(low, high) for number, low, high in self._fields(start, end) if number == wanted)

    def _text(self, start: int, end: int) -> str:
        return self._content[start:end].decode()

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        for each in onnx_protobuf.fields(self._content, start, end):
            if next(self._count) > _MOST_FIELDS:
                raise ValueError(f"it has more than {_MOST_FIELDS:,} fields")
            yield each
