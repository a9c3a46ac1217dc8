"""The export ladder: strategies in order, each proven against PyTorch before it counts, until one is right.

PyTorch is asked first, and about itself: a model that answers the same question differently, that changes itself by
answering, or that cannot be batched is reported as that, and not as a failed export.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tritonize.core import arrays, conclusion, decisions
from tritonize.core.artifacts import (
    Attempt,
    Check,
    Finding,
    OnnxArtifact,
    Reference,
    SampleSet,
    Source,
    Stage,
    TensorCheck,
    TensorFiles,
    TensorSpec,
)
from tritonize.core.errors import ExportError, TritonizeError, UsageError
from tritonize.core.messages import reference as wording
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.export import exporter, ladder_failure
from tritonize.onnx_model import runtime
from tritonize.quality import gates, nonfinite
from tritonize.quality.comparison import compare
from tritonize.quality.figure_collector import FigureCollector
from tritonize.quality.golden_set import ONNX_SOURCE, GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import baseline, onnx_edge_cases, runner, summation_error
from tritonize.source import inspection, samples
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class Proven:
    """An ONNX file and how it answers; `passed` says whether it answers like PyTorch."""

    samples: SampleSet
    reference: Reference
    outputs: tuple[TensorSpec, ...]
    artifact: OnnxArtifact
    checks: tuple[Check, ...]
    attempts: tuple[Attempt, ...]
    versions: Mapping[str, str]
    """Of torch and ONNX Runtime."""
    notes: tuple[str, ...] = ()
    """What the proof does not cover."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the reference itself, as plain data."""
    findings: tuple[Finding, ...] = ()
    """Why it is not settled what the reference is."""
    tracker: ErrorTracker
    """Has seen every answer so far."""
    nonfinite: tuple[Finding, ...] = ()
    """What the file answers otherwise where NaN or infinities are among the inputs."""
    changed: tuple[str, ...] = ()
    """Of a wrong file: attributes of Python's that the model changed while it answered, with what they held."""

    @property
    def passed(self) -> bool:
        """Whether ONNX Runtime answered like a settled reference, every sample at every batch size, within every gate."""
        return (
            not self.findings
            and all(check.passed for check in self.checks)
            and not any(gate.verdict == "failed" for gate in self.tracker.gates())
        )


def prove(model: schema.Model, source: Source, work: Path, recorder: Recorder) -> Proven:
    """Climb the ladder. The result is the first right file; where only wrong ones were made, the first of those.

    Raises:
        UsageError: the model is not what the spec says of it.
        ExportError: the model itself cannot be proven, or no strategy made a file; every attempt is in the text.
    """
    wide = samples.signed(model, -9)
    if wide is not model and not model.samples.patterns and source.kind != "onnx":
        try:
            return _prove(wide, source, made(work / "signed"), recorder)
        except ExportError as error:
            if not error.what.startswith("The model raised"):
                raise
            # Indices and token ids are no negative numbers; what is proven then is in the report.
            proven = _prove(samples.signed(model, 0), source, work, recorder)
            return replace(
                proven, notes=(*proven.notes, "Integer inputs were proven for 0 to 9 only: the model refuses negative ones.")
            )
    return _prove(model, source, work, recorder)


def _prove(model: schema.Model, source: Source, work: Path, recorder: Recorder) -> Proven:
    with recorder.stage(StageName.SAMPLES) as outcome:
        drawn = samples.write(model, work / "samples")
        example = samples.write_example(model, drawn, work / "example")
        outcome.note = f"{drawn.files.count} samples, {drawn.origin}"
        drawn = baseline.with_edges(model, drawn)
    if source.kind == "onnx":
        return _prove_onnx(model, source, drawn, work, recorder)
    answered = baseline.ask(model, source, drawn, work, recorder, nonfinite.write(model, drawn, work / "apart"))
    own = answered.computed.reference
    ladder = _Ladder(model, source, answered.samples, example, own, _output_specs(model, own), answered.golden, answered.notes)
    ladder = replace(ladder, nonfinite=answered.nonfinite)
    attempts: list[Attempt] = []
    wrong: Proven | None = None
    for strategy in exporter.ladder(model, source.kind):
        climbed, attempt, ladder = _climb(ladder, strategy, work / strategy, recorder)
        attempts.append(attempt)
        if climbed is None:
            continue
        climbed = replace(climbed, checks=(*answered.checks, *climbed.checks), attempts=tuple(attempts), facts=answered.facts)
        if climbed.passed:
            return replace(climbed, findings=answered.findings)
        wrong = wrong or climbed
    if wrong is None:
        raise ladder_failure.nothing_made(model, source, attempts)
    return _with_state(replace(wrong, attempts=tuple(attempts), findings=answered.findings), answered.computed.changed)


