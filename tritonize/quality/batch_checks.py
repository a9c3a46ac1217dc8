"""The one comparison of answers with a golden set: `check_batches` for answers that lie ready, `check_answer` for a single one.

Every stage uses it: the export ladder, reduced precision, plans, `check`, and the server's answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import Check, TensorFiles
from tritonize.core.stages import StageName
from tritonize.quality.comparison import compare
from tritonize.quality.golden_set import Batch, GoldenSet
from tritonize.quality.tracker import ErrorTracker


class BatchAnswers(Protocol):
    """The answers to some batches, in the batches' order."""

    @property
    def seconds(self) -> Sequence[float]:
        """How long each answer took."""

    def answer(self, position: int) -> Arrays:
        """The outputs of batch number `position`, by name."""


@dataclass(frozen=True)
class SingleAnswers:
    """Answers that lie as numbered items of one set, one per batch, without times."""

    files: TensorFiles

    @property
    def seconds(self) -> Sequence[float]:
        """Zeros."""
        return (0.0,) * self.files.count

    def answer(self, position: int) -> Arrays:
        """Item number `position`."""
        return arrays.load(self.files, position)


def check_batches(
    golden: GoldenSet,
    stage: StageName,
    batches: Sequence[Batch],
    *,
    answers: BatchAnswers,
    tracker: ErrorTracker | None = None,
    expected: BatchAnswers | None = None,
) -> Iterator[Check]:
    """Compare the answer to each batch with the expected one, by the golden set's tolerances.

    Args:
        tracker: adds up the errors; without one, tolerances alone decide.
        expected: by batch; by default the golden set's answers to the single samples, joined.
    """
    for position, batch in enumerate(batches):
        wanted = golden.answer(batch) if expected is None else expected.answer(position)
        seconds = answers.seconds[position]
        yield check_answer(golden, stage, batch, expected=wanted, found=answers.answer(position), tracker=tracker, seconds=seconds)


def check_answer(
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
    """Compare one answer, by the golden set's tolerances.

    Args:
        expected: in the shapes and types in which `found` should be.
        batch_size: by default the number of samples; 0 where the model is not batched.
        digest: `arrays.digest` of `found`, where it is known already.
    """
    if tracker is None:
        tensors = compare(expected, found, golden.tolerances)
    else:
        tensors = tracker.check(stage, batch, expected, found=found, tolerances=golden.tolerances, digest=digest)
    if batch_size is None:
        batch_size = len(batch) if golden.samples.batched else 0
    return Check(stage=stage, batch_size=batch_size, samples=batch, tensors=tensors, seconds=seconds)
