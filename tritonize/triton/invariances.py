"""Variations of a request that must not change its outputs: transport, repetition, position in the batch, and padding.

The same request over HTTP, gRPC and shared memory, and a repeated request, must return the same bits, because the same file runs
on the same processor. In another position or with padding, kernels may sum in another order, so the tolerance and the noise floor
apply.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.reports import Finding
from tritonize.core.stages import SAME_BITS, StageName
from tritonize.quality.golden_set import GoldenSet


class Digests:
    """Stores a digest of the response to every request per stage. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[int, ...], dict[StageName, str]] = {}

    def add(self, stage: StageName, indices: Sequence[int], digest: str) -> None:
        """Add one response, by its `arrays.digest`."""
        if stage in SAME_BITS:
            with self._lock:
                self._seen.setdefault(tuple(indices), {}).setdefault(stage, digest)

    @property
    def compared(self) -> int:
        """Requests that were sent in more than one way."""
        return sum(len(stages) > 1 for stages in self._seen.values())

    def findings(self) -> Iterator[Finding]:
        """One finding for each pair of stages whose responses to a request have different bits, with the first such request."""
        named = set()
        for indices, stages in self._seen.items():
            first, *others = stages
            for other in others:
                if stages[other] != stages[first] and (first, other) not in named:
                    named.add((first, other))
                    again = other is StageName.AGAIN
                    yield Finding(
                        where=f"samples {', '.join(map(str, indices[:4]))}",
                        what="a repeated request returned different bits" if again else "two transports differ",
                        expected=f"the same bits as over {first}",
                        found="others" if again else f"others over {other}",
                        stage=other,
                    )


def padded(golden: GoldenSet, fill: Callable[[Arrays], Arrays]) -> Iterator[tuple[int, Arrays]]:
    """Single samples followed by padding up to the largest batch size: the sample's index, and the batch.

    Args:
        fill: creates one item of padding from a sample.
    """
    size = golden.max_batch_size
    if size < 2:
        return
    for members in arrays.groups(golden.samples):
        item = arrays.load(golden.samples.files, members[0])
        other = fill(item)
        yield members[0], {name: np.concatenate([array, *[other[name]] * (size - 1)]) for name, array in item.items()}


def zeros(item: Arrays) -> Arrays:
    """Padding with zeros and empty text, as clients pad."""
    return {name: arrays.empty_like(array) for name, array in item.items()}


def copies(item: Arrays) -> Arrays:
    """Padding with the sample itself."""
    return item
