"""Say from which integers the samples were drawn: of token numbers, a range that is too small proves only a part of a model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet
from tritonize.source.file_inputs import INTEGERS
from tritonize.spec import schema, sequences

LIMIT = 9
"""Integers without a range are drawn from 0 to 9; for a PyTorch model from -9 to 9, unless it refuses negative numbers."""


def drawn_inputs(model: schema.Model) -> Iterator[str]:
    """Yield the integer inputs whose samples are drawn from a range, stated or not; none if the samples are the user's."""
    if model.samples.patterns:
        return
    contract = sequences.of(model)
    provided = contract.inputs if contract else frozenset()  # Triton's own, such as the start of a sequence
    for name, tensor in model.inputs.items():
        if tensor.dtype in INTEGERS and tensor.distribution in (None, "uniform", "token_ids") and name not in provided:
            yield name


def described(model: schema.Model, ranged: schema.Model) -> str:
    """Return the ranges as text: `; tokens 0 to 999, kind 0 to 9 by default`. Empty without integer inputs.

    Args:
        model: the model, with its stated ranges.
        ranged: the same with the ranges that its samples are drawn from.
    """
    parts = []
    for name in drawn_inputs(model):
        low, high = ranged.inputs[name].range or (0, LIMIT)
        parts.append(f"{name} {low:g} to {high:g}{'' if model.inputs[name].range else ' by default'}")
    return f"; {', '.join(parts)}" if parts else ""


def defaults(model: schema.Model, samples: SampleSet) -> dict[str, tuple[int, int]]:
    """Return the integer inputs without a stated range, each with the range that its samples were drawn from."""
    return {
        name: (-LIMIT if _negative(samples, name) else 0, LIMIT) for name in drawn_inputs(model) if model.inputs[name].range is None
    }


def _negative(samples: SampleSet, name: str) -> bool:
    return any(bool(np.any(arrays.load(samples.files, index)[name] < 0)) for index in range(samples.drawn))
