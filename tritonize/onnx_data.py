"""The data files that an ONNX file names, read off its protobuf encoding: neither the package onnx nor any weight is loaded.

Source: onnx.proto3. A message is a run of fields, each a key (number << 3 | kind) and its content, which can be skipped unread.
What does not hold the word `location` is skipped as a whole, so a file of two gigabytes takes as long as one search over it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from tritonize.errors import UsageError

_KEY = b"location"
_MARK = b"\x0a\x08" + _KEY
"""How the entry of a tensor begins that names its file: the key (field 1), of eight characters."""

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
"""Message to its fields that may name a file somewhere inside."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def files(path: Path) -> list[Path]:
    """The data files that an ONNX file names, in the order of their names; whether they are there is not looked at.

    Raises:
        UsageError: one lies outside the file's own folder.
    """
    found = sorted(locations(path))
    if outside := [each for each in found if Path(each).is_absolute() or ".." in Path(each).parts]:
        raise UsageError(
            "The ONNX file's external data lies outside its folder, which is never followed.",
            where=path.name,
            found=", ".join(outside),
        )
    return [path.parent / each for each in found]


def locations(path: Path) -> set[str]:
    """The locations that the tensors of an ONNX file name, also in subgraphs, attributes and functions.

    A file that is no ONNX file, or is cut off, has those that are found before its fault.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return set()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = set()
            try:
                for each in _locations(content, 0, len(content), "model"):
                    found.add(each)
            except (ValueError, IndexError):
                pass  # the builder's parser says what is wrong with it
            return found


def _locations(content: mmap.mmap, start: int, end: int, message: str) -> Iterator[str]:
    if content.find(_MARK, start, end) < 0:
        return
    inside = _INSIDE[message]
    for number, low, high in _fields(content, start, end):
        kind = inside.get(number)
        if kind == "entry":
            said = {field: content[first:last] for field, first, last in _fields(content, low, high)}
            if said.get(1) == _KEY:
                yield said.get(2, b"").decode()
        elif kind is not None:
            yield from _locations(content, low, high, kind)


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The number of every field of bytes, and where its content begins and ends."""
    while start < end:
        key, start = _varint(content, start)
        number, kind = key >> 3, key & 7
        if kind == _BYTES:
            size, start = _varint(content, start)
            if size > end - start:
                raise ValueError("a field is longer than its message")
            yield number, start, start + size
            start += size
        elif kind == _VARINT:
            _, start = _varint(content, start)
        elif kind in (_FIXED64, _FIXED32):
            start += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"no field is of kind {kind}")


def _varint(content: mmap.mmap, start: int) -> tuple[int, int]:
    """A number of seven bits per byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = content[start]
        value |= (byte & 0x7F) << shift
        start, shift = start + 1, shift + 7
        if byte < 0x80:
            return value, start
