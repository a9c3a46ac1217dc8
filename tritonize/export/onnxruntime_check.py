"""Run one ONNX file in ONNX Runtime and compare it with the baseline, every sample at every batch size."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import OnnxArtifact
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check, Finding, Stage, TensorCheck
from tritonize.core.stages import StageName
from tritonize.export.proven import first_failure
from tritonize.onnx_model import runtime
from tritonize.quality import nonfinite
from tritonize.quality.batch_checks import check_batches
from tritonize.quality.comparison import compare
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import edge_case_rounding, summation_error
from tritonize.reference.baseline import Baseline
from tritonize.spec import schema

STAGE = StageName.ONNXRUNTIME


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeCheck:
    """ONNX Runtime's outputs compared with the baseline."""

    checks: tuple[Check, ...]
    version: str
    """Of ONNX Runtime."""
    nonfinite: tuple[Finding, ...]
    """Differences from PyTorch on inputs with NaN or infinities."""
    stage: Stage
    """Duration and verdict; the caller records it."""

    def after(self, first: Stage, dropped: Collection[str]) -> OnnxRuntimeCheck:
        """Return this check with the cost of a first run added; that run found edge cases that cannot be judged, `dropped`."""
        stage = replace(
            self.stage,
            seconds=first.seconds + self.stage.seconds,
            library_seconds=first.library_seconds + self.stage.library_seconds,
            peak_memory=max(first.peak_memory, self.stage.peak_memory),
            note=f"{self.stage.note}; without {', '.join(dropped)}",
        )
        return replace(self, stage=stage)


def check(
    model: schema.Model, baseline: Baseline, artifact: OnnxArtifact, *, tracker: ErrorTracker, work: Path, recorder: Recorder
) -> OnnxRuntimeCheck:
    """Run the file on every batch and compare. Errors that rounding or ONNX Runtime's summation explain are measured and allowed.

    Args:
        tracker: already holds the baseline's own comparisons.

    Raises:
        ExportError: ONNX Runtime does not load or run the file.
    """
    golden = baseline.golden
    batches = golden.batches()
    recorder.begin(STAGE)
    started = time.perf_counter()
    apart = baseline.nonfinite.samples if baseline.nonfinite else None
    ran = runtime.run_within(model, artifact.path, golden.samples, batches=batches, directory=work / STAGE.key, apart=apart)
    checks = tuple(check_batches(golden, STAGE, batches, found=ran, tracker=tracker))
    rounding = edge_case_rounding.allow_for_rounding(model, artifact, tracker, work=work / "rounding", recorder=recorder)
    sums = summation_error.allow(model, artifact, tracker, work=work / "sums", recorder=recorder)
    if sums.moved is not None:
        tracker.allow_for_sums(sums.moved)
        baseline.add_to(tracker)
        checks = tuple(check_batches(golden, STAGE, batches, found=ran, tracker=tracker))
    stage = Stage(
        name=STAGE,
        verdict="failed" if first_failure(checks, tracker) else "passed",
        seconds=time.perf_counter() - started,
        library_seconds=ran.library_seconds + rounding + sums.library_seconds,
        peak_memory=ran.peak_memory,
        note=f"{len(batches)} batches",
    )
    return OnnxRuntimeCheck(checks=checks, version=ran.version, nonfinite=_nonfinite_findings(baseline, ran), stage=stage)


def _nonfinite_findings(baseline: Baseline, ran: runtime.OrtRun) -> tuple[Finding, ...]:
    """Differences between PyTorch and the file on inputs with NaN or infinities."""
    if baseline.nonfinite is None:
        return ()
    outputs = {
        case: output if isinstance(output, str) else arrays.load(output, 0)
        for case, output in zip(baseline.nonfinite.samples.edges.values(), ran.apart, strict=True)
    }

    def compare_case(expected: arrays.Arrays, found: arrays.Arrays) -> tuple[TensorCheck, ...]:
        return compare(expected, found, baseline.golden.tolerances)

    return tuple(nonfinite.differences(baseline.nonfinite, outputs, compare_case))
