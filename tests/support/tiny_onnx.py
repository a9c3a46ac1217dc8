"""ONNX files made without the onnx package, byte by byte, for unit tests and for repositories of thousands of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

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


def write_heavy(path: Path, weight_bytes: int) -> None:
    """Y = X for float tensors [b, 16], with a weight of zeros inside that takes no room on the disk."""
    values = [("X", FLOAT, ["b", 16])], [("Y", FLOAT, ["b", 16])]
    plain = identity(*values)
    head = number(1, 8)
    graph = plain[len(head) : -len(message(8, number(2, 18)))]
    (length, start) = _length(graph)
    tensor = number(1, weight_bytes // 4) + number(2, FLOAT) + text(8, "W") + varint(9 << 3 | 2) + varint(weight_bytes)
    weight = varint(5 << 3 | 2) + varint(len(tensor) + weight_bytes) + tensor
    with path.open("wb") as file:
        file.write(head + varint(7 << 3 | 2) + varint(length + len(weight) + weight_bytes) + graph[start:] + weight)
        file.truncate(file.tell() + weight_bytes)
        file.seek(0, 2)
        file.write(message(8, number(2, 18)))


def _length(field: bytes) -> tuple[int, int]:
    """The length that stands behind a one-byte key, and where the content starts."""
    value = shift = 0
    for index, byte in enumerate(field[1:], 2):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, index
    raise ValueError


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
