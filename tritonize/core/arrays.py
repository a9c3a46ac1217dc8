"""Samples and expected outputs as memory-mapped `.npy` files, one item at a time.

Longer than 300 lines: the one form in which arrays are stored, and everything that depends on it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import math
import shutil
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any  # Any: the element type of an array is known at run time alone

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tritonize.core import dtypes, texts
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec

Array = NDArray[Any]
Arrays = dict[str, Array]

BFLOAT16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)

SMALL = 1 << 16
"""Files below this size in bytes are read instead of memory-mapped."""
_NPY_1 = b"\x93NUMPY\x01\x00"


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a `dtypes` name. Raises KeyError."""
    dtype = dtypes.by_name(name)
    return BFLOAT16 if dtype.name == "bf16" else np.dtype(dtype.numpy)


def dtype_name(array: Array) -> str:
    """The `dtypes` name of an array's element type, or NumPy's name if the table does not list it."""
    try:
        return element_type(array.dtype).name
    except KeyError:
        return str(array.dtype)


@functools.lru_cache(maxsize=256)  # NumPy takes 4 µs for the name of a dtype
def element_type(dtype: np.dtype[Any]) -> dtypes.DType:
    """The entry of `dtypes` for a NumPy dtype. Raises KeyError."""
    return dtypes.by_numpy(str(dtype))


def save(files: TensorFiles, index: int, arrays: Mapping[str, Array]) -> None:
    """Write one item: one array per tensor that the item has, in the set's types. Raises KeyError, TypeError, OSError."""
    for position, tensor in present(files, index):
        array = np.ascontiguousarray(arrays[tensor.name]).reshape(np.shape(arrays[tensor.name]))
        if array.dtype != numpy_dtype(tensor.dtype):
            raise TypeError(f"{tensor.name}: expected {tensor.dtype}, found {array.dtype}")
        path = files.path(index, position)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(bits(array), path)


def present(files: TensorFiles, index: int) -> list[tuple[int, TensorSpec]]:
    """The tensors that an item has, with their positions."""
    absent = files.absent.get(index, ())
    return [(position, tensor) for position, tensor in enumerate(files.tensors) if tensor.name not in absent]


def _write(array: Array, path: Path) -> None:
    """`numpy.save` with an OSError that carries an errno when the disk is full; NumPy's own error has none."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.reshape(-1).view(np.uint8).data)


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write named arrays as one `.npz` file, bfloat16 as float32. Raises OSError.

    It replaces `np.savez`, which does not accept an array named `file`.
    """
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                wide = array.astype(np.float32) if array.dtype == BFLOAT16 else bits(array)
                np.lib.format.write_array(member, np.asanyarray(wide), allow_pickle=False)


def load(files: TensorFiles, index: int) -> Arrays:
    """One item, read-only, by tensor name; large arrays are memory-mapped."""
    arrays: Arrays = {}
    pack, row = files.packed[index] if files.packed else (index, None)
    for position, tensor in present(files, index):
        path = f"{files.directory}/{pack}/{position}.npy"  # `TensorFiles.path` takes longer than reading a small file
        array = _item(path) if row is None else _pack(path)[row]
        arrays[tensor.name] = array.view(BFLOAT16) if tensor.dtype == "bf16" else array
        if tensor.dtype == "string":
            arrays[tensor.name] = texts.decoded(array)
    return arrays


@functools.lru_cache(maxsize=64)
def _pack(path: str) -> Array:
    """A memory-mapped file of many items. It is cached, since packs are written once, into folders that are never reused."""
    mapped: Array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    return mapped


def _item(path: str) -> Array:
    """A file of one item. Small files are read, since mapping them costs several times as much."""
    with open(path, "rb") as file:  # noqa: PTH123 - see `load`
        content = file.read(SMALL)
    if len(content) < SMALL and content[:8] == _NPY_1:
        end = 10 + int.from_bytes(content[8:10], "little")
        shape, in_columns, dtype = _header(content[:end])
        if not in_columns and not dtype.hasobject:
            return np.frombuffer(content, dtype, math.prod(shape), end).reshape(shape)
    mapped: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


