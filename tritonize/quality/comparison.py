"""Compare expected and found outputs: metrics and the tolerance gate, in one pass with constant extra memory.

The rule is NumPy's and torch.testing's: |found - expected| <= atol + rtol * |expected|, for every element. Integers and
booleans must be equal. A NaN matches a NaN in the same place, and an infinity the same infinity; anything else is a mismatch. A
missing, extra, differently shaped or differently typed output fails.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tritonize.core import dtypes, texts
from tritonize.core.arrays import Array, dtype_name
from tritonize.core.reports import Element, TensorCheck
from tritonize.quality import difference_pattern
from tritonize.quality.differences import Differences, measure
from tritonize.spec.schema import Tolerance

WORST = 5
"""Number of worst elements that a check lists."""

_LONGEST = 40
"""Characters of a text in a reason."""
_BEFORE = 10
"""Characters of a long text in a reason before the first one that differs."""

_Tolerances = Mapping[str, Tolerance]


def compare(expected: Mapping[str, Array], found: Mapping[str, Array], tolerances: _Tolerances) -> tuple[TensorCheck, ...]:
    """Compare every expected output, and report every unexpected one.

    Args:
        expected: output name to array.
        found: output name to array, of any shape and type.
        tolerances: output name to tolerance, in the output's own unit; absent names get the default tolerance.
    """
    checks = []
    for name, array in expected.items():
        tolerance = tolerances.get(name, Tolerance())
        if name not in found:
            checks.append(_missing(name, array, tolerance))
            continue
        checks.append(compare_tensor(name, array, found[name], tolerance=tolerance))
    checks += [_extra(name, array) for name, array in found.items() if name not in expected]
    return tuple(checks)


def compare_tensor(name: str, expected: Array, found: Array, *, tolerance: Tolerance) -> TensorCheck:
    """Compare one output. Shapes and types are compared first; they must be equal."""
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
            least_atol=None if reason else 0.0,
            least_rtol=None if reason else 0.0,
        )
    differences = measure(expected, found, rtol, atol=atol, worst=WORST, ulp=False, least=True)
    return _check(name, expected, found, rtol=rtol, atol=atol, sums=differences)


def _is_floating(name: str) -> bool:
    try:
        return dtypes.by_name(name).floating
    except KeyError:
        return False


def _bytes_reason(expected: Array, found: Array) -> str | None:
    differing = np.argwhere(np.asarray(texts.decoded(expected) != texts.decoded(found)))  # a server returns bytes
    if not len(differing):
        return None
    place = tuple(int(each) for each in differing[0])
    one, other = (texts.decoded(array)[place] for array in (expected, found))
    start = 0 if max(len(one), len(other)) <= _LONGEST else max(0, _alike(one, other) - _BEFORE)
    shown, instead = (repr(each[start : start + _LONGEST]) for each in (other, one))
    where = f"{list(place)}, after its first {start} characters" if start else f"{list(place)}"
    return f"{len(differing)} of {expected.size} strings differ; the first one, at {where}, is {shown} instead of {instead}"


def _alike(one: str, other: str) -> int:
    """The number of characters that two different texts start with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))


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
        reason="unexpected output",
        expected_shape=None,
        found_shape=found.shape,
        expected_dtype=None,
        found_dtype=dtype_name(found),
        rtol=0.0,
        atol=0.0,
    )


def _check(name: str, expected: Array, found: Array, *, rtol: float, atol: float, sums: Differences) -> TensorCheck:
    least = sums.least
    factor = difference_pattern.factor(sums) if sums.mismatched else None
    reordered = sums.mismatched > 1 and difference_pattern.reordered(expected, found, rtol, atol=atol)
    return TensorCheck(
        name=name,
        passed=sums.mismatched == 0,
        reason=_reason(sums, rtol, atol, exact=not _is_floating(dtype_name(expected))) if sums.mismatched else None,
        expected_shape=expected.shape,
        found_shape=found.shape,
        expected_dtype=dtype_name(expected),
        found_dtype=dtype_name(found),
        rtol=rtol,
        atol=atol,
        expected_nan=sums.nan[0],
        found_nan=sums.nan[1],
        expected_inf=sums.inf[0],
        found_inf=sums.inf[1],
        max_abs=sums.max_abs if sums.finite else None,
        mean_abs=sums.mean_abs,
        max_rel=sums.max_rel,
        cosine=sums.cosine,
        largest=sums.largest if sums.finite else None,
        elements=expected.size,
        mismatched=sums.mismatched,
        worst=tuple(_element(row, expected.shape) for row in sums.worst),
        least_atol=least.least_atol if least else None,
        least_rtol=least.least_rtol if least else None,
        pattern="reordered" if reordered else "scaled" if factor is not None else None,
        factor=None if reordered else factor,
    )


def _reason(sums: Differences, rtol: float, atol: float, *, exact: bool) -> str:
    rule = "differ" if exact else f"are outside rtol {rtol:g}, atol {atol:g}"
    text = f"{sums.mismatched} of {sums.elements} elements {rule}"
    if sums.nan[0] != sums.nan[1]:
        text += f"; {sums.nan[1]} NaN instead of {sums.nan[0]}"
    if sums.inf[0] != sums.inf[1]:
        text += f"; {sums.inf[1]} infinite instead of {sums.inf[0]}"
    return text


def _element(row: tuple[float, int, float, float], shape: tuple[int, ...]) -> Element:
    index = np.unravel_index(-row[1], shape) if shape else ()
    return Element(index=tuple(int(place) for place in index), expected=row[2], found=row[3])
