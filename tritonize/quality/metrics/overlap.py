"""Masks: Dice and intersection over union of what expected and found mark."""

from __future__ import annotations

from typing import Any

import numpy as np

from tritonize.core.arrays import BFLOAT16, Array
from tritonize.core.errors import UsageError
from tritonize.core.results import Kind
from tritonize.quality.differences import CHUNK, floating, numeric

_FEW = 1 << 12
"""Labels below this are counted by place, without sorting."""
THRESHOLDS: dict[Kind, float] = {"mask_logits": 0.0, "mask_probabilities": 0.5}
"""What a score must exceed for its place to be marked: both are the same decision, before and after the sigmoid."""

_Counts = dict[int, list[int]]
"""Class to the places that both mark, expected marks, found marks."""


class Overlap:
    """Sums over each class of each item that expected or found marks anywhere."""

    def __init__(self, kind: Kind, *, batched: bool) -> None:
        self.kind, self.batched = kind, batched
        self.items = self.masks = 0
        self.sum_dice = self.sum_iou = 0.0
        self.min_dice = self.min_iou = 1.0

    def add(self, expected: Array, found: Array) -> None:
        """One answer. Raises UsageError: it cannot be a mask of this kind."""
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
        """Take in the sums of another of the same kind."""
        self.items, self.masks = self.items + other.items, self.masks + other.masks
        self.sum_dice, self.sum_iou = self.sum_dice + other.sum_dice, self.sum_iou + other.sum_iou
        self.min_dice, self.min_iou = min(self.min_dice, other.min_dice), min(self.min_iou, other.min_iou)

    def _check(self, expected: Array, found: Array) -> None:
        axes = expected.ndim - self.batched
        integers = self.kind == "labels"
        fits = axes >= 2 or (axes >= 1 and self.kind != "segmentation")
        numbers = numeric(expected) and numeric(found) and not (integers and (floating(expected) or floating(found)))
        if not fits or not numbers:
            raise UsageError(
                f"The output is no mask of kind {self.kind!r}.",
                expected=("whole numbers" if integers else "numbers")
                + (" with a channel axis and axes of places" if self.kind == "segmentation" else " with an axis of places")
                + (" after the batch axis" if self.batched else ""),
                found=f"{expected.dtype} and {found.dtype} of shape {list(expected.shape)}",
            )

    def _score(self, counts: _Counts, unknown: int) -> None:
        """One item. A place with a NaN on either side counts as marked by one side alone, for every class."""
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
        """The fields of `Metrics` that these are; 1 where nothing is marked on either side in any item."""
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
        marked, answered = (one > threshold) & ~bad, (other > threshold) & ~bad
        unknown += int(np.count_nonzero(bad))
        both += int(np.count_nonzero(marked & answered))
        left += int(np.count_nonzero(marked))
        right += int(np.count_nonzero(answered))
    return ({0: [both, left, right]} if left or right else {}), unknown


def _winners(expected: Array, found: Array) -> tuple[_Counts, int]:
    """The highest channel at every place."""
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
    """Half types widened, which NumPy is slow at; nothing is lost."""
    half = scores.dtype == BFLOAT16 or (scores.dtype.kind == "f" and scores.dtype.itemsize < 4)
    return scores.astype(np.float32) if half else scores