def _with_state(wrong: Proven, changed: Sequence[str]) -> Proven:
    """A wrong file, and what the model keeps between calls, which may be why."""
    if not changed:
        return wrong
    return replace(wrong, changed=tuple(changed), notes=(*wrong.notes, wording.STATE_KEPT.text(changed=", ".join(changed[:5]))))


@dataclass(frozen=True)
class _Ladder:
    """What every rung starts from."""

    model: schema.Model
    source: Source
    samples: SampleSet
    example: TensorFiles
    reference: Reference
    outputs: tuple[TensorSpec, ...]
    golden: GoldenSet
    notes: tuple[str, ...] = ()
    nonfinite: nonfinite.Asked | None = None

    def without(self, dropped: Mapping[str, str]) -> _Ladder:
        """The same without some edge cases, with a sentence for each."""
        own, golden = baseline.drop(self.reference, self.golden, tuple(dropped))
        notes = tuple(f"Edge case {name} is not among the samples: {why}." for name, why in dropped.items())
        return replace(self, samples=golden.samples, reference=own, golden=golden, notes=(*self.notes, *notes))

    def tracker(self) -> ErrorTracker:
        """One that has seen PyTorch's own answers."""
        made = ErrorTracker(self.golden, FigureCollector(self.golden))
        self.show(made)
        return made

    def show(self, tracker: ErrorTracker) -> None:
        """Let a tracker see PyTorch's own answers."""
        for index in range(self.samples.files.count):
            tracker.add(StageName.PYTORCH, (index,), arrays.load(self.reference.outputs, index))


def _climb(ladder: _Ladder, strategy: str, work: Path, recorder: Recorder) -> tuple[Proven | None, Attempt, _Ladder]:
    """One strategy: export, then ONNX Runtime against PyTorch; and what the next one starts from."""
    started = time.perf_counter()
    work.mkdir(parents=True)
    frozen: dict[str, Any] = {}
    try:
        with recorder.stage(StageName.EXPORT) as outcome:
            made = exporter.export(
                ladder.model,
                exporter.Subject(
                    load={**runner.load_request(ladder.model, ladder.source), "fast_path": False},
                    inputs=ladder.samples.files.tensors,
                    outputs=ladder.outputs,
                    example=ladder.example,
                    samples=ladder.samples,
                    state=ladder.reference.state,
                ),
                strategy,
                work,
            )
            artifact = made.artifact
            outcome.cost(made)
            outcome.note = f"{strategy}, opset {artifact.opset}, {artifact.size / 2**20:.1f} MiB"
        frozen = {"decisions": made.decisions, "warned": made.warned}
        tracker = ladder.tracker()
        answered = _ask_onnxruntime(ladder, artifact, work, recorder, tracker)
        if dropped := baseline.unanswerable(
            ladder.model, artifact, tracker.golden, answered.checks, work / "unanswerable", recorder
        ):
            ladder = ladder.without(dropped)
            tracker = ladder.tracker()
            answered = _ask_onnxruntime(ladder, artifact, work / "again", recorder, tracker).after(answered.stage, dropped)
        recorder.add(answered.stage)  # not before it is known which edge cases count
        checks = answered.checks
        reason = _first_failure(checks, tracker)
        if not reason:
            decisions.require_seen(made.decisions, ladder.model.accept_branches)
    except ExportError as error:
        attempt = Attempt(
            strategy=strategy,
            outcome="failed",
            seconds=time.perf_counter() - started,
            reason=_one_line(error),
            code=error.code,
            where=error.where,
            next_step=error.next_step,
            **frozen,
        )
        return None, attempt, ladder
    proven = Proven(
        samples=ladder.samples,
        reference=ladder.reference,
        outputs=ladder.outputs,
        artifact=artifact,
        checks=checks,
        attempts=(),
        versions={"torch": made.torch, "onnxruntime": answered.version},
        tracker=tracker,
        nonfinite=answered.nonfinite,
        notes=(*ladder.notes, *made.notes, *decisions.notes(made.decisions, ladder.model.accept_branches, right=not reason)),
    )
    seconds = time.perf_counter() - started
    attempt = Attempt(strategy=strategy, outcome="wrong" if reason else "right", seconds=seconds, reason=reason, **frozen)
    return proven, attempt, ladder


