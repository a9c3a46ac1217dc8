"""Accumulate the errors of all outputs at every stage, for the stage table and the gates.

The tracker compares each output with PyTorch in float64, if that could run, and keeps only sums and maxima, so its memory does not
grow with the number of samples.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tritonize.core import arrays
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.core.reports import TensorCheck
from tritonize.core.results import ALL, DRAWN, Gate, NoiseFloor, StageRow
from tritonize.core.stages import StageName
from tritonize.quality import error_gates, metrics, noise_floor
from tritonize.quality.comparison import compare
from tritonize.quality.differences import CHUNK, measure, numeric
from tritonize.quality.error_gates import LargestError
from tritonize.quality.figure_collector import FigureCollector
from tritonize.quality.golden_set import GoldenSet
from tritonize.spec import schema

DOUBT = 4
"""An edge case is doubtful if its noise-floor ratio (k) exceeds the limit divided by this."""
REMEMBERED = 16384
"""Number of comparisons that are cached for later outputs with the same bits; about 50 MB. Beyond it, outputs are compared again.
10,000 samples in batches of up to 8 stay below it."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One output array compared with PyTorch in float64."""

    sums: metrics.Accumulator
    finite: bool
    max_abs: float
    """Largest difference, without ONNX Runtime's summation error where that was measured."""
    raw: float
    """Largest difference."""
    sample: int
    """The sample of the batch with the largest difference."""


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """The comparison of one batch's outputs."""

    tensors: tuple[TensorCheck, ...]
    parts: Mapping[str, _Part]


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Float64 values shifted by ONNX Runtime's own summation error; see `reference.summation_error`."""

    files: TensorFiles
    """One item per measured sample, with some of the outputs."""
    places: Mapping[int, int]
    """Item number by sample number."""
    floors: tuple[NoiseFloor, ...]
    """Floors with the allowance, for the outputs and groups that get one."""

    def exact(self, output: str, indices: Sequence[int], group: str) -> Array | None:
        """Return the shifted values of one output and batch; `None` without an allowance."""
        if not any((floor.output, floor.group) == (output, group) for floor in self.floors):
            return None
        return arrays.stack(self.files, [self.places[index] for index in indices])[output]


