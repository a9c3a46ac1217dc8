"""Write an ONNX model without a second copy of its weights, as one file or with a data file. Runs in a worker process.

`SerializeToString` needs up to three times the model's size in addition to the model itself, so this module writes the weights
one by one. The bytes are ordinary protobuf wire format (https://protobuf.dev/programming-guides/encoding): the fields of a message
may come in any order, so the large initializers are written as the last fields of the graph, and the graph as the last field of
the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import onnx
from google.protobuf.message import Message
from onnx import TensorProto

M = TypeVar("M", bound=Message)

SMALL = 1 << 16
"""Bytes up to which an initializer counts as a shape or an index; larger ones are weights."""
_LENGTH_DELIMITED = 2
_ALIGNMENT = 1 << 16
"""Alignment of weights in a data file, in bytes: the ONNX documentation advises 64 KiB, which every system can memory-map."""
_PIECE = 1 << 22  # bytes that are copied at a time


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write the model as one file, without changing the model. Raises OSError."""
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


def write_with_data(model: onnx.ModelProto, path: Path, folder: Path) -> Path:
    """Write the model, and its weights into a data file `<path>.data`.

    Args:
        model: the model, changed in place: afterwards all of its weights refer to the new data file. Before, they may be in memory
            or refer to external data.
        path: path of the ONNX file.
        folder: folder of the existing external data.

    Returns:
        The path of the data file.

    Raises:
        OSError: a file cannot be read or written.
    """
    data = path.with_name(f"{path.name}.data")
    with data.open("wb") as file:
        for tensor in external_or_large(model):
            file.seek(-file.tell() % _ALIGNMENT, 1)
            offset = file.tell()
            length = _copy_weights(tensor, folder, file)
            tensor.ClearField("raw_data")
            del tensor.external_data[:]
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
        file.truncate()
    path.write_bytes(model.SerializeToString(deterministic=True))
    return data


def external_or_large(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Return the tensors that a data file holds: those that are external already, and all large initializers and attributes."""
    kept = list(model.graph.initializer)
    pending = list(model.graph.node)
    while pending:
        for attribute in pending.pop().attribute:
            kept += [attribute.t, *attribute.tensors, *attribute.g.initializer]
            pending += attribute.g.node
    return [tensor for tensor in kept if is_external(tensor) or is_weight(tensor)]


def is_external(tensor: onnx.TensorProto) -> bool:
    """Return whether a tensor's values are in another file."""
    return tensor.data_location == TensorProto.EXTERNAL


def _copy_weights(tensor: onnx.TensorProto, folder: Path, file: BinaryIO) -> int:
    """Copy a tensor's bytes in pieces, and return their number."""
    if not is_external(tensor):
        return file.write(tensor.raw_data)
    path, offset, length = reference(tensor, folder)
    left = length
    with path.open("rb") as source:
        source.seek(offset)
        while left and (piece := source.read(min(left, _PIECE))):
            left -= file.write(piece)
    return length - left


def size(tensor: onnx.TensorProto, folder: Path) -> int:
    """Return the size of a tensor of `external_or_large` in bytes."""
    return reference(tensor, folder)[2] if is_external(tensor) else len(tensor.raw_data)


class ExternalBytes(NamedTuple):
    """The location of an external tensor's bytes; offset and length in bytes."""

    path: Path
    offset: int
    length: int


def reference(tensor: onnx.TensorProto, folder: Path) -> ExternalBytes:
    """Return the location of an external tensor's bytes; an offset or length that the model omits is filled in."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path, offset = folder / entries["location"], int(entries.get("offset", 0))
    length = int(entries["length"]) if "length" in entries else path.stat().st_size - offset
    return ExternalBytes(path, offset, length)


def is_weight(tensor: onnx.TensorProto) -> bool:
    """Return whether a tensor is larger than `SMALL` and stored as raw bytes."""
    return tensor.HasField("raw_data") and len(tensor.raw_data) > SMALL  # ByteSize() would serialize the whole tensor


def _write_tensor(tensor: onnx.TensorProto, file: BinaryIO) -> None:
    header = _copy(tensor, without={"raw_data"}).SerializeToString(deterministic=True)
    raw = tensor.raw_data
    file.write(header + _tag(onnx.TensorProto, "raw_data") + _varint(len(raw)))
    file.write(raw)


def _copy(message: M, *, without: set[str]) -> M:
    """Copy a message without some fields; these are never copied."""
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


def _prefix(field: str, message: Message) -> bytes:
    return _tag(onnx.GraphProto, field) + _varint(message.ByteSize())


def _tag(kind: type[Message], field: str) -> bytes:
    return _varint(kind.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
