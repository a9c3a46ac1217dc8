"""What a behavioural fault is put into, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tritonize.core.arrays import Arrays


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request."""

    inputs: Arrays
    connection: int
    """Which client asks."""
    clients: int
    """How many are connected at this moment."""


Answering = Callable[[Question], Arrays]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a fault is put into."""

    answer: Answering
    stale: Answering
    """The same model with the weights of another seed."""
    generator: np.random.Generator
    sample: Arrays
    """One sample, for its shapes."""
    expected: Arrays
    """Its answer."""
    scales: Mapping[str, float]
    """Of each output the largest magnitude."""
    edges: Mapping[str, Arrays] = field(default_factory=dict)
    """Edge case to its inputs."""


Put = Callable[[Situation], Answering | None]


def rows(arrays: Arrays) -> int:
    """The size of a batch."""
    return len(next(iter(arrays.values())))
