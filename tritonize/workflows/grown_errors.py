"""Outputs without a float64 reference whose error has grown since the version was published.

A tolerance alone hides a changed weight as long as its effect is small. Where float64 is missing, and with it the noise floor, the
error at publication is the only measure of what the same files return.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypedDict

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.reports import Check
from tritonize.quality.golden_set import GoldenSet
from tritonize.repository.manifest import Manifest

MANY = 100.0
"""Ratio from which an error is named. Other processors round sums in another order, which moves an error by less than 10 times."""


class Grown(TypedDict):
    """An output whose error has grown, as plain data for reports."""

    output: str
    now: float
    """Largest |found - expected| of this verification."""
    then: float
    """The same when the version was published, but at least one rounding of the largest expected value in float32."""


def found(golden: GoldenSet, manifest: Manifest, checks: Sequence[Check]) -> Iterator[Grown]:
    """Yield the outputs without float64 values whose error is at least `MANY` times that in the manifest."""
    published: dict[str, float] = {}
    listed = manifest.get("verification")
    for row in listed if isinstance(listed, list) else ():
        if isinstance(row, dict) and isinstance(error := row.get("max_abs"), int | float):
            published[str(row.get("output"))] = max(float(error), published.get(str(row.get("output")), 0.0))
    for tensor in golden.expected.tensors:
        if golden.is_exact(tensor.name) or tensor.name not in published or not dtypes.by_name(tensor.dtype).floating:
            continue
        now = max((each.max_abs or 0.0 for check in checks for each in check.tensors if each.name == tensor.name), default=0.0)
        if now < MANY * published[tensor.name] or not math.isfinite(now):
            continue
        then = max(published[tensor.name], _rounding(golden, tensor.name))
        if now >= MANY * then > 0:
            yield Grown(output=tensor.name, now=now, then=then)


def _rounding(golden: GoldenSet, output: str) -> float:
    """Half a unit in the last place of the largest finite expected value of an output, in float32."""
    largest = 0.0
    for index in range(golden.expected.count):
        values = arrays.load(golden.expected, index)[output].astype(np.float64)
        largest = max(largest, float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0)))
    return float(np.spacing(np.float32(largest))) / 2
