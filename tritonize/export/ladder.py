"""The export ladder: try one export strategy after another until the outputs of one file match the baseline."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any  # Any: keyword arguments of `Attempt`

from tritonize.core import decisions, progress
from tritonize.core.artifacts import Attempt
from tritonize.core.errors import ExportError
from tritonize.core.messages import reference as wording
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.export import exporter, ladder_failure, onnxruntime_check
from tritonize.export.exporter import Exported
from tritonize.export.onnxruntime_check import OnnxRuntimeCheck
from tritonize.export.proven import ProvenOnnx, first_failure
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import edge_case_rounding, runner
from tritonize.reference.baseline import Baseline
from tritonize.spec import schema


def climb(model: schema.Model, baseline: Baseline, work: Path, *, recorder: Recorder) -> ProvenOnnx:
    """Export with one strategy after another and return the first file that matches; if none does, the first that was written.

    A source that is already an ONNX file is finished and compared without an export.

    Raises:
        UsageError: an ONNX file's external data is missing or lies outside its folder.
        ExportError: no strategy wrote a file; the text lists every attempt.
    """
    if baseline.source.kind == "onnx":
        return _take(model, baseline, work, recorder=recorder)
    attempts: list[Attempt] = []
    wrong: ProvenOnnx | None = None
    for strategy in exporter.ladder(model, baseline.source.kind):
        rung = _try(model, baseline, strategy, work=work / strategy, recorder=recorder)
        baseline = rung.baseline
        attempts.append(rung.attempt)
        if rung.proven is None:
            continue
        if rung.proven.matches:
            return replace(rung.proven, attempts=tuple(attempts))
        wrong = wrong or rung.proven
    if wrong is None:
        raise ladder_failure.every_strategy_failed(model, baseline.source, attempts)
    return _with_state(replace(wrong, attempts=tuple(attempts)))


def _with_state(wrong: ProvenOnnx) -> ProvenOnnx:
    """Add a note about state that the model keeps between calls, a likely reason for wrong outputs."""
    changed = wrong.baseline.changed
    if not changed:
        return wrong
    return replace(wrong, notes=(*wrong.notes, wording.STATE_KEPT.text(changed=", ".join(changed[:5]))))


@dataclass(frozen=True, kw_only=True)
class _Rung:
    """The outcome of one strategy."""

    attempt: Attempt
    proven: ProvenOnnx | None = None
    """`None` if it wrote no file."""
    baseline: Baseline
    """The baseline for the next strategy: without the edge cases that float32 cannot compute."""


def _try(model: schema.Model, baseline: Baseline, strategy: str, *, work: Path, recorder: Recorder) -> _Rung:
    """Export with one strategy and compare in ONNX Runtime; edge cases that float32 cannot compute are dropped."""
    started = time.perf_counter()
    work.mkdir(parents=True)
    frozen: dict[str, Any] = {}
    try:
        exported = _export(model, baseline, strategy, work=work, recorder=recorder)
        frozen = {"decisions": exported.decisions, "warned": exported.warned}
        artifact, tracker = exported.artifact, baseline.tracker()
        checked = onnxruntime_check.check(model, baseline, artifact, tracker=tracker, work=work, recorder=recorder)
        folder = work / "unanswerable"
        if dropped := edge_case_rounding.undetermined(
            model, artifact, tracker.golden, checks=checked.checks, work=folder, recorder=recorder
        ):
            baseline = baseline.without(dropped)
            tracker = baseline.tracker()
            again = onnxruntime_check.check(model, baseline, artifact, tracker=tracker, work=work / "again", recorder=recorder)
            checked = again.after(checked.stage, dropped)
        recorder.add(checked.stage)  # only now is it known which edge cases count
        reason = first_failure(checked.checks, tracker)
        if not reason:
            decisions.require_seen(exported.decisions, model.accept_branches)
    except ExportError as error:
        seconds = time.perf_counter() - started
        return _Rung(attempt=_failed(strategy, error, seconds, frozen=frozen), baseline=baseline)
    notes = (*exported.notes, *decisions.notes(exported.decisions, model.accept_branches, right=not reason))
    proven = _proven(baseline, exported, checked, tracker=tracker, versions={"torch": exported.torch}, notes=notes)
    seconds = time.perf_counter() - started
    attempt = Attempt(strategy=strategy, outcome="wrong" if reason else "right", seconds=seconds, reason=reason, **frozen)
    return _Rung(attempt=attempt, proven=proven, baseline=baseline)


def _failed(strategy: str, error: ExportError, seconds: float, *, frozen: dict[str, Any]) -> Attempt:
    """Record a strategy that wrote no file."""
    return Attempt(
        strategy=strategy,
        outcome="failed",
        seconds=seconds,
        reason=f"{error.what} {error.found}" if error.found else error.what,
        code=error.code,
        where=error.where,
        place=error.place,
        next_step=error.next_step,
        **frozen,
    )


def _export(model: schema.Model, baseline: Baseline, strategy: str, *, work: Path, recorder: Recorder) -> Exported:
    """Export the model with one strategy."""
    assert baseline.example is not None, "a model that is exported has an example"
    with recorder.stage(StageName.EXPORT) as outcome:
        progress.report(text=strategy)
        exported = exporter.export(
            model,
            exporter.Subject(
                load=replace(runner.load_request(model, baseline.source), fast_path=False),
                inputs=baseline.samples.files.tensors,
                outputs=baseline.output_specs(model.batch_axis),
                example=baseline.example,
                samples=baseline.samples,
                state=baseline.state,
            ),
            strategy,
            directory=work,
        )
        outcome.cost(exported)
        outcome.note = f"{strategy}, opset {exported.artifact.opset}, {exported.artifact.size / 2**20:.1f} MiB"
    return exported


def _proven(
    baseline: Baseline,
    exported: Exported,
    checked: OnnxRuntimeCheck,
    *,
    tracker: ErrorTracker,
    versions: dict[str, str],
    notes: tuple[str, ...],
) -> ProvenOnnx:
    return ProvenOnnx(
        baseline=replace(baseline, golden=tracker.golden),  # with the allowances
        artifact=exported.artifact,
        checks=checked.checks,
        tracker=tracker,
        versions={**versions, "onnxruntime": checked.version},
        notes=notes,
        nonfinite=checked.nonfinite,
    )


def _take(model: schema.Model, baseline: Baseline, work: Path, *, recorder: Recorder) -> ProvenOnnx:
    """Finish a source that is an ONNX file like an exported one, and compare it with the baseline of the original file."""
    with recorder.stage(StageName.COPY) as outcome:
        exported, parameters = exporter.take(model, Path(baseline.source.location), work / "as_is")
        outcome.cost(exported)
        outcome.note = f"opset {exported.artifact.opset}, {exported.artifact.size / 2**20:.1f} MiB"
    baseline = replace(baseline, parameters=parameters)
    tracker = baseline.tracker()
    checked = onnxruntime_check.check(model, baseline, exported.artifact, tracker=tracker, work=work, recorder=recorder)
    recorder.add(checked.stage)
    return _proven(baseline, exported, checked, tracker=tracker, versions={}, notes=exported.notes)
