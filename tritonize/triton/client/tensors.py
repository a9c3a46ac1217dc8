"""Tensors as the bytes that the KServe v2 protocol sends, and back; nothing is believed that does not fit its bytes.

A tensor is its elements in C order and little endian. Text is one element after the other, each behind its length in four bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array
from tritonize.core.errors import InferenceError, UsageError
from tritonize.core.messages import client as say

_MOST_AXES = 32
"""Of NumPy before version 2."""


def sendable(name: str, array: Array) -> Array:
    """The array with an element type of Triton's; text of any kind as objects. Raises UsageError."""
    array = np.asarray(array)
    if array.dtype.kind in "US":
        array = array.astype(object)
    try:
        dtypes.by_numpy(str(array.dtype))
    except KeyError:
        raise UsageError.of(say.ELEMENT_TYPE, where=name, found=str(array.dtype)) from None
    return array


def datatype(array: Array) -> str:
    """The protocol's name of an array's element type."""
    return dtypes.by_numpy(str(array.dtype)).client


def raw_bytes(array: Array) -> Array:
    """What a tensor is sent as: the array itself, or for text the bytes of all elements behind their lengths."""
    if array.dtype != object:
        return array.view(np.uint16) if array.dtype == arrays.BFLOAT16 else array
    parts = []
    for item in array.reshape(-1):
        data = item if isinstance(item, bytes) else str(item).encode()
        parts += [len(data).to_bytes(4, "little"), data]
    return np.frombuffer(b"".join(parts), np.uint8)


def piece(array: Array) -> memoryview:
    """The bytes of a sendable array, without a copy where it lies in C order."""
    return np.ascontiguousarray(raw_bytes(array)).reshape(-1).view(np.uint8).data


def element_type(name: str, kind: object, where: str) -> dtypes.DType:
    """The type that an answer names. Raises InferenceError."""
    try:
        return dtypes.by_client(str(kind))
    except KeyError:
        raise unsound(where, f"output {name!r} has the datatype {str(kind)[:40]!r}, which the protocol does not have") from None


def sizes(name: str, shape: Sequence[object], where: str) -> tuple[int, ...]:
    """A shape that came from outside, as sizes of axes. Raises InferenceError."""
    found = tuple(axis for axis in shape if isinstance(axis, int) and type(axis) is int and 0 <= axis < 2**62)
    if len(shape) > _MOST_AXES or len(found) < len(shape):
        raise unsound(where, f"output {name!r} has the shape {str(list(shape))[:80]}")
    return found


def size(name: str, shape: Sequence[object], where: str) -> int:
    """Number of elements of a shape that came from outside. Raises InferenceError."""
    return math.prod(sizes(name, shape, where))


def decoded(name: str, kind: object, shape: Sequence[object], *, content: memoryview | bytes, where: str) -> Array:
    """An output of an answer, read-only; it shares the memory of `content`.

    Args:
        name: the output's.
        kind: its datatype, as the answer has it.
        shape: as the answer has it.
        content: exactly its bytes.
        where: which server, for the error.

    Raises:
        InferenceError: type, shape and bytes do not fit together.
    """
    dtype, axes = element_type(name, kind, where), sizes(name, shape, where)
    count = math.prod(axes)
    if dtype.name == "string":
        return _reshaped(name, text(name, content, count, where=where), axes, where=where)
    if count * dtype.itemsize != len(content):
        raise unsound(where, f"output {name!r} of {dtype.client} {list(shape)} has {len(content):,} bytes")
    found = np.frombuffer(content, arrays.numpy_dtype(dtype.name)) if count else np.empty(0, arrays.numpy_dtype(dtype.name))
    return _reshaped(name, found, axes, where=where)


def _reshaped(name: str, array: Array, shape: tuple[int, ...], *, where: str) -> Array:
    try:
        return array.reshape(shape)
    except ValueError as error:  # NumPy multiplies the sizes of an empty array too
        raise unsound(where, f"output {name!r} has the shape {list(shape)}") from error


def text(name: str, content: memoryview | bytes, count: int, *, where: str, exact: bool = True) -> Array:
    """Elements of text out of their bytes, as objects along one axis.

    Args:
        exact: nothing may follow the last element.

    Raises:
        InferenceError: there are fewer bytes than the lengths say, or more.
    """
    if count * 4 > len(content):
        raise unsound(where, f"output {name!r} has {len(content):,} bytes for {count:,} elements of text")
    items: list[bytes] = []
    position = 0
    for _ in range(count):
        start = position + 4
        position = start + int.from_bytes(content[position:start], "little")
        if position > len(content):
            raise unsound(where, f"output {name!r}: the length of a text is larger than the rest of the answer")
        items.append(bytes(content[start:position]))
    if exact and position != len(content):
        raise unsound(where, f"output {name!r} has {len(content) - position:,} bytes behind its last text")
    array = np.empty(count, dtype=object)
    array[:] = items
    return array


def unsound(where: str, found: str) -> InferenceError:
    """An answer that contradicts itself or the protocol."""
    return InferenceError.of(say.ANSWER_UNSOUND, where=where, found=found)
