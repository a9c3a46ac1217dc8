"""The result of the export ladder: an ONNX file, its baseline, and the comparison of the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritonize.core import conclusion
from tritonize.core.artifacts import Attempt, OnnxArtifact
from tritonize.core.reports import Check, Finding
from tritonize.quality import gates
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference.baseline import Baseline


@dataclass(frozen=True, kw_only=True)
class ProvenOnnx:
    """An ONNX file and its comparison with the baseline; `passed` is the verdict."""

    baseline: Baseline
    """Without the edge cases that float32 cannot compute; samples and outputs in the types of the file."""
    artifact: OnnxArtifact
    checks: tuple[Check, ...]
    """Comparisons of ONNX Runtime's outputs."""
    tracker: ErrorTracker
    """Holds the errors of all comparisons so far."""
    attempts: tuple[Attempt, ...] = ()
    versions: Mapping[str, str]
    """Of torch and ONNX Runtime."""
    notes: tuple[str, ...] = ()
    """Changes to the file, and limits of the comparison."""
    nonfinite: tuple[Finding, ...] = ()
    """Differences from PyTorch on inputs with NaN or infinities."""

    @property
    def all_checks(self) -> tuple[Check, ...]:
        """The baseline's own checks, then ONNX Runtime's."""
        return (*self.baseline.checks, *self.checks)

    @property
    def matches(self) -> bool:
        """Whether ONNX Runtime's outputs match the baseline: every sample at every batch size, within every gate."""
        gates_passed = not any(gate.verdict == "failed" for gate in self.tracker.gates())
        return gates_passed and all(check.passed for check in self.all_checks)

    @property
    def passed(self) -> bool:
        """Whether the outputs match and the baseline itself has no findings."""
        return not self.baseline.findings and self.matches

    @property
    def golden(self) -> GoldenSet:
        """The golden set with the measured noise floors. A published version carries it, and its plans and server must match it."""
        return replace(self.baseline.golden, floors=self.tracker.floors)


def first_failure(checks: Sequence[Check], tracker: ErrorTracker) -> str:
    """Describe the first output outside its tolerance, or the first failed gate, in one line; empty if everything passed."""
    bad = next((tensor for check in checks for tensor in check.tensors if not tensor.passed), None)
    if bad:
        return f"{bad.name}: {bad.reason}"
    gate = gates.first_over_budget(tracker.gates())
    return f"{gate.output}: {conclusion.describe_gate(gate)}" if gate else ""
