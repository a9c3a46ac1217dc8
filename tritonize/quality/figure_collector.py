"""Collect the data for a report's figures: a histogram, points, slices and top classes, in bounded memory.

Only batches of one sample count, each sample once per stage; a stage closer to the client replaces the stage before. Slices are
turned into 8-bit pixels immediately, so no output is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from tritonize.core import arrays
from tritonize.core.arrays import Array
from tritonize.core.figures import BINS, LOWEST, PER_DECADE, Class, Figures, Histogram, Scatter, Slices, TopClasses
from tritonize.core.stages import StageName
from tritonize.quality import slices as slice_choice
from tritonize.quality.golden_set import GoldenSet

OUTPUTS = 8
"""Outputs with a histogram and points."""
PICTURED = 4
"""Outputs with slices: at two samples and 32 slices of at most 256 x 256, 6 MiB each, below 64 MiB together."""
COUNTED = 1 << 20
"""Largest number of elements that the histogram counts; of a larger array it counts every n-th."""
POINTS = 2000
TOP = 5
_FIRST, _WORST = "first sample", "largest difference"

T = TypeVar("T", Slices, TopClasses)


@dataclass(kw_only=True)
class _Kept:
    """Collected data of one output."""

    counts: Array
    equal: int = 0
    incomparable: int = 0
    looked_at: int = 0
    elements: int = 0
    expected: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    worst: float = -1.0
    slices: dict[str, Slices] = field(default_factory=dict)
    classes: dict[str, TopClasses] = field(default_factory=dict)


class FigureCollector:
    """Collects figures from outputs that are added one at a time."""

    def __init__(self, golden: GoldenSet) -> None:
        self._golden = golden
        self._stage: StageName | None = None
        self._outputs: dict[str, _Kept] = {}
        self._seen: set[tuple[str, int]] = set()

    def wants(self, stage: StageName, indices: Sequence[int]) -> bool:
        """Whether an output may be drawn: of a single sample, at the current stage or one closer to the client."""
        return len(indices) == 1 and stage.pictured and not self._is_behind(stage)

    def _is_behind(self, stage: StageName) -> bool:
        return self._stage is not None and stage.order < self._stage.order

    def add(self, stage: StageName, output: str, indices: Sequence[int], *, expected: Array, found: Array, max_abs: float) -> None:
        """Add one numeric output in the expected shape.

        Args:
            max_abs: largest difference of finite elements.
        """
        if len(indices) != 1 or not stage.pictured or not self._comes_next(stage) or (output, indices[0]) in self._seen:
            return
        if output not in self._outputs and len(self._outputs) >= OUTPUTS:
            return
        self._seen.add((output, indices[0]))
        kept = self._outputs.setdefault(output, _Kept(counts=np.zeros(BINS, np.int64)))
        if expected.size:
            self._count(kept, expected, found)
            self._look(kept, output, indices[0], expected=expected, found=found, max_abs=max_abs)

    def figures(self, labels: Mapping[str, Sequence[str]] | None = None, located: Sequence[tuple[str, float]] = ()) -> Figures:
        """Return the collected figures with the inputs. Reads sample files, so they must still exist."""
        files = self._golden.samples.files
        slices = [each for kept in self._outputs.values() for each in self._with_reasons(kept.slices)]
        classes = [each for kept in self._outputs.values() for each in self._with_reasons(kept.classes)]
        return Figures(
            stage=self._stage,
            against="fp64" if all(map(self._golden.is_exact, self._outputs)) else "fp32",
            histograms=tuple(_histogram(name, kept) for name, kept in self._outputs.items()),
            scatters=tuple(
                Scatter(output=name, expected=tuple(kept.expected), found=tuple(kept.found)) for name, kept in self._outputs.items()
            ),
            slices=tuple(slice_choice.with_input(each, arrays.load(files, each.sample)) for each in slices),
            classes=tuple(replace(each, image=slice_choice.input_image(arrays.load(files, each.sample))) for each in classes),
            labels=dict(labels or {}),
            located=tuple(located),
        )

    def _with_reasons(self, pictures: Mapping[str, T]) -> list[T]:
        """Add the reason for each picture as text. If the first sample is also the worst, it is included once."""
        first, worst = pictures.get(_FIRST), pictures.get(_WORST)
        if first and worst and first.sample == worst.sample:
            pictures = {f"{_FIRST}, which also has the {_WORST}": first}
        edges = self._golden.samples.edges
        names = {each.sample: f", edge case {edges[each.sample]}" for each in pictures.values() if each.sample in edges}
        return [replace(each, why=f"{why}{names.get(each.sample, '')}") for why, each in sorted(pictures.items())]

    def _comes_next(self, stage: StageName) -> bool:
        """Whether the figures come from this stage; drops the data of an earlier stage."""
        if stage != self._stage:
            if self._is_behind(stage):
                return False
            self._stage = stage
            self._outputs.clear()
            self._seen.clear()
        return True

    def _count(self, kept: _Kept, expected: Array, found: Array) -> None:
        step = -(-expected.size // COUNTED)
        one, other = (array.reshape(-1)[::step].astype(np.float64) for array in (expected, found))
        with np.errstate(invalid="ignore", over="ignore"):
            far = np.abs(other - one)
        finite = np.isfinite(far)
        differing = far[finite & (far > 0)]
        places = np.floor((np.log10(differing) - LOWEST) * PER_DECADE).astype(np.int64)
        kept.counts += np.bincount(np.clip(places, 0, BINS - 1), minlength=BINS)
        kept.looked_at += far.size
        kept.elements += expected.size
        kept.incomparable += int(far.size - finite.sum())
        kept.equal += int(finite.sum()) - differing.size
        share = max(1, POINTS // self._golden.samples.files.count)
        for place in np.linspace(0, far.size - 1, min(share, far.size)).astype(np.int64):
            if finite[place] and len(kept.expected) < POINTS:
                kept.expected.append(float(one[place]))
                kept.found.append(float(other[place]))

    def _look(self, kept: _Kept, output: str, sample: int, *, expected: Array, found: Array, max_abs: float) -> None:
        """Keep pictures of the first sample and of the one with the largest difference."""
        reasons = [_FIRST] if sample == 0 else []  # edge cases come before it
        if max_abs > kept.worst:
            kept.worst = max_abs
            reasons.append(_WORST)
        kind, pictured = self._golden.rule(output).kind, list(self._outputs).index(output) < PICTURED
        for why in reasons:
            if kind in ("classes", "distribution") and expected.ndim and expected.shape[-1] > 1:
                kept.classes[why] = _top(output, sample, why, expected=expected, found=found)
            elif pictured and kind != "detections":
                batched = self._golden.samples.batched
                seen = slice_choice.picture(
                    output, sample, why, expected=expected, found=found, batched=batched, channelled=_channelled(kind)
                )
                kept.slices.update({why: seen} if seen else {})


def _channelled(kind: str) -> bool | None:
    """Whether an output of a kind has a channel axis; `None` if its shape must decide."""
    return {"mask_logits": True, "mask_probabilities": True, "segmentation": True, "labels": False}.get(kind)


def _histogram(name: str, kept: _Kept) -> Histogram:
    return Histogram(
        output=name,
        counts=tuple(int(count) for count in kept.counts),
        equal=kept.equal,
        incomparable=kept.incomparable,
        looked_at=kept.looked_at,
        elements=kept.elements,
    )


def _top(output: str, sample: int, why: str, *, expected: Array, found: Array) -> TopClasses:
    """Return the `TOP` highest classes of both sides in the first row; NaN ranks lowest."""
    rows = [array.reshape(-1, array.shape[-1])[0].astype(np.float64) for array in (expected, found)]
    numbers: list[int] = []
    for row in rows:
        highest = np.argsort(-np.where(np.isnan(row), -np.inf, row), kind="stable")[:TOP]
        numbers += [int(number) for number in highest if int(number) not in numbers]
    classes = tuple(Class(number=number, expected=float(rows[0][number]), found=float(rows[1][number])) for number in numbers)
    return TopClasses(output=output, sample=sample, why=why, classes=classes)
