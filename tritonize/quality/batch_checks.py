"""Compare outputs with a golden set: `check_batches` for stored outputs of many batches, `check_outputs` for one batch.

Every stage uses these functions: the export ladder, reduced precision, plans, `check`, and the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.core.reports import Check
from tritonize.core.stages import StageName
from tritonize.quality.comparison import compare
from tritonize.quality.golden_set import Batch, GoldenSet
from tritonize.quality.tracker import ErrorTracker


class BatchOutputs(Protocol):
    """The outputs of some batches, in the batches' order."""

    @property
    def seconds(self) -> Sequence[float]:
        """Run time of each batch."""

    def batch_outputs(self, position: int) -> Arrays:
        """The outputs of batch number `position`, by name."""


@dataclass(frozen=True)
class SingleOutputs:
    """Stored outputs, one numbered item per batch, without run times."""

    files: TensorFiles

    @property
    def seconds(self) -> Sequence[float]:
        """Zeros."""
        return (0.0,) * self.files.count

    def batch_outputs(self, position: int) -> Arrays:
        """Item number `position`."""
        return arrays.load(self.files, position)


def check_batches(
    golden: GoldenSet,
    stage: StageName,
    batches: Sequence[Batch],
    *,
    found: BatchOutputs,
    tracker: ErrorTracker | None = None,
    expected: BatchOutputs | None = None,
) -> Iterator[Check]:
    """Compare the outputs of each batch with the expected ones, by the golden set's tolerances.

    Args:
        tracker: accumulates the errors; without one, only the tolerances are checked.
        expected: by batch; by default the golden set's outputs of the single samples, joined.
    """
    for position, batch in enumerate(batches):
        outputs = golden.expected_outputs(batch) if expected is None else expected.batch_outputs(position)
        seconds = found.seconds[position]
        yield check_outputs(
            golden, stage, batch, expected=outputs, found=found.batch_outputs(position), tracker=tracker, seconds=seconds
        )


def check_outputs(
    golden: GoldenSet,
    stage: StageName,
    batch: Batch,
    *,
    expected: Arrays,
    found: Arrays,
    tracker: ErrorTracker | None = None,
    seconds: float = 0.0,
    batch_size: int | None = None,
    digest: str | None = None,
) -> Check:
    """Compare the outputs of one batch, by the golden set's tolerances.

    Args:
        expected: in the shapes and types that `found` should have.
        batch_size: by default the number of samples, or 0 if the model is not batched.
        digest: `arrays.digest` of `found`, if the caller has it already.
    """
    if tracker is None:
        tensors = compare(expected, found, golden.tolerances)
    else:
        tensors = tracker.check(stage, batch, expected, found=found, tolerances=golden.tolerances, digest=digest)
    if batch_size is None:
        batch_size = len(batch) if golden.samples.batched else 0
    return Check(stage=stage, batch_size=batch_size, samples=batch, tensors=tensors, seconds=seconds)
