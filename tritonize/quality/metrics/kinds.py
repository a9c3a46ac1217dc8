"""Detect the kind of an output from one expected array; an output without a clear kind is `values`."""

from __future__ import annotations

import numpy as np

from tritonize.core.arrays import Array
from tritonize.core.results import Kind
from tritonize.quality.differences import floating, numeric

ELEMENTS = 1 << 18
"""Number of elements to examine in one item, spread evenly."""
LABELS = 64
"""A label volume has fewer classes than this; an 8-bit image has more values."""
_MANY = 8
"""Fewer rows or elements than this may match a kind by chance."""
_SUM, _SUM_HALF = 1e-4, 4e-3
"""Largest deviation from 1 of a sum of probabilities; in half precision a few ULP below 1, 2^-9 for bfloat16."""


def detect(expected: Array, *, batched: bool) -> Kind:
    """Detect the kind of an output from the first item of one expected array.

    The detection is conservative: a wrong kind would report meaningless metrics, while `values` only reports fewer. Class scores
    and mask logits cannot be distinguished from a regression or an embedding, so the spec must declare them.

    Args:
        expected: one output array, of any type and shape.
        batched: whether the first axis is the batch.
    """
    if not numeric(expected) or not expected.size or expected.ndim <= batched:
        return "values"
    item = expected[0] if batched else expected
    if not floating(item):
        return "labels" if _is_labels(item) else "values"
    if _is_detections(item):
        return "detections"
    slack = _SUM if item.dtype.itemsize >= 4 else _SUM_HALF
    if item.ndim >= 3:
        channels = _columns(item.reshape(item.shape[0], -1))
        if _sum_to_one(channels, slack):
            return "segmentation"
        if channels.shape[0] == 1 and _is_decided(channels):
            return "mask_probabilities"
    return "distribution" if _sum_to_one(_columns(item.reshape(-1, item.shape[-1]).T), slack) else "values"


def _is_labels(item: Array) -> bool:
    """Whether these are integer labels of an area or a volume: few values, from 0 up. Lists of ids or tokens have one axis."""
    if item.ndim < 2 or min(item.shape[-2:]) < _MANY:
        return False
    labels = _columns(item.reshape(1, -1))
    return bool(labels.min() >= 0 and labels.max() < LABELS)


def _is_detections(item: Array) -> bool:
    """Whether all rows are (x1, y1, x2, y2, score, class) with ordered corners, which does not happen by chance."""
    if item.ndim != 2 or item.shape[1] != 6 or item.shape[0] < _MANY:
        return False
    rows = item.astype(np.float64)
    corners = (rows[:, 0] <= rows[:, 2]) & (rows[:, 1] <= rows[:, 3])
    scores = (rows[:, 4] >= 0) & (rows[:, 4] <= 1)
    classes = (rows[:, 5] >= 0) & (rows[:, 5] == np.floor(rows[:, 5]))
    return bool((corners & scores & classes).all() and (rows[:, 2] > rows[:, 0]).any())


def _columns(item: Array) -> Array:
    """Select the elements to examine from an array of shape (channels, elements)."""
    places = max(_MANY**2, ELEMENTS // item.shape[0])
    columns: Array = item[:, :: -(-item.shape[1] // places)]
    return columns.astype(np.float64) if floating(columns) else columns


def _sum_to_one(columns: Array, slack: float) -> bool:
    """Whether it looks like a softmax output: values from 0 to 1 that sum to 1 for every element."""
    return columns.shape[0] >= 2 and _unit(columns) and bool(np.abs(columns.sum(axis=0) - 1.0).max() <= slack)


def _is_decided(columns: Array) -> bool:
    """Whether it looks like a sigmoid mask: nine of ten values within 0.1 of 0 or 1, and both occur. An image is mostly between."""
    if columns.shape[1] < _MANY**2 or not _unit(columns):
        return False
    low, high = columns <= 0.1, columns >= 0.9
    return bool(low.any() and high.any() and (low | high).mean() >= 0.9)


def _unit(columns: Array) -> bool:
    return bool(columns.min() >= 0 and columns.max() <= 1 + _SUM_HALF)  # false for NaN
