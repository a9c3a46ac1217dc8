"""Recognize differences that no rounding makes: the same values in another order, or all values times a number."""

from __future__ import annotations

import numpy as np

from tritonize.core.arrays import Array
from tritonize.quality.differences import Differences, floating

EXAMINED = 1 << 18
"""Largest number of elements that are sorted, in whole items along the first axis; it bounds memory to 4 MiB."""
_FEW = 8
"""With fewer elements, a factor may fit by chance."""
_REST, _SAME = 1e-6, 1e-3
"""A factor explains a difference if at most this share of found's sum of squares is left, and if it is this far from 1."""
_FAR, _LEFT = 0.05, 0.01
"""Values were moved if one of them is this far from its place, relative to their standard deviation, and sorting leaves at most
this share of that distance."""


def factor(sums: Differences) -> float | None:
    """Return c if found = c * expected up to rounding, and c is not 1; otherwise `None`."""
    if sums.finite != sums.elements or sums.finite < _FEW or not sums.square_expected or not sums.square_found:
        return None
    number = sums.dot / sums.square_expected
    rest = sums.square_found - number * sums.dot
    return number if abs(rest) <= _REST * sums.square_found and abs(number - 1) > _SAME else None


def reordered(expected: Array, found: Array, rtol: float, *, atol: float) -> bool:
    """Whether found has expected's values in another order, by the tolerance. Larger arrays are examined in part.

    Args:
        expected: a numeric array.
        found: an array of the same shape that does not match expected.
        rtol: relative to |expected|.
        atol: in the arrays' own unit.
    """
    if not expected.ndim or expected.size < 2:
        return False
    items = len(expected) if expected.size <= EXAMINED else EXAMINED * len(expected) // expected.size
    if not items:
        return False
    if not floating(expected):
        return bool((np.sort(expected[:items], axis=None) == np.sort(found[:items], axis=None)).all())
    one, other = (side[:items].astype(np.float64).reshape(-1) for side in (expected, found))
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return False
    with np.errstate(all="ignore"):
        moved, spread = float(np.abs(other - one).max()), float(one.std())
        one.sort()
        other.sort()
        left = np.abs(other - one)
        close = bool((left <= atol + rtol * np.abs(one)).all())
    # Sorting also brings many values with small errors close to each other, though not the largest of them.
    return close and moved > _FAR * spread and float(left.max()) <= _LEFT * moved
