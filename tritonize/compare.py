"""Expected against found: metrics and the tolerance gate, in one pass with constant extra memory.

The rule is NumPy's and torch.testing's: |found - expected| <= atol + rtol * |expected|, for every element. Integers and
booleans must be equal. A NaN is answered by a NaN in the same place, an infinity by the same infinity; anything else is a
mismatch. A missing, extra, differently shaped or differently typed output fails.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonize import dtypes
from tritonize.arrays import Array, dtype_name
from tritonize.artifacts import Element, TensorCheck
from tritonize.spec import Tolerance

CHUNK = 1 << 15
"""Elements compared at a time: 256 KiB in float64, so that all temporaries stay in a processor's cache."""
WORST = 5
"""Elements kept in the list of the worst."""
RELATIVE_FLOOR = 1e-3
"""A relative difference is taken where |expected| exceeds this part of its largest magnitude; nearer to zero it means nothing."""

_Tolerances = Mapping[str, Tolerance]


def compare(expected: Mapping[str, Array], found: Mapping[str, Array], tolerances: _Tolerances) -> tuple[TensorCheck, ...]:
    """Every expected output, and every one that was not expected.

    Args:
        expected: output name to array.
        found: output name to array, of any shape and type.
        tolerances: output name to tolerance, in the output's own unit; the default where a name is absent.
    """
    checks = []
    for name, array in expected.items():
        tolerance = tolerances.get(name, Tolerance())
        checks.append(compare_tensor(name, array, found[name], tolerance) if name in found else _missing(name, array, tolerance))
    checks += [_extra(name, array) for name, array in found.items() if name not in expected]
    return tuple(checks)


def compare_tensor(name: str, expected: Array, found: Array, tolerance: Tolerance) -> TensorCheck:
    """One output. Shapes and types are compared first; they must be equal."""
    expected_type, found_type = dtype_name(expected), dtype_name(found)
    exact = not _is_floating(expected_type)
    rtol, atol = (0.0, 0.0) if exact else (tolerance.rtol, tolerance.atol)
    reason = None
    if expected.shape != found.shape:
        reason = f"shape {list(found.shape)} instead of {list(expected.shape)}"
    elif expected_type != found_type:
        reason = f"type {found_type} instead of {expected_type}"
    if reason or expected.dtype == object:
        reason = reason or _bytes_reason(expected, found)
        return TensorCheck(
            name=name,
            passed=reason is None,
            reason=reason,
            expected_shape=expected.shape,
            found_shape=found.shape,
            expected_dtype=expected_type,
            found_dtype=found_type,
            rtol=rtol,
            atol=atol,
            elements=expected.size,
        )
    totals = _Totals(_largest(expected), rtol, atol, exact=exact)
    flat_expected, flat_found = expected.reshape(-1), found.reshape(-1)
    for start in range(0, expected.size, CHUNK):
        totals.add(start, flat_expected[start : start + CHUNK], flat_found[start : start + CHUNK])
    return totals.check(name, expected, found)


def _is_floating(name: str) -> bool:
    try:
        return dtypes.by_name(name).floating
    except KeyError:
        return False


def _bytes_reason(expected: Array, found: Array) -> str | None:
    differing = int(np.count_nonzero(expected != found))
    return f"{differing} of {expected.size} strings differ" if differing else None


def _missing(name: str, expected: Array, tolerance: Tolerance) -> TensorCheck:
    return TensorCheck(
        name=name,
        passed=False,
        reason="the output is missing",
        expected_shape=expected.shape,
        found_shape=None,
        expected_dtype=dtype_name(expected),
        found_dtype=None,
        rtol=tolerance.rtol,
        atol=tolerance.atol,
        elements=expected.size,
    )


def _extra(name: str, found: Array) -> TensorCheck:
    return TensorCheck(
        name=name,
        passed=False,
        reason="an output that was not expected",
        expected_shape=None,
        found_shape=found.shape,
        expected_dtype=None,
        found_dtype=dtype_name(found),
        rtol=0.0,
        atol=0.0,
    )


def _largest(array: Array) -> float:
    """The largest finite magnitude, chunk by chunk; 0.0 for an empty array."""
    largest = 0.0
    flat = array.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        chunk = np.abs(_wide(flat[start : start + CHUNK]))
        top = float(chunk.max())
        largest = max(largest, top if np.isfinite(top) else float(chunk[np.isfinite(chunk)].max(initial=0.0)))
    return largest


def _wide(chunk: Array) -> NDArray[np.float64]:
    return chunk.astype(np.float64)


