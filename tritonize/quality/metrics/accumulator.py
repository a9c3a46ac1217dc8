"""Accumulate the metrics of one output at one stage; keeps only sums."""

from __future__ import annotations

import math

import numpy as np

from tritonize.core.arrays import Array, dtype_name
from tritonize.core.errors import UsageError
from tritonize.core.messages import quality as wording
from tritonize.core.results import Kind, Metrics
from tritonize.quality.differences import Differences, measure, numeric
from tritonize.quality.metrics import detections
from tritonize.quality.metrics.classification import Rows
from tritonize.quality.metrics.overlap import Overlap


class Accumulator:
    """Accumulates output arrays and computes `Metrics`. The order of the arrays does not matter, beyond rounding.

    Args:
        kind: kind of the output.
        rtol: relative to |expected|, for the count of mismatched elements.
        atol: in the output's unit, for the same count.
        batched: whether the first axis is the batch.
        coordinates: number of coordinates of a detection's box: 4, or 6 for boxes in 3D.

    Raises:
        UsageError: a tolerance is negative, infinite or NaN.
    """

    def __init__(self, kind: Kind, *, rtol: float, atol: float, batched: bool, coordinates: int = 4) -> None:
        if not (0 <= rtol < math.inf and 0 <= atol < math.inf):
            raise UsageError.of(wording.TOLERANCE, found=f"rtol {rtol:g}, atol {atol:g}")
        self.kind, self.rtol, self.atol, self.batched, self.coordinates = kind, rtol, atol, batched, coordinates
        self._sums = Differences()
        self._answers = self._items = self._mismatched_items = self._misshaped = self._same_texts = 0
        self._types: set[str] = set()
        self._rows = Rows(distribution=kind == "distribution") if kind in ("classes", "distribution") else None
        masks = ("mask_logits", "mask_probabilities", "segmentation", "labels")
        self._overlap = Overlap(kind, batched=batched) if kind in masks else None
        self._matched = self._moved = self._alone_expected = self._alone_found = 0
        self._max_box = 0.0
        self._max_score: float | None = None

    def add(self, expected: Array, found: Array, differences: Differences | None = None) -> None:
        """Add one output array. C-contiguous arrays are not copied.

        Args:
            expected: array of any type; usually float64 beside a narrower `found`.
            found: array of any type and shape; a shape that differs from expected is counted and not compared.
            differences: result of `differences.measure` for the two at this tolerance, if the caller has it already.

        Raises:
            UsageError: the arrays cannot be of this kind: strings as masks, class scores without an axis.
        """
        sets = self.kind == "detections"
        if sets:
            detections.check(expected, found, self.coordinates, batched=self.batched)
        if not (detections.alike(expected, found) if sets else expected.shape == found.shape):
            self._misshaped += 1
            sums = Differences(elements=expected.size, mismatched=expected.size, differing=True)
        elif sets:
            sums = self._detections(expected, found)
        elif numeric(expected) and numeric(found):
            self._add_marks(expected, found)
            sums = differences or measure(expected, found, self.rtol, atol=self.atol)
        else:
            sums = self._texts(expected, found)
        self._answers += 1
        self._count_items(expected, found, sums)
        self._types.add(dtype_name(found))
        self._sums.merge(sums)

    def merge(self, other: Accumulator) -> None:
        """Add the sums of another accumulator of the same kind, tolerance and axes."""
        self._sums.merge(other._sums)
        for name in ("_answers", "_items", "_mismatched_items", "_misshaped", "_same_texts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("_matched", "_moved", "_alone_expected", "_alone_found"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._types |= other._types
        self._max_box = max(self._max_box, other._max_box)
        if other._max_score is not None:
            self._max_score = max(self._max_score or 0.0, other._max_score)
        if self._rows and other._rows:
            self._rows.merge(other._rows)
        if self._overlap and other._overlap:
            self._overlap.merge(other._overlap)

    def _add_marks(self, expected: Array, found: Array) -> None:
        expected, found = np.asarray(expected, order="C"), np.asarray(found, order="C")
        if self._rows:
            self._rows.add(expected, found)
        if self._overlap:
            self._overlap.add(expected, found)

    def _count_items(self, expected: Array, found: Array, sums: Differences) -> None:
        items = expected.shape[0] if self.batched and expected.ndim else 1
        self._items += items
        if self.kind == "detections" and detections.alike(expected, found):
            return  # mismatched items were counted during matching
        if items <= 1 or expected.shape != found.shape or not sums.mismatched:
            self._mismatched_items += items if sums.mismatched else 0
        elif numeric(expected) and numeric(found):
            pairs = zip(expected, found, strict=True)
            self._mismatched_items += sum(measure(*pair, self.rtol, atol=self.atol).mismatched > 0 for pair in pairs)
        else:
            self._mismatched_items += int(np.count_nonzero((expected != found).reshape(items, -1).any(axis=1)))

    def _texts(self, expected: Array, found: Array) -> Differences:
        """Compare strings, and other elements that cannot be subtracted, for equality."""
        if self.kind != "values":
            raise UsageError.of(wording.NOT_NUMBERS, found=f"{dtype_name(expected)} and {dtype_name(found)}", kind=self.kind)
        differing = int(np.count_nonzero(expected != found))
        self._same_texts += expected.size - differing
        return Differences(elements=expected.size, mismatched=differing, differing=differing > 0)

    def _detections(self, expected: Array, found: Array) -> Differences:
        sums = Differences()
        left, right = (each.astype(np.float64) for each in (expected, found))
        for one, other in zip(*((left, right) if self.batched else (left[None], right[None])), strict=True):
            rows, partners = detections.match(one, other, self.coordinates)
            self._matched += rows.size
            self._moved += int(np.count_nonzero(rows != partners))
            alone = len(one) - rows.size, len(other) - rows.size
            self._alone_expected, self._alone_found = self._alone_expected + alone[0], self._alone_found + alone[1]
            paired = measure(one[rows], other[partners], self.rtol, atol=self.atol)
            sums.merge(paired)
            lost = sum(alone) * one.shape[1]
            sums.merge(Differences(elements=lost, mismatched=lost, differing=lost > 0))
            self._mismatched_items += lost > 0 or paired.mismatched > 0
            self._distances(one[rows], other[partners])
        # Rows were widened to float64, so a distance in ULP would not be in found's type.
        sums.max_ulp = None
        return sums

    def _distances(self, expected: Array, found: Array) -> None:
        with np.errstate(all="ignore"):
            far = np.abs(found - expected)[:, : self.coordinates + 1]
        far = far[np.isfinite(far).all(axis=1)]
        self._max_box = max(self._max_box, float(far[:, : self.coordinates].max(initial=0.0)))
        if far.shape[1] > self.coordinates:
            self._max_score = max(self._max_score or 0.0, float(far[:, self.coordinates].max(initial=0.0)))

    def result(self) -> Metrics:
        """Return the metrics of everything added so far."""
        sums = self._sums
        marks = (self._rows.marks() if self._rows else {}) | (self._overlap.marks() if self._overlap else {})
        if self.kind == "detections":
            marks |= {"matched": self._matched, "moved": self._moved}
            marks |= {"unmatched_expected": self._alone_expected, "unmatched_found": self._alone_found}
            marks |= {"max_box": self._max_box, "max_score": self._max_score} if self._matched else {}
        compared = sums.finite + self._same_texts
        return Metrics(
            kind=self.kind,
            answers=self._answers,
            items=self._items,
            mismatched_items=self._mismatched_items,
            misshaped=self._misshaped,
            elements=sums.elements,
            finite=sums.finite,
            mismatched=sums.mismatched,
            equal=0 < compared == sums.elements and not sums.differing and not self._misshaped,
            rtol=self.rtol,
            atol=self.atol,
            found_dtypes=tuple(sorted(self._types)),
            expected_nan=sums.nan[0],
            found_nan=sums.nan[1],
            expected_inf=sums.inf[0],
            found_inf=sums.inf[1],
            largest=sums.largest if sums.finite else None,
            max_abs=sums.max_abs if sums.finite else None,
            mean_abs=sums.mean_abs,
            rmse=sums.rmse,
            max_rel=sums.max_rel,
            cosine=sums.cosine,
            snr_db=sums.snr_db,
            max_ulp=sums.max_ulp,
            **marks,
        )
