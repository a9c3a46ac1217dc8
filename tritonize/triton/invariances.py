"""What must not change an answer: the transport, sending it again, the place in a batch, and what else lies in the batch.

The same request over HTTP, gRPC and shared memory, and sent twice, is expected to get the same bits: the same file answers on
the same processor. In another order, or beside padding, the kernels may add in another order, so there the tolerance and the
noise floor judge, as for every answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import Finding
from tritonize.core.stages import SAME_BITS, StageName
from tritonize.quality.golden_set import GoldenSet


class Digests:
    """Remembers the bits of the answers to every request, stage by stage. Several threads may add answers at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[int, ...], dict[StageName, str]] = {}

    def add(self, stage: StageName, indices: Sequence[int], digest: str) -> None:
        """One answer, by `arrays.digest`."""
        if stage in SAME_BITS:
            with self._lock:
                self._seen.setdefault(tuple(indices), {}).setdefault(stage, digest)

    @property
    def compared(self) -> int:
        """Requests that were sent in more than one way."""
        return sum(len(stages) > 1 for stages in self._seen.values())

    def findings(self) -> Iterator[Finding]:
        """One for each pair of stages that answered a question with other bits, with the first such question."""
        named = set()
        for indices, stages in self._seen.items():
            first, *others = stages
            for other in others:
                if stages[other] != stages[first] and (first, other) not in named:
                    named.add((first, other))
                    again = other is StageName.AGAIN
                    yield Finding(
                        where=f"samples {', '.join(map(str, indices[:4]))}",
                        what="asked again, the server answered with other bits" if again else "two transports differ",
                        expected=f"the same bits as over {first}",
                        found="others" if again else f"others over {other}",
                    )


def padded(golden: GoldenSet, fill: Callable[[Arrays], Arrays]) -> Iterator[tuple[int, Arrays]]:
    """Single samples in a batch of the largest size, whose other places hold something else: their number, and the batch.

    Args:
        fill: makes one item of padding of a sample.
    """
    size = golden.max_batch_size
    if size < 2:
        return
    for members in arrays.groups(golden.samples):
        item = arrays.load(golden.samples.files, members[0])
        other = fill(item)
        yield members[0], {name: np.concatenate([array, *[other[name]] * (size - 1)]) for name, array in item.items()}


def zeros(item: Arrays) -> Arrays:
    """Padding of zeros and empty text, as clients pad."""
    return {name: arrays.empty_like(array) for name, array in item.items()}


def copies(item: Arrays) -> Arrays:
    """Padding of the sample itself."""
    return item
