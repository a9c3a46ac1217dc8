"""Read the inputs, outputs and external data of an ONNX file without the onnx package and without reading weights.

Source: onnx.proto3. The content of a weight is skipped by its length. Work is bounded by the number of protobuf fields, so a file
that was made to be slow is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import onnx_protobuf
from tritonize.core.onnx_protobuf import Content

_MOST_FIELDS = 5_000_000
_DEEPEST = 64
"""Nesting of subgraphs in attributes."""

_MODEL_GRAPH, _MODEL_FUNCTION = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_ATTRIBUTE, _FUNCTION_NODE = 5, 7
_TENSOR_NAME, _TENSOR_DATA = 8, 13
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2
_SHAPE_DIM, _DIM_VALUE, _DIM_NAME = 1, 1, 2
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)


@dataclass(frozen=True, kw_only=True)
class GraphValue:
    """One input or output of a graph."""

    name: str
    element_type: int | None
    """TensorProto.DataType; `None` for a value that is not a tensor, such as a sequence or a map."""
    shape: tuple[int | str, ...] | None
    """A size, the name of a dynamic axis, or an empty text for an axis without a name; `None` if the file declares no shape."""

    @property
    def dims(self) -> tuple[int, ...] | None:
        """The shape with -1 for a dynamic axis, as ONNX Runtime reports it."""
        return None if self.shape is None else tuple(size if isinstance(size, int) else -1 for size in self.shape)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The inputs, outputs and external data of an ONNX file."""

    inputs: tuple[GraphValue, ...]
    """Without weights, which old files list as inputs too."""
    overridable: tuple[GraphValue, ...]
    """Weights that are listed as inputs: a request may replace them."""
    outputs: tuple[GraphValue, ...]
    data: Mapping[str, int]
    """Location of each external data file to the number of bytes that the weights need in it."""


def read(path: Path) -> Graph:
    """Read an ONNX file.

    Raises:
        ValueError: the file is not a valid ONNX file, is truncated, or needs too much work.
        OSError: it cannot be read.
    """
    with onnx_protobuf.mapped(path) as content:
        return parse(content)


def parse(content: Content) -> Graph:
    """Read the content of an ONNX file; of what it skips, such as weights, no byte is looked at.

    Raises:
        ValueError: it is not a valid ONNX file, is truncated, or needs too much work.
    """
    try:
        return _Reader(content).graph()
    except IndexError as error:
        raise ValueError("it ends inside a field") from error
    except UnicodeDecodeError as error:
        raise ValueError("a name in it is not UTF-8") from error


class _Reader:
    """One pass over a file, with a budget of fields."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._count = itertools.count(1)
        self._data: dict[str, int] = {}

    def graph(self) -> Graph:
        found = False
        inputs: list[GraphValue] = []
        outputs: list[GraphValue] = []
        weights: set[str] = set()
        for number, start, end in self._fields(0, len(self._content)):
            if number == _MODEL_FUNCTION:
                self._nodes(start, end, field=_FUNCTION_NODE, depth=0)
            elif number == _MODEL_GRAPH:
                found = True
                for field, low, high in self._fields(start, end):
                    if field == _GRAPH_INPUT:
                        inputs.append(self._value(low, high))
                    elif field == _GRAPH_OUTPUT:
                        outputs.append(self._value(low, high))
                    elif field == _GRAPH_INITIALIZER:
                        weights.add(self._tensor(low, high))
                    elif field == _GRAPH_SPARSE:
                        self._sparse(low, high)
                    elif field == _GRAPH_NODE:
                        self._node(low, high, depth=0)
        if not found:
            raise ValueError("it has no graph")
        return Graph(
            inputs=tuple(each for each in inputs if each.name not in weights),
            overridable=tuple(each for each in inputs if each.name in weights),
            outputs=tuple(outputs),
            data=self._data,
        )

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        for each in onnx_protobuf.fields(self._content, start, end):
            if next(self._count) > _MOST_FIELDS:
                raise ValueError(f"it has more than {_MOST_FIELDS:,} fields")
            yield each

    def _text(self, start: int, end: int) -> str:
        return self._content[start:end].decode()

    def _number(self, start: int) -> int:
        value, _ = onnx_protobuf.varint(self._content, start)
        return value - (1 << 64) if value >= 1 << 63 else value

    def _value(self, start: int, end: int) -> GraphValue:
        name, element, shape = "", None, None
        for field, low, high in self._fields(start, end):
            if field == _VALUE_NAME:
                name = self._text(low, high)
            elif field == _VALUE_TYPE:
                for kind, first, last in self._fields(low, high):
                    if kind == _TYPE_TENSOR:
                        element, shape = self._tensor_type(first, last)
        return GraphValue(name=name, element_type=element, shape=shape)

    def _tensor_type(self, start: int, end: int) -> tuple[int, tuple[int | str, ...] | None]:
        element, shape = 0, None
        for field, low, high in self._fields(start, end):
            if field == _TENSOR_ELEMENT:
                element = self._number(low)
            elif field == _TENSOR_SHAPE:
                shape = tuple(self._dim(first, last) for kind, first, last in self._fields(low, high) if kind == _SHAPE_DIM)
        return element, shape

    def _dim(self, start: int, end: int) -> int | str:
        size: int | str = ""
        for field, low, high in self._fields(start, end):
            if field == _DIM_VALUE:
                size = self._number(low)
            elif field == _DIM_NAME:
                size = self._text(low, high)
        return size if isinstance(size, str) or size >= 0 else ""

    def _tensor(self, start: int, end: int) -> str:
        """Note the external data of a weight; its name."""
        name = ""
        entries: dict[str, str] = {}
        for field, low, high in self._fields(start, end):
            if field == _TENSOR_NAME:
                name = self._text(low, high)
            elif field == _TENSOR_DATA:
                pair = {number: self._text(first, last) for number, first, last in self._fields(low, high)}
                entries[pair.get(1, "")] = pair.get(2, "")
        if "location" in entries:
            offset, length = (_whole(entries.get(key, "0")) for key in ("offset", "length"))
            location = entries["location"]
            self._data[location] = max(self._data.get(location, 0), offset + length)
        return name

    def _sparse(self, start: int, end: int) -> None:
        for field, low, high in self._fields(start, end):
            if field in (1, 2):
                self._tensor(low, high)

    def _nodes(self, start: int, end: int, *, field: int, depth: int) -> None:
        for number, low, high in self._fields(start, end):
            if number == field:
                self._node(low, high, depth=depth)
            elif field == _GRAPH_NODE and number == _GRAPH_INITIALIZER:
                self._tensor(low, high)
            elif field == _GRAPH_NODE and number == _GRAPH_SPARSE:
                self._sparse(low, high)

    def _node(self, start: int, end: int, *, depth: int) -> None:
        if depth > _DEEPEST:
            raise ValueError(f"its subgraphs are nested more than {_DEEPEST} deep")
        for number, low, high in self._fields(start, end):
            for field, first, last in self._fields(low, high) if number == _NODE_ATTRIBUTE else ():
                if field in _ATTRIBUTE_TENSORS:
                    self._tensor(first, last)
                elif field in _ATTRIBUTE_GRAPHS:
                    self._nodes(first, last, field=_GRAPH_NODE, depth=depth + 1)
                elif field in _ATTRIBUTE_SPARSE:
                    self._sparse(first, last)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ValueError(f"the place of a weight in its data file is {text[:40]!r}")
    return int(text)
