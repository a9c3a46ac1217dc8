"""Check the headers of `.npy` files against the file sizes, before memory of the stated size is allocated or read."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO, Any, NamedTuple  # Any: the element type of an array is known at run time alone

import numpy as np

from tritonize.core import arrays, bounded_files
from tritonize.core.artifacts import TensorSpec

Head = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and element type."""
_MOST = 2**62
HEAD_BYTES = 128
"""Size of the header that NumPy writes for an array of few axes."""


class PythonObjectsError(ValueError):
    """A file's elements are Python objects, which only unpickling could read."""


def require_sound(path: Path, tensor: TensorSpec, *, items: int | None = None) -> None:
    """Check a file's header, size, element type and number of axes.

    Args:
        path: the file.
        tensor: the required element type and number of axes.
        items: the required number of items of a packed file; `None` for a file with one item.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not an .npy file, its size contradicts its header, or its type or number of axes differs.
    """
    shape, dtype = require_whole(path)
    wanted = arrays.bits(np.empty(0, arrays.numpy_dtype(tensor.dtype))).dtype
    axes = tensor.shape if items is None else (items, *tensor.shape)
    same = dtype.kind == "U" if wanted.kind == "U" else dtype == wanted  # the width of a text type depends on the longest element
    if not same or len(shape) != len(axes) or (items is not None and shape[0] != items):
        raise ValueError(f"{dtype} {list(shape)} instead of {wanted} {list(axes)}")


def require_whole(path: Path) -> Head:
    """The header of a file whose size matches it. Raises OSError, ValueError."""
    with bounded_files.opened(path) as file:
        (shape, dtype), start = read(file)
        size = os.fstat(file.fileno()).st_size
    if size != start + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{size:,} bytes do not hold {dtype} {list(shape)}")
    return shape, dtype


class HeadRead(NamedTuple):
    """The header of an open file, and the offset of its data in bytes."""

    head: Head
    start: int


def read(file: IO[bytes]) -> HeadRead:
    """Read the header of a file opened at its start. Raises OSError, ValueError."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the .npy format")
        head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = head(file)
    except (EOFError, SyntaxError, RecursionError, MemoryError, TypeError, OverflowError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    if dtype.hasobject:
        raise PythonObjectsError("it holds Python objects")
    if len(shape) > 32 or not all(0 <= size < _MOST for size in shape):
        raise ValueError(f"the shape {str(list(shape))[:80]}")
    return HeadRead((tuple(shape), dtype), file.tell())