class ErrorTracker:
    """Accumulates errors by stage and output. Several threads may add outputs at the same time."""

    def __init__(self, golden: GoldenSet, collector: FigureCollector | None = None) -> None:
        self._golden = golden
        self.collector = collector
        """Collects the data for a report's figures; `None` without a report."""
        self._lock = threading.Lock()
        self._sums: dict[tuple[StageName, str], metrics.Accumulator] = {}
        self._largest: dict[tuple[StageName, str, str], LargestError] = {}
        self._reduced: tuple[NoiseFloor, ...] = ()
        self._known: dict[Hashable, _Compared] = {}
        self._moved: Moved | None = None

    def judge_reduced_by(self, floors: tuple[NoiseFloor, ...]) -> None:
        """Judge all stages after ONNX Runtime in float32 by the noise floors of a reduced precision."""
        self._reduced = floors

    @property
    def reduced(self) -> bool:
        """Whether there are noise floors of a reduced precision."""
        return bool(self._reduced)

    def fresh(self) -> ErrorTracker:
        """Return a new tracker with the same rules and no outputs yet."""
        tracker = ErrorTracker(self._golden)
        tracker.judge_reduced_by(self._reduced)
        tracker._moved = self._moved
        return tracker

    def doubtful(self) -> tuple[int, ...]:
        """Return edge cases whose error PyTorch's own noise hardly explains; the effect of rounding on them is then measured.

        Drawn samples are not included: a file that rounds to half precision internally is sensitive to rounding itself, and would
        excuse its own error.
        """
        samples = self._golden.samples
        names = {
            gate.group
            for gate in self.gates()
            if gate.gate == "noise floor"
            and gate.verdict != "not run"
            and gate.group not in (ALL, DRAWN)
            and (gate.value is None or gate.value * DOUBT > (gate.limit or 0))
        }
        return tuple(index for index, name in samples.edges.items() if name in names)

    def allow_for_rounding(self, sensitivity: Mapping[tuple[str, str], float]) -> None:
        """Raise noise floors of edge cases, by output and group, to the measured effect of rounding alone.

        In a reduced precision the effect is larger by the ratio of the units.
        """

        def raised(floor: NoiseFloor) -> NoiseFloor:
            moved = sensitivity.get((floor.output, floor.group), 0.0) * max(1.0, floor.unit / noise_floor.UNITS["fp32"])
            return replace(floor, sensitivity=max(floor.sensitivity, moved))

        self._golden = replace(self._golden, floors=tuple(map(raised, self._golden.floors)))
        self._reduced = tuple(map(raised, self._reduced))

    def allow_for_sums(self, moved: Moved) -> None:
        """Accept errors that ONNX Runtime's own summation explains, from now on. Discards everything accumulated so far."""
        raised = {(floor.output, floor.group): floor for floor in moved.floors}
        floors = tuple(raised.get((floor.output, floor.group), floor) for floor in self._golden.floors)
        self._golden = replace(self._golden, floors=floors)
        self._moved = moved
        self._sums.clear()
        self._largest.clear()
        self._known.clear()

    @property
    def floors(self) -> tuple[NoiseFloor, ...]:
        """Noise floors by which the finished version is judged."""
        return self._reduced or self._golden.floors

    @property
    def golden(self) -> GoldenSet:
        """The golden set of the comparisons."""
        return self._golden

    def check(
        self,
        stage: StageName,
        indices: Sequence[int],
        expected: Arrays,
        *,
        found: Arrays,
        tolerances: Mapping[str, schema.Tolerance],
        digest: str | None = None,
    ) -> tuple[TensorCheck, ...]:
        """Compare the outputs of a batch with PyTorch's by the tolerances, and add their errors.

        Outputs with the same bits for the same batch, as from another transport, are compared once.

        Args:
            expected: PyTorch's outputs, in the served shapes and types.
            digest: `arrays.digest` of `found`, if the caller has it already.
        """
        rules = tuple((name, array.shape, array.dtype.str, tolerances.get(name)) for name, array in expected.items())
        key = (tuple(indices), digest or arrays.digest(found), rules)
        known = self._known.get(key)
        if known is None:
            known = _Compared(tensors=compare(expected, found, tolerances), parts=self._parts(indices, found))
            if len(self._known) < REMEMBERED:
                self._known[key] = known
        self._take(stage, indices, known.parts, found=found)
        return known.tensors

    def add(self, stage: StageName, indices: Sequence[int], found: Arrays) -> None:
        """Add the errors of a batch's outputs. Missing or misshaped outputs are skipped; the tolerance gate reports them."""
        self._take(stage, indices, self._parts(indices, found), found=found)

    def _exact(self, indices: Sequence[int]) -> Arrays:
        """Return PyTorch's float64 values; float32 for outputs that have none."""
        golden = self._golden
        if golden.exact is None:
            return arrays.stack(golden.expected, indices)
        exact = arrays.stack(golden.exact, indices)
        if len(exact) == len(golden.expected.tensors):
            return exact
        return {name: exact.get(name, array) for name, array in arrays.stack(golden.expected, indices).items()}

    def _parts(self, indices: Sequence[int], found: Arrays) -> dict[str, _Part]:
        return {
            name: self._part(name, indices, array, found=found[name].reshape(array.shape))
            for name, array in self._exact(indices).items()
            if name in found and found[name].size == array.size and numeric(found[name]) and numeric(array)
        }

    def _part(self, name: str, indices: Sequence[int], expected: Array, *, found: Array) -> _Part:
        tolerance = self._golden.rule(name).tolerance
        differences = measure(expected, found, tolerance.rtol, atol=tolerance.atol)
        sums = self._empty(name)
        sums.add(expected, found, differences)
        nan, inf = differences.nan, differences.inf
        return _Part(
            sums=sums,
            finite=nan[0] == nan[1] and inf[0] == inf[1] and differences.finite + nan[0] + inf[0] == differences.elements,
            max_abs=self._error(name, indices, found, far=differences.max_abs),
            raw=differences.max_abs,
            sample=_worst_item(indices, expected, found),
        )

    def _error(self, name: str, indices: Sequence[int], found: Array, *, far: float) -> float:
        """Return the distance to the float64 values, or to those shifted by ONNX Runtime's summation error, if smaller."""
        moved = self._moved.exact(name, indices, self._golden.samples.group(indices[0])) if self._moved else None
        if moved is None or moved.shape != found.shape:
            return far
        return min(far, measure(moved, found, 0.0, atol=0.0, ulp=False).max_abs)

    def _empty(self, name: str) -> metrics.Accumulator:
        rule = self._golden.rule(name)
        tolerance = rule.tolerance
        return metrics.Accumulator(rule.kind, rtol=tolerance.rtol, atol=tolerance.atol, batched=self._golden.samples.batched)

    def _take(self, stage: StageName, indices: Sequence[int], parts: Mapping[str, _Part], *, found: Arrays) -> None:
        group = self._golden.samples.group(indices[0])
        with self._lock:
            for name, part in parts.items():
                if (stage, name) not in self._sums:
                    self._sums[stage, name] = self._empty(name)
                self._sums[stage, name].merge(part.sums)
                seen = self._largest.setdefault((stage, name, group), LargestError())
                seen.finite &= part.finite
                seen.raw = max(seen.raw, part.raw)
                if part.max_abs >= seen.max_abs:
                    seen.max_abs, seen.sample = part.max_abs, part.sample
            if self.collector and self.collector.wants(stage, indices):
                for name, array in self._exact(indices).items():
                    if name in parts:
                        self.collector.add(
                            stage,
                            name,
                            indices,
                            expected=array,
                            found=found[name].reshape(array.shape),
                            max_abs=parts[name].max_abs,
                        )

    def rows(self) -> tuple[StageRow, ...]:
        """Return the stage table."""
        order = sorted(self._sums, key=lambda key: (key[0].order, key[0]))
        return tuple(
            StageRow(
                stage=stage,
                output=name,
                against="fp64" if self._golden.is_exact(name) else "fp32",
                metrics=self._sums[stage, name].result(),
            )
            for stage, name in order
        )

    def gates(self, *, on_gpu: Collection[StageName] = ()) -> tuple[Gate, ...]:
        """Return the noise-floor gates of every stage, output and group, and the gates on metrics.

        Args:
            on_gpu: stages that ran on a GPU.
        """
        return (
            *error_gates.not_measured(self._golden),
            *error_gates.noise_gates(self._golden, self._largest, self._reduced, sums_known=self._moved is not None, on_gpu=on_gpu),
            *error_gates.metric_gates(self._golden, self.rows()),
        )

    def is_finite(self, gate: Gate) -> bool:
        """Whether the outputs behind a noise-floor gate are finite exactly where PyTorch's are."""
        return self._largest[gate.stage, gate.output, gate.group].finite


def _worst_item(indices: Sequence[int], expected: Array, found: Array) -> int:
    """Return the sample of a batch with the largest difference."""
    if len(indices) == 1:
        return indices[0]
    if expected.size > CHUNK:  # sample by sample, for the memory
        return indices[int(np.argmax([_farthest(one[None], other[None]) for one, other in zip(expected, found, strict=True)]))]
    return indices[int(np.argmax(_farthest(expected, found)))]


def _farthest(expected: Array, found: Array) -> Array:
    """Return the largest difference of finite elements of each sample, in float64; 0.0 without any."""
    with np.errstate(all="ignore"):
        far = np.abs(found.astype(np.float64) - expected.astype(np.float64)).reshape(len(expected), -1)
    largest: Array = np.max(far, axis=1, where=np.isfinite(far), initial=0.0)
    return largest