class _Totals:
    """Sums over the chunks of one output."""

    def __init__(self, largest: float, rtol: float, atol: float, *, exact: bool) -> None:
        self.rtol, self.atol, self.exact = rtol, atol, exact
        self.largest = largest
        self.floor = RELATIVE_FLOOR * largest
        self.scale = largest or 1.0  # keeps the sums of squares inside float64 for huge values
        self.nan, self.inf = [0, 0], [0, 0]
        self.max_abs = self.max_rel = self.sum_abs = 0.0
        self.dot = self.square_expected = self.square_found = 0.0
        self.finite = self.relative = self.mismatched = 0
        self.worst: list[tuple[float, int, float, float]] = []

    def add(self, start: int, expected_chunk: Array, found_chunk: Array) -> None:
        """One chunk; `start` is its flat position."""
        expected, found = _wide(expected_chunk), _wide(found_chunk)
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.abs(found - expected)
            magnitude = np.abs(expected)
            excess = difference - (self.atol + self.rtol * magnitude)
        if np.isfinite(difference.sum()):  # then every element is, on both sides: the usual case, without masks
            bad = expected_chunk != found_chunk if self.exact else excess > 0
            self._sums(expected, found, difference, magnitude)
        else:
            finite = np.isfinite(expected) & np.isfinite(found)
            for side, values in enumerate((expected, found)):
                self.nan[side] += int(np.isnan(values).sum())
                self.inf[side] += int(np.isinf(values).sum())
            same = (expected_chunk == found_chunk) | (np.isnan(expected) & np.isnan(found))
            bad = ~same & ~(finite & (excess <= 0))
            excess = np.where(finite, excess, np.inf)
            self._sums(expected[finite], found[finite], difference[finite], magnitude[finite])
        self.mismatched += int(np.count_nonzero(bad))
        if bad.any():
            self._keep_worst(start, np.flatnonzero(bad), excess, expected, found)

    def _sums(
        self,
        expected: NDArray[np.float64],
        found: NDArray[np.float64],
        difference: NDArray[np.float64],
        magnitude: NDArray[np.float64],
    ) -> None:
        if not expected.size:
            return
        self.finite += expected.size
        self.max_abs = max(self.max_abs, float(difference.max()))
        self.sum_abs += float(difference.sum())
        far = magnitude > self.floor
        if far.any():
            self.relative += int(np.count_nonzero(far))
            quotients = np.divide(difference, magnitude, out=np.zeros_like(difference), where=far)
            self.max_rel = max(self.max_rel, float(quotients.max()))
        expected, found = expected / self.scale, found / self.scale
        self.dot += float(expected @ found)
        self.square_expected += float(expected @ expected)
        self.square_found += float(found @ found)

    def _keep_worst(
        self,
        start: int,
        places: NDArray[np.intp],
        excess: NDArray[np.float64],
        expected: NDArray[np.float64],
        found: NDArray[np.float64],
    ) -> None:
        if places.size > WORST:
            places = places[np.argpartition(-excess[places], WORST)[:WORST]]
        rows = [(float(excess[place]), -(start + int(place)), float(expected[place]), float(found[place])) for place in places]
        self.worst = heapq.nlargest(WORST, self.worst + rows)

    def check(self, name: str, expected: Array, found: Array) -> TensorCheck:
        """The finished comparison."""
        norms = math.sqrt(self.square_expected) * math.sqrt(self.square_found)
        return TensorCheck(
            name=name,
            passed=self.mismatched == 0,
            reason=self._reason(expected.size) if self.mismatched else None,
            expected_shape=expected.shape,
            found_shape=found.shape,
            expected_dtype=dtype_name(expected),
            found_dtype=dtype_name(found),
            rtol=self.rtol,
            atol=self.atol,
            expected_nan=self.nan[0],
            found_nan=self.nan[1],
            expected_inf=self.inf[0],
            found_inf=self.inf[1],
            max_abs=self.max_abs if self.finite else None,
            mean_abs=self.sum_abs / self.finite if self.finite else None,
            max_rel=self.max_rel if self.relative else None,
            cosine=self.dot / norms if norms else None,
            largest=self.largest if self.finite else None,
            elements=expected.size,
            mismatched=self.mismatched,
            worst=tuple(_element(row, expected.shape) for row in self.worst),
        )

    def _reason(self, elements: int) -> str:
        rule = "differ" if self.exact else f"are outside rtol {self.rtol:g}, atol {self.atol:g}"
        text = f"{self.mismatched} of {elements} elements {rule}"
        if self.nan[0] != self.nan[1]:
            text += f"; {self.nan[1]} NaN instead of {self.nan[0]}"
        if self.inf[0] != self.inf[1]:
            text += f"; {self.inf[1]} infinite instead of {self.inf[0]}"
        return text


def _element(row: tuple[float, int, float, float], shape: tuple[int, ...]) -> Element:
    index: Any = np.unravel_index(-row[1], shape) if shape else ()
    return Element(index=tuple(int(place) for place in index), expected=row[2], found=row[3])
