"""Distances in units in the last place (ULP): the number of steps between neighbouring numbers of a type."""

from __future__ import annotations

import numpy as np

from tritonize.core.arrays import BFLOAT16, Array

Bits = tuple[type[np.signedinteger], type[np.unsignedinteger]]
"""The integer types with the size of a floating type."""
BITS: dict[np.dtype, Bits] = {
    np.dtype(np.float16): (np.int16, np.uint16),
    BFLOAT16: (np.int16, np.uint16),
    np.dtype(np.float32): (np.int32, np.uint32),
    np.dtype(np.float64): (np.int64, np.uint64),
}


def largest_distance(expected: Array, found: Array, bits: Bits) -> int:
    """Return the largest distance in ULP of found's type; expected is rounded to it; -0.0 equals 0.0.

    The bits without the sign bit count the ULPs from zero. So the distance of two values with the same sign is the difference of
    their bits, and that of two values with different signs is the sum of both counts.
    """
    signed, unsigned = bits
    left, right = (side.view(signed) for side in (expected.astype(found.dtype, copy=False), found))
    signs = left ^ right
    if int(signs.min()) >= 0:  # every pair has the same sign: the usual case, half as many passes over the chunk
        return _largest_magnitude(left - right)
    opposite = signs < 0
    count = np.iinfo(signed).max
    across = (left[opposite] & count).view(unsigned) + (right[opposite] & count).view(unsigned)
    same = ~opposite
    return max(int(across.max()), _largest_magnitude(left[same] - right[same]) if same.any() else 0)


def _largest_magnitude(integers: Array) -> int:
    return max(int(integers.max()), -int(integers.min()))
