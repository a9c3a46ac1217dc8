"""Metrics of masks: Dice and intersection over union (IoU) of expected and found."""

from __future__ import annotations

from typing import Any

import numpy as np

from tritonize.core.arrays import BFLOAT16, Array
from tritonize.core.errors import UsageError
from tritonize.core.messages import quality as wording
from tritonize.core.results import Kind
from tritonize.quality.differences import CHUNK, floating, numeric

_FEW = 1 << 12
"""Labels below this are counted by place, without sorting."""
THRESHOLDS: dict[Kind, float] = {"mask_logits": 0.0, "mask_probabilities": 0.5}
"""An element is marked if its score exceeds this; the two values are the same decision before and after the sigmoid."""

_Counts = dict[int, list[int]]
"""Counts by class: elements marked by both, by expected, by found."""


class Overlap:
    """Accumulates overlaps over each class of each item that expected or found marks."""

    def __init__(self, kind: Kind, *, batched: bool) -> None:
        self.kind, self.batched = kind, batched
        self.items = self.masks = 0
        self.sum_dice = self.sum_iou = 0.0
        self.min_dice = self.min_iou = 1.0

    def add(self, expected: Array, found: Array) -> None:
        """Add one output array. Raises UsageError: it cannot be a mask of this kind."""
        self._check(expected, found)
        if not expected.size:
            return
        items = (expected, found) if self.batched else (expected[None], found[None])
        for left, right in zip(*items, strict=True):
            self.items += 1
            if self.kind == "labels":
                self._score(*_labels(left.reshape(-1), right.reshape(-1)))
            elif self.kind == "segmentation":
                self._score(*_winners(left.reshape(left.shape[0], -1), right.reshape(left.shape[0], -1)))
            else:
                channels = left.shape[0] if left.ndim >= 3 else 1
                for one, other in zip(left.reshape(channels, -1), right.reshape(channels, -1), strict=True):
                    self._score(*_marked(one, other, THRESHOLDS[self.kind]))

    def merge(self, other: Overlap) -> None:
        """Add the sums of another accumulator of the same kind."""
        self.items, self.masks = self.items + other.items, self.masks + other.masks
        self.sum_dice, self.sum_iou = self.sum_dice + other.sum_dice, self.sum_iou + other.sum_iou
        self.min_dice, self.min_iou = min(self.min_dice, other.min_dice), min(self.min_iou, other.min_iou)

    def _check(self, expected: Array, found: Array) -> None:
        axes = expected.ndim - self.batched
        integers = self.kind == "labels"
        fits = axes >= 2 or (axes >= 1 and self.kind != "segmentation")
        numbers = numeric(expected) and numeric(found) and not (integers and (floating(expected) or floating(found)))
        if not fits or not numbers:
            raise UsageError.of(
                wording.NOT_A_MASK,
                expected=("integers" if integers else "numbers")
                + (" with a channel axis and spatial axes" if self.kind == "segmentation" else " with a spatial axis")
                + (" after the batch axis" if self.batched else ""),
                found=f"{expected.dtype} and {found.dtype} of shape {list(expected.shape)}",
                kind=self.kind,
            )

    def _score(self, counts: _Counts, unknown: int) -> None:
        """Score one item. An element with NaN on either side counts as marked by one side only, for every class."""
        if unknown and not counts:
            counts = {0: [0, 0, 0]}
        for both, expected, found in counts.values():
            self.masks += 1
            total = expected + found + unknown
            dice, iou = 2 * both / total, both / (total - both)
            self.sum_dice, self.sum_iou = self.sum_dice + dice, self.sum_iou + iou
            self.min_dice, self.min_iou = min(self.min_dice, dice), min(self.min_iou, iou)

    # Any: fields of `Metrics` by name, of three types.
    def marks(self) -> dict[str, Any]:
        """Return the fields of `Metrics`; overlaps are 1 if neither side marks anything in any item."""
        if not self.items:
            return {}
        number = self.masks or 1
        return {
            "masks": self.masks,
            "dice_mean": self.sum_dice / number if self.masks else 1.0,
            "iou_mean": self.sum_iou / number if self.masks else 1.0,
            "dice_min": self.min_dice,
            "iou_min": self.min_iou,
        }


def _marked(expected: Array, found: Array, threshold: float) -> tuple[_Counts, int]:
    both = left = right = unknown = 0
    for start in range(0, expected.size, CHUNK):
        one, other = _plain(expected[start : start + CHUNK]), _plain(found[start : start + CHUNK])
        bad = np.isnan(one) | np.isnan(other)
        expected_mask, found_mask = (one > threshold) & ~bad, (other > threshold) & ~bad
        unknown += int(np.count_nonzero(bad))
        both += int(np.count_nonzero(expected_mask & found_mask))
        left += int(np.count_nonzero(expected_mask))
        right += int(np.count_nonzero(found_mask))
    return ({0: [both, left, right]} if left or right else {}), unknown


def _winners(expected: Array, found: Array) -> tuple[_Counts, int]:
    """Count the highest channel of every element."""
    counts: _Counts = {}
    unknown = 0
    step = max(1, CHUNK // expected.shape[0])
    for start in range(0, expected.shape[1], step):
        one, other = _plain(expected[:, start : start + step]), _plain(found[:, start : start + step])
        bad = np.isnan(one).any(axis=0) | np.isnan(other).any(axis=0)
        unknown += int(np.count_nonzero(bad))
        _count(counts, one.argmax(axis=0)[~bad], other.argmax(axis=0)[~bad])
    return counts, unknown


def _labels(expected: Array, found: Array) -> tuple[_Counts, int]:
    counts: _Counts = {}
    for start in range(0, expected.size, CHUNK):
        _count(counts, _whole(expected[start : start + CHUNK]), _whole(found[start : start + CHUNK]))
    return counts, 0


def _count(counts: _Counts, expected: Array, found: Array) -> None:
    for position, labels in enumerate((expected[expected == found], expected, found)):
        for label, number in _tally(labels):
            counts.setdefault(label, [0, 0, 0])[position] += number


def _tally(labels: Array) -> list[tuple[int, int]]:
    if labels.size and labels.min() >= 0 and labels.max() < _FEW:
        numbers = np.bincount(labels.astype(np.intp, copy=False))
        return [(int(label), int(numbers[label])) for label in np.flatnonzero(numbers)]
    return [(int(label), int(number)) for label, number in zip(*np.unique(labels, return_counts=True), strict=True)]


def _whole(labels: Array) -> Array:
    return labels.view(np.uint8) if labels.dtype == np.bool_ else labels


def _plain(scores: Array) -> Array:
    """Widen half types to float32, without loss; NumPy is slow with half types."""
    half = scores.dtype == BFLOAT16 or (scores.dtype.kind == "f" and scores.dtype.itemsize < 4)
    return scores.astype(np.float32) if half else scores
