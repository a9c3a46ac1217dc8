"""Measure how far a PyTorch model's outputs move if its weights are rounded differently. Runs in a worker.

An output of few elements may be exact by luck. PyTorch's own error then says nothing about the error of another correct runtime.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tritonize.core import arrays, progress
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.source.worker import widening

_DRAWS = 4
"""Number of random roundings."""


def measure(module: torch.nn.Module, run: Callable[[int], Arrays], reference: TensorFiles) -> tuple[dict[str, float], ...]:
    """Run the model with every weight changed at random by up to one unit in the last place.

    Args:
        module: the model. Its weights are restored afterwards.
        run: runs the model on the sample of a number.
        reference: its outputs with the original weights.

    Returns:
        For each sample, floating-point output to max |difference| over several draws.
    """
    weights = list(widening.weights(module))
    originals = [weight.clone() for weight in weights]
    generator = torch.Generator().manual_seed(0)
    moved = [dict[str, float]() for _ in range(reference.count)]
    for _ in progress.counted(range(_DRAWS), "draw", text="rounded weights"):
        with torch.no_grad():
            for weight, original in zip(weights, originals, strict=True):
                noise = torch.rand(original.shape, generator=generator, dtype=torch.float64) * 2 - 1
                weight.copy_(original.double() * (1 + 2.0**-23 * noise))
        for index in range(reference.count):
            _widen(moved[index], arrays.load(reference, index), run(index))
    with torch.no_grad():
        for weight, original in zip(weights, originals, strict=True):
            weight.copy_(original)
    return tuple(moved)


def _widen(moved: dict[str, float], one: Arrays, other: Arrays) -> None:
    """Raise the distances in `moved` to those of two outputs; elements that are not finite are left out."""
    for name, array in one.items():
        if array.dtype.kind == "f" and other[name].shape == array.shape:
            with np.errstate(invalid="ignore"):
                distance = np.abs(other[name].astype(np.float64) - array)
            moved[name] = max(moved.get(name, 0.0), float(distance[np.isfinite(distance)].max(initial=0.0)))
