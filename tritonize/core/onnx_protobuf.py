"""Read external data locations, hash and tensor types from an ONNX file's protobuf encoding.

This loads neither the onnx package nor any weight. Source: onnx.proto3. A message is a sequence of fields, each with a key
(number << 3 | kind) and content that can be skipped. The search for data files skips messages without the word `location`, so
a 2 GB file takes one substring search.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, overload

from tritonize.core import bounded_files
from tritonize.core.errors import UsageError
from tritonize.core.messages import files as wording

_KEY = b"location"
_MARK = b"\x0a\x08" + _KEY
"""First bytes of the tensor entry that names its file: the key (field 1) of eight characters."""

_INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Message to the fields that can contain a file name at any depth."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
"""Bytes of the longest number that protobuf writes."""
Bytes = mmap.mmap | bytes


class Content(Protocol):
    """The bytes of a file that need not be in memory: bytes, a mapped file, or one that is transferred piece by piece."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, place: int, /) -> int: ...
    @overload
    def __getitem__(self, place: slice, /) -> bytes: ...


_GRAPH = 7  # of a model
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12  # of a graph
_TENSOR_NAME = 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TENSOR_TYPE, _ELEMENT_TYPE = 1, 1


def data_files(path: Path) -> list[Path]:
    """The external data files that an ONNX file names, sorted. They may not exist.

    Raises:
        UsageError: one is outside the file's folder.
    """
    names = sorted(locations(path))
    if outside := [each for each in names if Path(each).is_absolute() or ".." in Path(each).parts]:
        raise UsageError.of(wording.DATA_OUTSIDE, where=path.name, found=", ".join(outside))
    return [path.parent / each for each in names]


def locations(path: Path) -> set[str]:
    """The external data locations of all tensors of an ONNX file, including subgraphs, attributes and functions.

    For an invalid or truncated file, these are the locations before the first error.
    """
    names = set()
    with mapped(path) as content:
        try:
            for each in _locations(content, 0, len(content), message="model"):
                names.add(each)
        except (ValueError, IndexError):
            pass  # TensorRT's or ONNX's own parser reports the error later
    return names


def sha256(path: Path) -> str:
    """SHA-256 of an ONNX file and its external data files in sorted order; plans identify their ONNX file by it."""
    digest = hashlib.sha256()
    for each in (path, *data_files(path)):
        if each.is_file():
            with each.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def types(path: Path) -> dict[str, int]:
    """The element type (`TensorProto.DataType`) of every input and output of an ONNX file, without weights.

    Raises:
        ValueError: the file is not a valid ONNX file, or is truncated.
    """
    try:
        return _types(path)
    except IndexError as error:
        raise ValueError("it ends inside a field") from error


def _types(path: Path) -> dict[str, int]:
    types: dict[str, int] = {}
    weights: set[str] = set()  # old files list them as inputs too
    with mapped(path) as content:
        for number, start, end in fields(content, 0, len(content)):
            for field, low, high in fields(content, start, end) if number == _GRAPH else ():
                if field == _INITIALIZER:
                    weights.add(_text(content, low, high, number=_TENSOR_NAME))
                elif field in (_INPUT, _OUTPUT):
                    kinds = _inside(content, low, high, _VALUE_TYPE, _TENSOR_TYPE, _ELEMENT_TYPE)
                    types |= {_text(content, low, high, number=_VALUE_NAME): varint(content, first)[0] for first, _ in kinds}
    return {name: kind for name, kind in types.items() if name not in weights}


def _inside(content: Bytes, start: int, end: int, number: int, *further: int) -> Iterator[tuple[int, int]]:
    """Start and end of the fields with this number; with further numbers, of the nested fields."""
    for found, low, high in fields(content, start, end):
        if found == number:
            if further:
                yield from _inside(content, low, high, *further)
            else:
                yield low, high


def _text(content: Bytes, start: int, end: int, *, number: int) -> str:
    return "".join(content[low:high].decode() for low, high in _inside(content, start, end, number))


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[Bytes]:
    """The bytes of a regular file, mapped into memory; only pages that are looked at are read. Raises OSError."""
    with bounded_files.opened(path) as file:
        if not os.fstat(file.fileno()).st_size:
            yield b""  # mmap does not accept an empty file
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content


def _locations(content: Bytes, start: int, end: int, *, message: str) -> Iterator[str]:
    if content.find(_MARK, start, end) < 0:
        return
    inside = _INSIDE[message]
    for number, low, high in fields(content, start, end):
        kind = inside.get(number)
        if kind == "entry":
            entry = {field: content[first:last] for field, first, last in fields(content, low, high)}
            if entry.get(1) == _KEY:
                yield entry.get(2, b"").decode()
        elif kind is not None:
            yield from _locations(content, low, high, message=kind)


def fields(content: Content, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of every field; for a number field, start and end of its encoded bytes.

    Raises:
        ValueError, IndexError: the encoding is invalid, or ends inside a field.
    """
    while start < end:
        key, start = varint(content, start)
        number, kind = key >> 3, key & 7
        if kind == _BYTES:
            size, start = varint(content, start)
            if size > end - start:
                raise ValueError("a field is longer than its message")
            yield number, start, start + size
            start += size
        elif kind == _VARINT:
            first, (_, start) = start, varint(content, start)
            yield number, first, start
        elif kind in (_FIXED64, _FIXED32):
            first, start = start, start + (8 if kind == _FIXED64 else 4)
            yield number, first, start
        else:
            raise ValueError(f"unknown wire type {kind}")


def varint(content: Content, start: int) -> tuple[int, int]:
    """A varint (seven bits per byte, lowest first) and its end. Raises ValueError, IndexError."""
    value = 0
    for shift in range(0, _LONGEST_VARINT * 7, 7):
        byte = content[start]
        value |= (byte & 0x7F) << shift
        start += 1
        if byte < 0x80:
            return value, start
    raise ValueError("a number is longer than 64 bits")
