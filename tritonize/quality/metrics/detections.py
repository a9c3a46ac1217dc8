"""Match detections, which are unordered sets of boxes, before they are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tritonize.core.arrays import Array
from tritonize.core.errors import UsageError
from tritonize.core.messages import quality as wording
from tritonize.quality.differences import CHUNK, numeric

MIN_IOU = 0.5
"""Boxes with a smaller IoU are not the same object; 0.5 is the customary threshold."""

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows of expected, and their partners in found."""


def detection_rows(boxes: Array, scores: Array | None = None, labels: Array | None = None) -> Array:
    """Build the rows of kind `detections` for a model that returns boxes, scores and labels separately.

    Args:
        boxes: shape (..., n, 4) or (..., n, 6): lower corner, then upper corner.
        scores: shape (..., n).
        labels: shape (..., n), whole numbers; needs scores.

    Returns:
        float64, shape (..., n, 4 or 6, plus one for scores, plus one for labels).

    Raises:
        UsageError: the shapes do not belong together.
    """
    columns = [np.asarray(each, np.float64)[..., None] for each in (scores, labels) if each is not None]
    if (labels is not None and scores is None) or any(column.shape[:-1] != boxes.shape[:-1] for column in columns):
        raise UsageError.of(
            wording.BOXES_DO_NOT_MATCH,
            expected="one score for each box, and labels only with scores",
            found=f"shapes {[list(each.shape) for each in (boxes, scores, labels) if each is not None]}",
        )
    return np.concatenate([np.asarray(boxes, np.float64), *columns], axis=-1)


def check(expected: Array, found: Array, coordinates: int, *, batched: bool) -> None:
    """Require rows of detections. Raises UsageError: the expected rows do not have boxes with this number of coordinates."""
    axes = 2 + batched
    if expected.ndim != axes or expected.shape[-1] < coordinates or not numeric(expected) or not numeric(found):
        raise UsageError.of(
            wording.NOT_DETECTIONS,
            expected=f"numbers with {axes} axes; in the last at least the {coordinates} coordinates of a box",
            found=f"{expected.dtype} of shape {list(expected.shape)}, compared with {found.dtype}",
        )


def alike(expected: Array, found: Array) -> bool:
    """Whether the shapes are equal, or differ only in the number of rows."""
    return expected.ndim == found.ndim and (*expected.shape[:-2], expected.shape[-1]) == (*found.shape[:-2], found.shape[-1])


def match(expected: Array, found: Array, coordinates: int) -> Pairs:
    """Match two sets of rows; each row is used at most once.

    Equal rows at the same position match. The others are matched greedily, closest pair first, until no boxes overlap by half; the
    closeness is the IoU of the boxes minus the difference of the scores. Classes must be equal if there are two columns after the
    box. The matching is not optimal in total, but sets that agree have one obvious matching.

    Args:
        expected: float64, shape (n, columns).
        found: float64, shape (m, columns).
        coordinates: of a box: 4, or 6 for boxes in space.
    """
    common = min(len(expected), len(found))
    same = np.flatnonzero((expected[:common] == found[:common]).all(axis=1))
    left = np.setdiff1d(np.arange(len(expected)), same)
    right = np.setdiff1d(np.arange(len(found)), same)
    ones, others, quality = _candidates(expected[left], found[right], coordinates)
    free_ones, free_others = np.ones(left.size, bool), np.ones(right.size, bool)
    pairs = []
    for place in np.argsort(-quality, kind="stable"):
        one, other = ones[place], others[place]
        if free_ones[one] and free_others[other]:
            free_ones[one] = free_others[other] = False
            pairs.append((left[one], right[other]))
    chosen = np.array(pairs, np.intp).reshape(-1, 2)
    return np.concatenate([same, chosen[:, 0]]), np.concatenate([same, chosen[:, 1]])


def _candidates(expected: Array, found: Array, coordinates: int) -> tuple[Array, Array, Array]:
    """Return every pair that may match, with its closeness; computed in blocks of rows."""
    blocks = [(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))]
    step = max(1, CHUNK // max(1, len(found)))
    with np.errstate(all="ignore"):
        for start in range(0, len(expected) if len(found) else 0, step):
            rows = expected[start : start + step]
            overlap = _iou(rows[:, None, :coordinates], found[None, :, :coordinates])
            if expected.shape[1] == coordinates + 2:
                overlap = np.where(rows[:, None, -1] == found[None, :, -1], overlap, 0.0)
            ones, others = np.nonzero(overlap >= MIN_IOU)  # false for NaN
            quality = overlap[ones, others]
            if expected.shape[1] > coordinates:
                quality = quality - np.abs(rows[ones, coordinates] - found[others, coordinates])
            blocks.append((ones + start, others, np.where(np.isnan(quality), -np.inf, quality)))
    ones, others, quality = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return ones, others, quality


def _iou(expected: Array, found: Array) -> Array:
    """Return the intersection over union of boxes given by two corners; boxes without a volume overlap if they are equal."""
    half = expected.shape[-1] // 2
    low = np.maximum(expected[..., :half], found[..., :half])
    high = np.minimum(expected[..., half:], found[..., half:])
    both = np.maximum(high - low, 0.0).prod(axis=-1)
    one, other = (np.maximum(box[..., half:] - box[..., :half], 0.0).prod(axis=-1) for box in (expected, found))
    union = one + other - both
    overlap: Array = np.where(union > 0, both / union, (expected == found).all(axis=-1))
    return overlap
