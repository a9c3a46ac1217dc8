"""ONNX files made without the onnx package, byte by byte, for unit tests and for repositories of thousands of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Value = tuple[str, int, Sequence[int | str] | None]
"""Name, TensorProto.DataType (0: no tensor), and the sizes or names of its axes (`None`: no shape)."""

FLOAT, UINT8, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE = 1, 2, 6, 7, 8, 9, 10, 11


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def text(field: int, value: str) -> bytes:
    return message(field, value.encode())


def value_info(value: Value) -> bytes:
    name, element, shape = value
    if not element:
        return text(1, name) + message(2, message(4, b""))  # a sequence
    dims = b""
    for size in shape or ():
        dims += message(1, number(1, size) if isinstance(size, int) else text(2, size))
    tensor = number(1, element) + (b"" if shape is None else message(2, dims))
    return text(1, name) + message(2, message(1, tensor))


def external(name: str, entries: Mapping[str, str]) -> bytes:
    """A float weight [2] whose content is in another file."""
    pairs = b"".join(message(13, text(1, key) + text(2, value)) for key, value in entries.items())
    return number(1, 2) + number(2, FLOAT) + text(8, name) + pairs + number(14, 1)


def identity(inputs: Sequence[Value], outputs: Sequence[Value], *, weight: bytes = b"") -> bytes:
    """A model whose output i is its input i; further outputs repeat the last input, and V is the weight W."""
    names = [name for name, *_ in inputs]
    graph = b""
    for index, (name, *_) in enumerate(outputs):
        graph += message(1, text(1, names[min(index, len(names) - 1)]) + text(2, name) + text(4, "Identity"))
    graph += text(2, "graph")
    if weight:
        graph += message(1, text(1, "W") + text(2, "V") + text(4, "Identity")) + message(5, weight)
        outputs = [*outputs, ("V", FLOAT, [2])]
    graph += b"".join(message(11, value_info(each)) for each in inputs)
    graph += b"".join(message(12, value_info(each)) for each in outputs)
    return number(1, 8) + message(7, graph) + message(8, number(2, 18))