def _first_failure(checks: Sequence[Check], tracker: ErrorTracker) -> str:
    """In one line; empty where there is none."""
    bad = next((tensor for check in checks for tensor in check.tensors if not tensor.passed), None)
    if bad:
        return f"{bad.name}: {bad.reason}"
    gate = gates.first_over_budget(tracker.gates())
    return f"{gate.output}: {conclusion.gate_in_words(gate)}" if gate else ""


def _one_line(error: TritonizeError) -> str:
    return f"{error.what} {error.found}" if error.found else error.what


def _prove_onnx(model: schema.Model, source: Source, drawn: SampleSet, work: Path, recorder: Recorder) -> Proven:
    """A file that is ONNX already: what it answers in ONNX Runtime, sample by sample, is the reference for what is made of it."""
    path = Path(source.location)
    found = inspection.inspect(source, work / "inspect")  # before anything follows a path in it
    exporter.require_servable(model, found.details)
    onnx_edge_cases.require_types(model, found.inputs)
    drawn, notes, unpadded = onnx_edge_cases.answerable(
        model, drawn, work / "edges", lambda apart: _run_onnx(model, path, drawn, [(0,)], work / "edge_answers", apart)
    )
    singles = [(index,) for index in range(drawn.files.count)]
    batches = baseline.first_batches(model, drawn)
    with recorder.stage(StageName.SOURCE) as outcome:
        ran = _run_onnx(model, path, drawn, [*singles, *batches], work / "source")
        expected = _gathered(ran, len(singles), work / "expected")
        outcome.cost(ran)
        outcome.note = f"{drawn.files.count} samples"
    with recorder.stage(StageName.EXPORT) as outcome:
        taken, parameters = exporter.take(model, path, made(work / "as_is"))
        outcome.cost(taken)
        outcome.note = f"as it is, opset {taken.artifact.opset}, {taken.artifact.size / 2**20:.1f} MiB"
    answered = Reference(source=source, outputs=expected, parameters=parameters)
    computed = runner.Computed(reference=answered, batched=_gathered(ran, len(batches), work / "batched", start=len(singles)))
    baseline.require_one_shape(model, expected, drawn)
    asked = tuple(
        baseline.batch_check(model, computed, position, batch, StageName.SOURCE) for position, batch in enumerate(batches)
    )
    outputs = _output_specs(model, answered)
    golden = GoldenSet(
        samples=drawn,
        expected=expected,
        max_batch_size=model.max_batch_size,
        why_not="the source is an ONNX file, and there is no PyTorch to ask in float64",
        answered_by=ONNX_SOURCE,
        required=model.quality.float64 == "required",
        unpadded=unpadded,
        rules=gates.rules(model, drawn, expected),
    )
    ladder = _Ladder(model, source, drawn, expected, answered, outputs, golden)
    tracker = ladder.tracker()
    given = _ask_onnxruntime(ladder, taken.artifact, work, recorder, tracker)
    recorder.add(given.stage)
    return Proven(
        samples=drawn,
        reference=answered,
        outputs=outputs,
        artifact=taken.artifact,
        checks=(*asked, *given.checks),
        attempts=(),
        versions={"onnxruntime": given.version},
        tracker=tracker,
        notes=(*notes, *taken.notes),
    )


def made(folder: Path) -> Path:
    """A new folder."""
    folder.mkdir(parents=True)
    return folder


def _gathered(ran: runtime.OrtRun, count: int, directory: Path, start: int = 0) -> TensorFiles:
    """Answers of one run as one set of items."""
    tensors = ran.outputs[start].tensors if count else ()
    files = TensorFiles(directory=directory, tensors=tensors, count=count)
    for index in range(count):
        arrays.save(files, index, ran.answer(start + index))
    return files


def _output_specs(model: schema.Model, answered: Reference) -> tuple[TensorSpec, ...]:
    """The outputs as the exporter is told: the batch axis by name where the model is batched.

    Raises:
        UsageError: the spec has rules for an output that the model does not have, which would then hold for none.
    """
    names = [tensor.name for tensor in answered.outputs.tensors]
    if unknown := [name for name in model.outputs if name not in names]:
        raise UsageError(
            "The model has no such output.", where="outputs", found=", ".join(unknown), expected=f"one of {', '.join(names)}"
        )
    if not model.batch_axis:
        return answered.outputs.tensors
    return tuple(replace(tensor, shape=(model.batch_axis, *tensor.shape[1:])) for tensor in answered.outputs.tensors)


