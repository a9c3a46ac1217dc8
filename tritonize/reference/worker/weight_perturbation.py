"""How far a PyTorch model's answers move where its weights are rounded otherwise; runs inside a worker.

An answer of few elements may be exact by luck; then PyTorch's own error says nothing of what is to be expected of another right
runtime.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.source.worker import widening

_DRAWS = 4


def moved(module: torch.nn.Module, answer: Callable[[int], Arrays], own: TensorFiles) -> tuple[dict[str, float], ...]:
    """By item, floating output to max |difference| over some draws of weights that are up to a unit in the last place off.

    Args:
        module: its weights are as before afterwards.
        answer: asks it again for item number so and so.
        own: what it answered with its own weights.
    """
    weights = list(widening.weights(module))
    kept = [each.clone() for each in weights]
    generator = torch.Generator().manual_seed(0)
    found = [dict[str, float]() for _ in range(own.count)]
    for _ in range(_DRAWS):
        with torch.no_grad():
            for each, weight in zip(weights, kept, strict=True):
                noise = torch.rand(weight.shape, generator=generator, dtype=torch.float64) * 2 - 1
                each.copy_(weight.double() * (1 + 2.0**-23 * noise))
        for index in range(own.count):
            _widen(found[index], arrays.load(own, index), answer(index))
    with torch.no_grad():
        for each, weight in zip(weights, kept, strict=True):
            each.copy_(weight)
    return tuple(found)


def _widen(found: dict[str, float], one: Arrays, other: Arrays) -> None:
    for name, array in one.items():
        if array.dtype.kind == "f" and other[name].shape == array.shape:
            with np.errstate(invalid="ignore"):
                far = np.abs(other[name].astype(np.float64) - array)
            found[name] = max(found.get(name, 0.0), float(far[np.isfinite(far)].max(initial=0.0)))
