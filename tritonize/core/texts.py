"""Text in arrays: `str` here, bytes in a server.

Bytes that are not UTF-8 are surrogates in `str`, as in Python's own `errors="surrogateescape"`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any  # Any: the element type of an array is known at run time alone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_AFTER_NUL = "\ud800"
"""Ends a stored text that ends with NUL, which NumPy would remove as padding. No text that stands for bytes has this character."""


def is_bytes(text: str) -> bool:
    """Whether a text stands for bytes: it has no other surrogates than those of bytes that are not UTF-8."""
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def is_utf8(text: str) -> bool:
    """Whether a text stands for bytes that are UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def decoded(array: Array) -> Array:
    """A text array of any type as an object array of `str`; one of fixed width is taken as a file holds it, see `stored`."""
    if array.dtype.kind == "U":
        return _each(array, lambda item: str(item).removesuffix(_AFTER_NUL))
    return _each(array, lambda item: item.decode(errors="surrogateescape") if isinstance(item, bytes) else str(item))


def encoded(array: Array) -> Array:
    """A text array as an object array of `bytes`, as a server gets it. Raises UnicodeEncodeError for a text that is no bytes."""
    return _each(array, lambda item: item if isinstance(item, bytes) else str(item).encode(errors="surrogateescape"))


def stored(array: Array) -> Array:
    """A text array as a `.npy` file holds it: in elements of the fixed width of the longest one."""
    ends = ("\0", _AFTER_NUL)
    return _each(decoded(array), lambda item: item + _AFTER_NUL if item.endswith(ends) else item).astype("U")


def _each(array: Array, change: Callable[[Any], object]) -> Array:
    import numpy as np  # a spec is checked without it

    changed = np.empty(array.size, object)
    changed[:] = [change(item) for item in array.reshape(-1)]
    return changed.reshape(array.shape)
