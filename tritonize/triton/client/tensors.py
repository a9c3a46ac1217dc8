"""Encode tensors for the KServe v2 protocol and decode them; decoding checks datatype and shape against the bytes.

A tensor is its elements in C order and little endian. Text is one element after the other, each preceded by its length in four
bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tritonize.core import arrays, dtypes, texts
from tritonize.core.arrays import Array
from tritonize.core.errors import InferenceError, UsageError
from tritonize.core.messages import client as messages

_MOST_AXES = 32
"""The limit of NumPy before version 2."""


def sendable(name: str, array: Array) -> Array:
    """The array with an element type that Triton supports; text of any kind as objects of `bytes`. Raises UsageError."""
    array = np.asarray(array)
    if array.dtype.kind in "OUS":
        array = texts.encoded(array)
    try:
        arrays.element_type(array.dtype)
    except KeyError:
        raise UsageError.of(messages.ELEMENT_TYPE, where=name, found=str(array.dtype)) from None
    return array


def datatype(array: Array) -> str:
    """The protocol's name of an array's element type."""
    return arrays.element_type(array.dtype).client


def raw_bytes(array: Array) -> Array:
    """The array to send: the array itself, or for text the bytes of all elements, each preceded by its length."""
    if array.dtype != object:
        return array.view(np.uint16) if array.dtype == arrays.BFLOAT16 else array
    parts = []
    for data in texts.encoded(array).reshape(-1):
        parts += [len(data).to_bytes(4, "little"), data]
    return np.frombuffer(b"".join(parts), np.uint8)


def piece(array: Array) -> memoryview:
    """The bytes of a sendable array, without a copy if it is in C order."""
    return np.ascontiguousarray(raw_bytes(array)).reshape(-1).view(np.uint8).data


def element_type(name: str, kind: object, where: str) -> dtypes.DType:
    """The element type that a response names. Raises InferenceError."""
    try:
        return dtypes.by_client(str(kind))
    except KeyError:
        raise invalid_response(where, f"output {name!r} has the unknown datatype {str(kind)[:40]!r}") from None


def sizes(name: str, shape: Sequence[object], where: str) -> tuple[int, ...]:
    """The validated shape of an output in a response. Raises InferenceError."""
    sizes = tuple(axis for axis in shape if isinstance(axis, int) and type(axis) is int and 0 <= axis < 2**62)
    if len(shape) > _MOST_AXES or len(sizes) < len(shape):
        raise invalid_response(where, f"output {name!r} has the shape {str(list(shape))[:80]}")
    return sizes


def size(name: str, shape: Sequence[object], where: str) -> int:
    """Number of elements of an output in a response. Raises InferenceError."""
    return math.prod(sizes(name, shape, where))


def decode(name: str, kind: object, shape: Sequence[object], *, content: memoryview | bytes, where: str) -> Array:
    """Decode an output of a response. The array is read-only and shares the memory of `content`.

    Args:
        name: of the output.
        kind: its datatype in the response.
        shape: its shape in the response.
        content: exactly its bytes.
        where: the server, for errors.

    Raises:
        InferenceError: datatype, shape and number of bytes are inconsistent.
    """
    dtype, axes = element_type(name, kind, where), sizes(name, shape, where)
    count = math.prod(axes)
    if dtype.name == "string":
        return _reshaped(name, text(name, content, count, where=where), axes, where=where)
    if count * dtype.itemsize != len(content):
        raise invalid_response(where, f"output {name!r} of {dtype.client} {list(shape)} has {len(content):,} bytes")
    array = np.frombuffer(content, arrays.numpy_dtype(dtype.name)) if count else np.empty(0, arrays.numpy_dtype(dtype.name))
    return _reshaped(name, array, axes, where=where)


def _reshaped(name: str, array: Array, shape: tuple[int, ...], *, where: str) -> Array:
    try:
        return array.reshape(shape)
    except ValueError as error:  # NumPy checks the product of the sizes even if one of them is 0
        raise invalid_response(where, f"output {name!r} has the shape {list(shape)}") from error


def text(name: str, content: memoryview | bytes, count: int, *, where: str, exact: bool = True) -> Array:
    """Decode text elements into a one-dimensional object array of `bytes`.

    Args:
        exact: fail if bytes follow the last element.

    Raises:
        InferenceError: the lengths of the elements and the number of bytes are inconsistent.
    """
    if count * 4 > len(content):
        raise invalid_response(where, f"output {name!r} has {len(content):,} bytes for {count:,} elements of text")
    items: list[bytes] = []
    position = 0
    for _ in range(count):
        start = position + 4
        position = start + int.from_bytes(content[position:start], "little")
        if position > len(content):
            raise invalid_response(where, f"output {name!r}: the length of an element is larger than the rest of the response")
        items.append(bytes(content[start:position]))
    if exact and position != len(content):
        raise invalid_response(where, f"output {name!r} has {len(content) - position:,} bytes after its last element")
    array = np.empty(count, dtype=object)
    array[:] = items
    return array


def invalid_response(where: str, found: str) -> InferenceError:
    """The error for a response that contradicts itself or the protocol."""
    return InferenceError.of(messages.RESPONSE_INVALID, where=where, found=found)
