"""Measure the differences of two arrays, element by element, in one pass over chunks with constant extra memory.

The tolerance gate and the metrics use the same sums, so each output is read once for both.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tritonize.core.arrays import BFLOAT16, Array
from tritonize.quality import ulp as units
from tritonize.quality.least_tolerance import LeastTolerance

CHUNK = 1 << 13
"""Elements at a time: 64 KiB in float64. From 128 KiB on the C library maps and unmaps every temporary, which takes four times
as long as the arithmetic; from 10,000 elements on OpenBLAS also hands each dot product to a second thread."""
RELATIVE_FLOOR = 1e-3
"""Relative differences count where |expected| exceeds this part of its largest magnitude; closer to zero they are meaningless."""

_Wide = NDArray[np.float64]
_LARGEST = float(np.finfo(np.float64).max)
_SAFE = 400
"""Magnitudes up to two to this power have squares, and sums of squares, inside float64."""


def numeric(array: Array) -> bool:
    """Whether the elements can be subtracted in float64: booleans, integers and real floating types."""
    return array.dtype.kind in "biuf" or array.dtype == BFLOAT16


def floating(array: Array) -> bool:
    """Whether the elements have a real floating type."""
    return array.dtype.kind == "f" or array.dtype == BFLOAT16


@dataclass(kw_only=True, slots=True)
class Differences:
    """Sums over the elements of one output array, or of several after `merge`.

    Differences cover the elements that are finite on both sides, in float64. Sums are taken of values times 2^-exponent and of
    their squares; the exponent is 0 unless the squares of float64 values would overflow or underflow.
    """

    elements: int = 0
    finite: int = 0
    """Elements that are finite on both sides."""
    mismatched: int = 0
    """Elements outside |found - expected| <= atol + rtol * |expected|; see `measure`."""
    differing: bool = False
    """Whether any two finite elements differ."""
    nan: list[int] = field(default_factory=lambda: [0, 0])
    """Expected, found."""
    inf: list[int] = field(default_factory=lambda: [0, 0])
    largest: float = 0.0
    """Largest finite magnitude expected."""
    max_abs: float = 0.0
    """Clipped to the largest float64 if the difference of two finite values overflows."""
    max_rel: float | None = None
    max_ulp: int | None = None
    exponent: int = 0
    sum_abs: float = 0.0
    dot: float = 0.0
    square_expected: float = 0.0
    square_found: float = 0.0
    square_difference: float = 0.0
    worst: list[tuple[float, int, float, float]] = field(default_factory=list)
    """Rows of excess over the tolerance, negated flat position, expected, found; the largest excess first."""
    least: LeastTolerance | None = None
    """The smallest tolerances with which every element passes, if `measure` was called with `least`; not merged."""

    @property
    def mean_abs(self) -> float | None:
        """Mean |found - expected|; `None` without elements."""
        return _scaled(self.sum_abs / self.finite, self.exponent) if self.finite else None

    @property
    def rmse(self) -> float | None:
        """Square root of the mean squared difference; `None` without elements."""
        return _scaled(math.sqrt(self.square_difference / self.finite), self.exponent) if self.finite else None

    @property
    def cosine(self) -> float | None:
        """Cosine of the angle between expected and found; `None` if one of them is all zeros."""
        norms = math.sqrt(self.square_expected) * math.sqrt(self.square_found)
        return max(-1.0, min(1.0, self.dot / norms)) if norms else None

    @property
    def snr_db(self) -> float | None:
        """10 log10(sum expected² / sum difference²), in dB; `None` if either sum is zero."""
        if not self.square_expected or not self.square_difference:
            return None
        return 10.0 * (math.log10(self.square_expected) - math.log10(self.square_difference))

    def merge(self, other: Differences) -> None:
        """Add the sums of another output array. The lists of worst elements are not merged: positions refer to one array."""
        exponent, mine, theirs = 0, 1.0, 1.0
        if self.exponent or other.exponent:
            sides = (self, other)
            exponent = max((side.exponent for side in sides if side.finite), default=0)
            mine, theirs = (2.0 ** max(side.exponent - exponent, -1000) if side.finite else 1.0 for side in sides)
        self.exponent = exponent
        self.sum_abs = self.sum_abs * mine + other.sum_abs * theirs
        self.dot = self.dot * mine * mine + other.dot * theirs * theirs
        self.square_expected = self.square_expected * mine * mine + other.square_expected * theirs * theirs
        self.square_found = self.square_found * mine * mine + other.square_found * theirs * theirs
        self.square_difference = self.square_difference * mine * mine + other.square_difference * theirs * theirs
        self.elements += other.elements
        self.finite += other.finite
        self.mismatched += other.mismatched
        self.nan = [self.nan[0] + other.nan[0], self.nan[1] + other.nan[1]]
        self.inf = [self.inf[0] + other.inf[0], self.inf[1] + other.inf[1]]
        self.differing |= other.differing
        self.largest, self.max_abs = max(self.largest, other.largest), max(self.max_abs, other.max_abs)
        if other.max_rel is not None:
            self.max_rel = max(self.max_rel or 0.0, other.max_rel)
        if other.max_ulp is not None:
            self.max_ulp = max(self.max_ulp or 0, other.max_ulp)


def measure(
    expected: Array, found: Array, rtol: float, *, atol: float, worst: int = 0, ulp: bool = True, least: bool = False
) -> Differences:
    """Measure the differences of one output array.

    If both are integers or booleans, elements must be equal, whatever the tolerance. A NaN matches a NaN, and an infinity the same
    infinity; anything else in their places is a mismatch. C-contiguous arrays are not copied.

    Args:
        expected: any numeric array (`numeric`).
        found: an array of the same shape, of any numeric type.
        rtol: relative to |expected|, without a unit.
        atol: in the arrays' own unit.
        worst: how many of the mismatched elements to keep.
        ulp: whether to compute `max_ulp`, which takes a third of the time.
        least: whether to compute the smallest tolerances that pass.
    """
    flat_expected, flat_found = np.ascontiguousarray(expected).reshape(-1), np.ascontiguousarray(found).reshape(-1)
    top = largest(flat_expected)
    pass_ = _Pass(
        sums=Differences(
            elements=flat_expected.size,
            largest=top,
            exponent=_exponent(top, flat_expected, flat_found),
            least=LeastTolerance(rtol=rtol, atol=atol) if least else None,
        ),
        rtol=rtol,
        atol=atol,
        exact=not floating(expected) and not floating(found),
        floor=RELATIVE_FLOOR * top,
        bits=units.BITS.get(found.dtype) if ulp and floating(expected) else None,
        keep=worst,
    )
    with np.errstate(all="ignore"):
        for start in range(0, flat_expected.size, CHUNK):
            pass_.add(start, flat_expected[start : start + CHUNK], flat_found[start : start + CHUNK])
    return pass_.sums


@dataclass(kw_only=True, slots=True)
class _Pass:
    """State of the pass over one output array."""

    sums: Differences
    rtol: float
    atol: float
    exact: bool
    floor: float
    bits: units.Bits | None
    keep: int

    def add(self, start: int, expected_chunk: Array, found_chunk: Array) -> None:
        """Add one chunk; `start` is its flat position."""
        expected, found = expected_chunk.astype(np.float64), found_chunk.astype(np.float64)
        difference = np.subtract(found, expected)
        distance = np.abs(difference)
        top = float(distance.max())
        if math.isfinite(top):  # all elements are finite on both sides: the usual case, no masks needed
            magnitude = np.abs(expected)
            self._sums(expected, found, difference, distance=distance, magnitude=magnitude, top=top)
            self._ulp(expected_chunk, found_chunk, top)
            if self.exact:
                bad = expected_chunk != found_chunk
                self.sums.differing |= bool(bad.any())
            else:
                if self.sums.least:
                    self.sums.least.add(distance, magnitude, top)
                if top <= self.atol:
                    return
                bad = ~(distance <= self.atol + self.rtol * magnitude)
        else:
            bad = self._masked(expected_chunk, found_chunk, expected, found=found, difference=difference)
        count = int(np.count_nonzero(bad))
        self.sums.mismatched += count
        if count and self.exact and self.sums.least:
            self.sums.least.refuse()
        if count and self.keep:
            self._keep_worst(start, np.flatnonzero(bad), expected, found=found)

    def _masked(self, expected_chunk: Array, found_chunk: Array, expected: _Wide, *, found: _Wide, difference: _Wide) -> Array:
        """Add a chunk with NaN or infinite elements, or overflowing differences; return which elements mismatch."""
        finite = np.isfinite(expected) & np.isfinite(found)
        for side, values in enumerate((expected, found)):
            self.sums.nan[side] += int(np.isnan(values).sum())
            self.sums.inf[side] += int(np.isinf(values).sum())
        difference = np.clip(difference, -_LARGEST, _LARGEST)
        distance, magnitude = np.abs(difference), np.abs(expected)
        same = (expected == found) | (np.isnan(expected) & np.isnan(found))
        bad: Array = ~same & ~(finite & (distance <= self.atol + self.rtol * magnitude))
        if finite.any():
            near = distance[finite]
            top = float(near.max())
            self._sums(expected[finite], found[finite], difference[finite], distance=near, magnitude=magnitude[finite], top=top)
            self._ulp(expected_chunk[finite], found_chunk[finite], top)
            if self.sums.least:
                self.sums.least.add(near, magnitude[finite], top)
        if self.sums.least and (bad & ~finite).any():
            self.sums.least.refuse()
        return bad

    def _sums(self, expected: _Wide, found: _Wide, difference: _Wide, *, distance: _Wide, magnitude: _Wide, top: float) -> None:
        sums = self.sums
        sums.finite += expected.size
        sums.max_abs = max(sums.max_abs, top)
        sums.differing |= top > 0
        if sums.exponent:
            down = 2.0**-sums.exponent
            expected, found, difference = expected * down, found * down, difference * down
            sums.sum_abs += float(np.abs(difference).sum())
        else:
            sums.sum_abs += float(distance.sum())
        sums.dot += float(expected @ found)
        sums.square_expected += float(expected @ expected)
        sums.square_found += float(found @ found)
        sums.square_difference += float(difference @ difference)
        far = magnitude > self.floor
        if far.any():
            quotient = float((distance / np.where(far, magnitude, np.inf)).max()) if top else 0.0
            sums.max_rel = max(sums.max_rel or 0.0, min(quotient, _LARGEST))

    def _ulp(self, expected: Array, found: Array, top: float) -> None:
        if self.bits:
            distance = units.largest_distance(expected, found, self.bits) if top else 0
            self.sums.max_ulp = max(self.sums.max_ulp or 0, distance)

    def _keep_worst(self, start: int, places: NDArray[np.intp], expected: _Wide, *, found: _Wide) -> None:
        values, actual = expected[places], found[places]
        excess = np.abs(actual - values) - (self.atol + self.rtol * np.abs(values))
        excess = np.where(np.isfinite(values) & np.isfinite(actual), excess, np.inf)
        if places.size > self.keep:
            least = -np.partition(-excess, self.keep - 1)[self.keep - 1]
            kept = np.concatenate([np.flatnonzero(excess > least), np.flatnonzero(excess == least)[: self.keep]])
            places, values, actual, excess = places[kept], values[kept], actual[kept], excess[kept]
        rows = zip(excess.tolist(), (-(start + places)).tolist(), values.tolist(), actual.tolist(), strict=True)
        self.sums.worst = heapq.nlargest(self.keep, [*self.sums.worst, *rows])


def largest(flat: Array) -> float:
    """Return the largest finite magnitude, computed in the array's own type, chunk by chunk; 0.0 for an empty array."""
    largest = 0.0
    for start in range(0, flat.size, CHUNK):
        chunk = flat[start : start + CHUNK]
        if chunk.dtype.kind != "f" or chunk.dtype.itemsize < 4:
            chunk = chunk.astype(np.float64)
        low, high = float(chunk.min()), float(chunk.max())
        if not math.isfinite(low) or not math.isfinite(high):
            finite = chunk[np.isfinite(chunk)]
            low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        largest = max(largest, -low, high)
    return largest


def _exponent(top: float, expected: Array, found: Array) -> int:
    """Return the exponent of the largest magnitude on either side if its square would leave float64's range; else 0."""
    if expected.dtype.itemsize < 8 and found.dtype.itemsize < 8:
        return 0
    top = max(top, largest(found))
    exponent = math.frexp(top)[1]
    return max(exponent, -1000) if top and abs(exponent) > _SAFE else 0  # 2^1000 is a finite float64


def _scaled(value: float, exponent: int) -> float:
    """Value times 2^exponent, at most the largest float64."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return _LARGEST
