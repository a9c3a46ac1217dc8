"""What the export ladder hands on: an ONNX file, the baseline that it was compared with, and how it compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritonize.core import conclusion
from tritonize.core.artifacts import Attempt, Check, Finding, OnnxArtifact
from tritonize.quality import gates
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference.baseline import Baseline


@dataclass(frozen=True, kw_only=True)
class ProvenOnnx:
    """An ONNX file and how it answers; `passed` says whether it answers like the baseline."""

    baseline: Baseline
    """Without the edge cases that float32 cannot answer; samples and outputs in the types of the file."""
    artifact: OnnxArtifact
    checks: tuple[Check, ...]
    """ONNX Runtime's answers, compared."""
    tracker: ErrorTracker
    """Has the errors of all answers so far."""
    attempts: tuple[Attempt, ...] = ()
    versions: Mapping[str, str]
    """Of torch and ONNX Runtime."""
    notes: tuple[str, ...] = ()
    """What was done to the file, and what the proof does not cover."""
    nonfinite: tuple[Finding, ...] = ()
    """What the file answers otherwise where NaN or infinities are among the inputs."""

    @property
    def all_checks(self) -> tuple[Check, ...]:
        """The baseline's own, then ONNX Runtime's."""
        return (*self.baseline.checks, *self.checks)

    @property
    def answers_alike(self) -> bool:
        """Whether ONNX Runtime answered like the baseline, every sample at every batch size, within every gate."""
        gates_passed = not any(gate.verdict == "failed" for gate in self.tracker.gates())
        return gates_passed and all(check.passed for check in self.all_checks)

    @property
    def passed(self) -> bool:
        """Whether it did so, and the baseline is settled."""
        return not self.baseline.findings and self.answers_alike

    @property
    def golden(self) -> GoldenSet:
        """What a version carries, and what its plans and its server have to answer: with the noise floors that were measured."""
        return replace(self.baseline.golden, floors=self.tracker.floors)


def first_failure(checks: Sequence[Check], tracker: ErrorTracker) -> str:
    """The first output outside its tolerance, or the first gate that failed, in one line; empty where there is none."""
    bad = next((tensor for check in checks for tensor in check.tensors if not tensor.passed), None)
    if bad:
        return f"{bad.name}: {bad.reason}"
    gate = gates.first_over_budget(tracker.gates())
    return f"{gate.output}: {conclusion.gate_in_words(gate)}" if gate else ""