@functools.lru_cache(maxsize=1024)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type in the head of a `.npy` file. Raises ValueError."""
    return np.lib.format.read_array_header_1_0(io.BytesIO(head[8:]))


def largest(files: TensorFiles) -> int:
    """Upper bound on the size of the largest item in bytes, from the file sizes. Raises OSError."""
    rows = Counter(pack for pack, _ in files.packed) if files.packed else {}
    sizes: dict[int, int] = {}
    for index in range(files.count):
        pack = files.packed[index][0] if files.packed else index
        if pack not in sizes:
            sizes[pack] = sum(files.path(index, position).stat().st_size for position, _ in present(files, index)) // rows.get(
                pack, 1
            )
    return max(sizes.values(), default=0)


def bits(array: Array) -> Array:
    """The array as it is stored in a file: bfloat16, which NumPy cannot read back, as uint16; text as fixed-width strings."""
    if array.dtype == object:
        return texts.stored(array)
    return array.view(np.uint16) if array.dtype == BFLOAT16 else array


def empty_like(array: Array) -> Array:
    """An array of zeros, or of empty text, of the same shape and type."""
    return np.full_like(array, "") if array.dtype == object else np.zeros_like(array)


def digest(found: Arrays) -> str:
    """SHA-256 of arrays with their names, types, shapes and bits."""
    whole = hashlib.sha256()
    for name in sorted(found):
        array = found[name]
        whole.update(f"{name} {array.dtype} {array.shape}".encode())
        whole.update(repr(array.tolist()).encode() if array.dtype == object else np.ascontiguousarray(array).view(np.uint8).data)
    return whole.hexdigest()


def release() -> None:
    """Close the cached packs. Call it before their folder is removed."""
    _pack.cache_clear()


def drop(files: TensorFiles, indices: Collection[int]) -> TensorFiles:
    """Remove items and their files; later items are renumbered."""
    kept = [index for index in range(files.count) if index not in indices]
    for index in indices:
        shutil.rmtree(files.directory / str(index))
    for position, index in enumerate(kept):
        if position != index:
            (files.directory / str(index)).rename(files.directory / str(position))
    absent = {kept.index(index): names for index, names in files.absent.items() if index in kept}
    return replace(files, count=len(kept), absent=absent)


def without_edges(samples: SampleSet, dropped: Collection[str]) -> SampleSet:
    """The samples without some edge cases, by name; the files of those behind them move up."""
    gone = [index for index, name in samples.edges.items() if name in dropped]
    return samples.only([index for index in range(samples.files.count) if index not in gone], drop(samples.files, gone))


def select(files: TensorFiles, names: Collection[str]) -> TensorFiles:
    """Keep only the named tensors; the files of the others are removed, and later ones are renumbered."""
    kept = [position for position, tensor in enumerate(files.tensors) if tensor.name in names]
    for index in range(files.count):
        for position in range(len(files.tensors)):
            if position in kept:
                files.path(index, position).rename(files.path(index, kept.index(position)))
            else:
                files.path(index, position).unlink()
    return replace(files, tensors=tuple(files.tensors[position] for position in kept))


def stack(files: TensorFiles, indices: Sequence[int]) -> Arrays:
    """Concatenate items along the first axis into a batch. A single item is returned unchanged."""
    if len(indices) == 1:
        return load(files, indices[0])
    items = [load(files, index) for index in indices]
    return {tensor.name: np.concatenate([item[tensor.name] for item in items], axis=0) for tensor in files.tensors}


def batches(samples: SampleSet, size: int) -> Iterator[tuple[int, ...]]:
    """All samples in batches of `size`, grouped by shape. The last batch of a group is filled up with the group's first samples.

    An edge case is always alone and comes with the batches of size 1. Without batching, each sample is alone.
    """
    if not samples.batched:
        yield from ((index,) for index in range(samples.files.count))
        return
    if size == 1:
        yield from ((index,) for index in samples.edges)
    for members in groups(samples):
        for start in range(0, len(members), size):
            yield tuple(members[(start + offset) % len(members)] for offset in range(size))


def all_batches(samples: SampleSet, max_batch_size: int) -> list[tuple[int, ...]]:
    """Every sample at every batch size that a model is proven at."""
    return [batch for size in batch_sizes(max_batch_size) for batch in batches(samples, size)]


def groups(samples: SampleSet) -> list[list[int]]:
    """The drawn samples grouped by shape, without edge cases: only samples of one shape fit in one batch."""
    by_shape: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    packs: dict[int, tuple[tuple[int, ...], ...]] = {}  # the items of a pack are rows of one array, so they have one shape
    for index in range(samples.drawn):
        pack = samples.files.packed[index][0] if samples.files.packed else -1 - index
        if pack not in packs:
            packs[pack] = tuple(array.shape for array in load(samples.files, index).values())
        by_shape.setdefault(packs[pack], []).append(index)
    return list(by_shape.values())


def first_batches(samples: SampleSet, size: int) -> Iterator[tuple[int, ...]]:
    """One batch of `size` for every shape."""
    for members in groups(samples) if samples.batched else ():
        yield tuple(members[offset % len(members)] for offset in range(size))


def batch_sizes(max_batch_size: int) -> tuple[int, ...]:
    """The batch sizes to compare a model at: 1, 2 and its maximum; only 0 (no batch) for a model without batching."""
    return tuple(sorted({1, min(2, max_batch_size), max_batch_size})) if max_batch_size else (0,)


def spec_of(name: str, array: Array) -> TensorSpec:
    """The fixed-shape spec of an array."""
    return TensorSpec(name=name, dtype=dtype_name(array), shape=array.shape)
