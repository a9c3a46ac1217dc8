"""Write an ONNX model into one file without a second copy of its weights; runs inside a worker.

`SerializeToString` needs up to three times the model's size beside the model itself. Here the weights go to the file one
by one. The bytes are ordinary protobuf wire format (https://protobuf.dev/programming-guides/encoding): a message's fields
may come in any order, so the large initializers are the last fields of the graph, and the graph is the last of the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import onnx

SMALL = 1 << 16
"""Bytes up to which an initializer may be a shape or an index; larger ones are weights."""
_LENGTH_DELIMITED = 2


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write the model; it is left as it was. Raises OSError."""
    weights = [tensor for tensor in model.graph.initializer if is_weight(tensor)]
    shell = _copy(model, without={"graph"})
    graph = _copy(model.graph, without={"initializer"})
    graph.initializer.extend(tensor for tensor in model.graph.initializer if not is_weight(tensor))
    graph_bytes = graph.SerializeToString(deterministic=True)
    size = len(graph_bytes) + sum(len(_prefix("initializer", tensor)) + tensor.ByteSize() for tensor in weights)
    with path.open("wb") as file:
        file.write(shell.SerializeToString(deterministic=True))
        file.write(_tag(onnx.ModelProto, "graph") + _varint(size))
        file.write(graph_bytes)
        for tensor in weights:
            file.write(_prefix("initializer", tensor))
            _write_tensor(tensor, file)


def is_weight(tensor: onnx.TensorProto) -> bool:
    """Whether an initializer is large, and kept as raw bytes."""
    return tensor.HasField("raw_data") and tensor.ByteSize() > SMALL


def _write_tensor(tensor: onnx.TensorProto, file: BinaryIO) -> None:
    header = _copy(tensor, without={"raw_data"}).SerializeToString(deterministic=True)
    raw = tensor.raw_data
    file.write(header + _tag(onnx.TensorProto, "raw_data") + _varint(len(raw)))
    file.write(raw)


def _copy(message: Any, *, without: set[str]) -> Any:
    """A copy of a message that lacks some fields, made without copying those first."""
    copy = type(message)()
    for field, value in message.ListFields():
        if field.name in without:
            continue
        if field.is_repeated:
            getattr(copy, field.name).extend(value)
        elif field.message_type:
            getattr(copy, field.name).CopyFrom(value)
        else:
            setattr(copy, field.name, value)
    return copy


def _prefix(field: str, message: Any) -> bytes:
    return _tag(onnx.GraphProto, field) + _varint(message.ByteSize())


def _tag(kind: Any, field: str) -> bytes:
    return _varint(kind.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
