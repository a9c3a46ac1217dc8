"""Inputs for judging, drawn apart from tritonize's own samples: another generator, other seeds, every sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from corpus.catalogue import MAX_BATCH_SIZE, Entry, Tensor

Arrays = dict[str, NDArray]

DTYPES = {
    "fp32": "float32",
    "fp16": "float16",
    "fp64": "float64",
    "int64": "int64",
    "int32": "int32",
    "uint8": "uint8",
    "bool": "bool",
}
SEED = 977


def batch(entry: Entry, seed: int, sizes: Mapping[str, int]) -> Arrays:
    """One input for every name; the items of a batch differ in sign and in size."""
    generator = np.random.default_rng([SEED, seed])
    return {name: _tensor(generator, tensor, sizes, seed) for name, tensor in entry.inputs.items()}


def _tensor(generator: np.random.Generator, tensor: Tensor, sizes: Mapping[str, int], seed: int) -> NDArray:
    shape = tuple(sizes[size] if isinstance(size, str) else size for size in tensor.shape)
    dtype = np.dtype(DTYPES[tensor.dtype])
    if dtype.kind == "b":
        return np.asarray(generator.integers(0, 2, shape)).astype(dtype)
    if dtype.kind != "f":
        low, high = tensor.range or (0, 9)
        return np.asarray(generator.integers(int(low), int(high), shape, endpoint=True)).astype(dtype)
    if tensor.range is not None:
        return np.asarray(generator.uniform(*tensor.range, shape)).astype(dtype)
    values = generator.standard_normal(shape)
    if values.ndim:
        for item in range(len(values)):  # as they come, negative, larger
            style = (item + seed) % 3
            values[item] = -np.abs(values[item]) if style == 1 else values[item] * (1 + style)
    return np.asarray(values).astype(dtype)


def sizes(entry: Entry, batch_size: int, place: int) -> dict[str, int]:
    """A size for every dynamic axis; `place` 0, 1, 2 takes the smallest, the usual and the largest, 3 something between."""
    chosen = {"batch": batch_size} if entry.batchable else {}
    for name, (low, usual, high) in entry.axes.items():
        chosen[name] = (low, usual, high, (usual + high) // 2)[place]
    return chosen


def cases(entry: Entry) -> Iterator[tuple[int, dict[str, int]]]:
    """Every (seed, sizes) that is judged: batches of 1, 2 and 3, at every place of the other dynamic axes."""
    seed = 0
    for batch_size in range(1, MAX_BATCH_SIZE + 1) if entry.batchable else (1,):
        for place in range(4) if entry.axes else (1,):
            for _ in range(1 if entry.axes or entry.batchable else 3):
                yield seed, sizes(entry, batch_size, place)
                seed += 1