@dataclass(frozen=True, kw_only=True)
class _Answered:
    """What ONNX Runtime answered, compared with PyTorch."""

    checks: tuple[Check, ...]
    version: str
    """Of ONNX Runtime."""
    nonfinite: tuple[Finding, ...]
    """What the file makes of NaN and infinities."""
    stage: Stage
    """Its time and outcome, not recorded yet."""

    def after(self, first: Stage, dropped: Collection[str]) -> _Answered:
        """The same, as the second part of a stage whose first part showed that some edge cases cannot be judged."""
        stage = replace(
            self.stage,
            seconds=first.seconds + self.stage.seconds,
            library_seconds=first.library_seconds + self.stage.library_seconds,
            peak_memory=max(first.peak_memory, self.stage.peak_memory),
            note=f"{self.stage.note}; without {', '.join(dropped)}",
        )
        return replace(self, stage=stage)


def _ask_onnxruntime(ladder: _Ladder, artifact: OnnxArtifact, work: Path, recorder: Recorder, tracker: ErrorTracker) -> _Answered:
    """ONNX Runtime against PyTorch, every sample at every batch size."""
    model, drawn = ladder.model, ladder.samples
    batches = [batch for size in arrays.batch_sizes(model.max_batch_size) for batch in arrays.batches(drawn, size)]
    recorder.begin(StageName.ONNXRUNTIME)
    started = time.perf_counter()
    apart = ladder.nonfinite.samples if ladder.nonfinite else None
    ran = _run_onnx(model, artifact.path, drawn, batches, work / "onnxruntime", apart)
    checks = _checked(ladder, batches, ran, tracker)
    rounding = baseline.allow_for_rounding(model, artifact, tracker, work / "rounding", recorder)
    sums = summation_error.allow(model, artifact, tracker, work / "sums", recorder)
    if sums.moved is not None:
        tracker.allow_for_sums(sums.moved)
        ladder.show(tracker)
        checks = _checked(ladder, batches, ran, tracker)
    stage = Stage(
        name=StageName.ONNXRUNTIME,
        verdict="failed" if _first_failure(checks, tracker) else "passed",
        seconds=time.perf_counter() - started,
        library_seconds=ran.library_seconds + rounding + sums.library_seconds,
        peak_memory=ran.peak_memory,
        note=f"{len(batches)} batches",
    )
    return _Answered(checks=tuple(checks), version=ran.version, nonfinite=_otherwise(ladder, ran), stage=stage)


def _checked(ladder: _Ladder, batches: Sequence[tuple[int, ...]], ran: runtime.OrtRun, tracker: ErrorTracker) -> list[Check]:
    """What ONNX Runtime answered to every batch, compared with PyTorch and shown to the tracker."""
    checks = []
    for position, batch in enumerate(batches):
        expected, found = runner.expected(ladder.reference, batch), ran.answer(position)
        tolerances = {name: baseline.tolerance(ladder.model, name) for name in expected}
        tensors = tracker.check(StageName.ONNXRUNTIME, batch, expected, found, tolerances)
        size = len(batch) if ladder.samples.batched else 0
        seconds = ran.seconds[position]
        checks.append(Check(stage=StageName.ONNXRUNTIME, batch_size=size, samples=batch, tensors=tensors, seconds=seconds))
    return checks


def _otherwise(ladder: _Ladder, ran: runtime.OrtRun) -> tuple[Finding, ...]:
    """What a file answers otherwise where NaN or infinities are among the inputs."""
    if ladder.nonfinite is None:
        return ()
    answers = {
        case: answer if isinstance(answer, str) else arrays.load(answer, 0)
        for case, answer in zip(ladder.nonfinite.samples.edges.values(), ran.apart, strict=True)
    }

    def judge(expected: arrays.Arrays, found: arrays.Arrays) -> tuple[TensorCheck, ...]:
        return compare(expected, found, {name: baseline.tolerance(ladder.model, name) for name in expected})

    return tuple(nonfinite.differences(ladder.nonfinite, answers, judge))


def _run_onnx(
    model: schema.Model,
    path: Path,
    drawn: SampleSet,
    batches: Sequence[tuple[int, ...]],
    work: Path,
    apart: SampleSet | None = None,
) -> runtime.OrtRun:
    """ONNX Runtime within the bounds, and with the operators, that the spec gives."""
    return runtime.run(
        path,
        drawn,
        batches,
        work,
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
        libraries=model.custom_op_libraries,
        apart=apart,
    )
