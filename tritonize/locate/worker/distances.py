"""Distance between two arrays, in one pass with constant extra memory; inside a worker."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tritonize.core.arrays import Array
from tritonize.core.error_location import FAR

CHUNK = 1 << 13
"""Elements compared at a time: 64 KiB in float64, small enough that malloc does not map and unmap them each time."""


class Distance(NamedTuple):
    """A relative distance, and the reason if it is `FAR`."""

    value: float
    reason: str | None


def distance(found: Array, expected: Array, scale: float) -> Distance:
    """The largest |found - expected| divided by `scale`, and the reason if the distance is `FAR`.

    Equal values and NaNs at the same position have distance 0, whatever the scale.
    """
    if found.shape != expected.shape:
        return Distance(FAR, f"shape {list(found.shape)} instead of {list(expected.shape)}")
    furthest = 0.0
    one, other = found.reshape(-1), expected.reshape(-1)
    for start in range(0, one.size, CHUNK):
        chunk, reference = one[start : start + CHUNK], other[start : start + CHUNK]
        if np.array_equal(chunk, reference):  # most nodes produce equal bits, and this check is much faster
            continue
        first, second = chunk.astype(np.float64), reference.astype(np.float64)
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        finite = np.isfinite(first) & np.isfinite(second)
        if not np.all(same | finite):
            place = int(np.flatnonzero(~(same | finite))[0])
            return Distance(FAR, f"{first[place]:.6g} where {second[place]:.6g} is expected")
        if not np.all(same):
            furthest = max(furthest, float(np.max(np.abs(first[~same] - second[~same]))))
    if not furthest:
        return Distance(0.0, None)
    if not scale:
        return Distance(FAR, f"{furthest:.3g} where only zeros are expected")
    return Distance(min(furthest / scale, FAR), None)


def largest(array: Array) -> float:
    """The largest finite magnitude."""
    largest, flat = 0.0, array.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        chunk = np.abs(flat[start : start + CHUNK].astype(np.float64))
        finite = chunk[np.isfinite(chunk)]
        largest = max(largest, float(finite.max())) if finite.size else largest
    return largest
