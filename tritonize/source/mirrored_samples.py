"""A second sample where files hold only one of a shape: a batch of equal samples cannot test batching.

Each floating-point input is mirrored along its last axis, so its values stay those of a real input. The report says how many
samples are such copies.
"""

from __future__ import annotations

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array, Arrays
from tritonize.spec import schema


def of(model: schema.Model, item: Arrays) -> Arrays | None:
    """Return the sample with mirrored inputs; `None` if that changes nothing: a constant, integers or text.

    Args:
        model: the model; an input with a `distribution` stays as it is, since a mask or a vector of classes has an order.
        item: one sample, whose first axis is the batch.
    """
    mirrored = {name: _mirrored(array) if _may_be(model.inputs[name]) else array for name, array in item.items()}
    same = all(arrays.bits(mirrored[name]).tobytes() == arrays.bits(array).tobytes() for name, array in item.items())
    return None if same else mirrored


def _may_be(tensor: schema.Input) -> bool:
    return tensor.dtype != "string" and dtypes.by_name(tensor.dtype).floating and tensor.distribution is None


def _mirrored(array: Array) -> Array:
    """The array, reversed along its last axis of more than one element; the batch axis stays."""
    axis = max((axis for axis, size in enumerate(array.shape) if axis and size > 1), default=None)
    return array if axis is None else np.ascontiguousarray(np.flip(array, axis))
