"""The proof of built plans: each is run on the GPU of this machine, if that is of its kind, and compared with PyTorch.

What cannot run here is *not run*, with the reason; it is never passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonize.core.artifacts import Check, Finding, Reference, SampleSet, Stage, to_json
from tritonize.core.errors import MissingError, PlanError
from tritonize.core.recorder import Recorder
from tritonize.core.results import Verdict
from tritonize.core.stages import StageName
from tritonize.plans import engine, gpu, plan_file, proof_record
from tritonize.plans.builder import BuiltPlan
from tritonize.plans.layers import Layers
from tritonize.quality.comparison import compare
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import runner
from tritonize.spec.schema import Tolerance

HALF = ("fp16", "bf16")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What every plan of a model has to answer, and how close."""

    samples: SampleSet
    reference: Reference
    tolerances: Mapping[str, Tolerance]
    precision: str
    """As the spec asks: `fp32`, `tf32`, or a half one, of which the inspector must then find layers."""
    deadline_s: float
    memory_bytes: int | None = None
    plugins: tuple[Path, ...] = ()
    """Libraries with plugins that the plans need."""
    tracker: ErrorTracker | None = None
    """Is shown every answer."""
    sha256: str = ""
    """Of what is asked; see `plan_question.digest`. Proofs of other machines count where they are of it."""


@dataclass(frozen=True, kw_only=True)
class PlanProof:
    """A plan, and what became of its proof here."""

    plan: BuiltPlan
    """With `precision_built` in its metadata where an engine was inspected."""
    verdict: Verdict
    reason: str = ""
    """Why it failed or did not run."""
    checks: tuple[Check, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] | None = None
    """GPU, driver, versions and layers of the run."""
    elsewhere: bool = False
    """Whether that was on another machine, whose record lies beside the plan."""

    @property
    def text(self) -> str:
        """`passed`, `failed: why` or `not run: why`."""
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict

    def as_json(self) -> dict[str, Any]:
        """The plan's metadata, and its proof."""
        return {**to_json(self.plan.metadata), "proof": self.text, **({"proof_run": dict(self.facts)} if self.facts else {})}


def prove(
    plans: Sequence[BuiltPlan],
    question: Question,
    directory: Path,
    recorder: Recorder,
    on_progress: Callable[[str], None] | None = None,
) -> tuple[PlanProof, ...]:
    """Run what can run here, plan by plan.

    An engine that answers wrongly, fails, hangs or crashes is a failed proof, and no exception.
    """
    if gpu.find() is None and plans and not any(proof_record.path(each.path).is_file() for each in plans):
        recorder.not_run(StageName.PLAN_RUN, "no GPU")
        return tuple(PlanProof(plan=each, verdict="not run", reason="no GPU") for each in plans)
    proofs = []
    for each in plans:
        if on_progress is not None:
            on_progress(f"run {each.path.name}")
        started = time.perf_counter()
        proof = _prove(each, question, directory / each.path.stem)
        if proof.verdict == "not run" and not proof.checks:
            proof = _recorded(each, question) or proof
        note = proof.reason or str((proof.facts or {}).get("note", ""))
        seconds = time.perf_counter() - started
        library = float((proof.facts or {}).get("library_seconds", 0.0))
        recorder.add(Stage(name=StageName.PLAN_RUN, verdict=proof.verdict, seconds=seconds, library_seconds=library, note=note))
        proofs.append(proof)
    return tuple(proofs)


def _prove(built: BuiltPlan, question: Question, directory: Path) -> PlanProof:
    known = built.metadata
    if known.settings.get("strip_plan"):
        return PlanProof(plan=built, verdict="not run", reason="strip_plan left its weights out, and nothing here refits it")
    if why := engine.not_possible(known):
        return PlanProof(plan=built, verdict="not run", reason=why)
    planned = engine.schedule(known.profiles, question.samples)
    if not planned.batches:
        return PlanProof(plan=built, verdict="not run", reason="; ".join(planned.unreached) or "there is no sample")
    try:
        ran = engine.run(
            built.path,
            known,
            question.samples,
            planned.batches,
            directory,
            deadline_s=question.deadline_s,
            memory_bytes=question.memory_bytes,
            plugins=question.plugins,
        )
    except MissingError as error:
        return PlanProof(plan=built, verdict="not run", reason=f"{error.what} {error.found or ''}".strip())
    except PlanError as error:
        finding = Finding(where=built.path.name, what=error.what, found=error.found)
        return PlanProof(plan=built, verdict="failed", reason=error.found or error.what, findings=(finding,))
    return _judged(built, question, planned, ran)


def _recorded(built: BuiltPlan, question: Question) -> PlanProof | None:
    """What another machine said of this very plan, asked this very question; `None` where there is no such record."""
    record, known = proof_record.read(built.path), built.metadata
    if record is None or (record.plan_sha256, record.question_sha256) != (known.plan_sha256, question.sha256):
        return None
    if record.facts.get("compute_capability") != known.compute_capability and not known.settings.get("hardware_compatibility"):
        return None
    reason = f"{record.reason}; " if record.reason else ""
    where = built.path.name
    failed = (Finding(where=where, what=f"it failed on {record.place}", found=record.reason),) if record.verdict == "failed" else ()
    return PlanProof(
        plan=built,
        verdict=record.verdict,
        reason=f"{reason}on {record.place}, as the record beside the plan says",
        findings=failed,
        notes=record.notes,
        facts=record.facts,
        elsewhere=True,
    )


def _judged(built: BuiltPlan, question: Question, planned: engine.Schedule, ran: engine.EngineRun) -> PlanProof:
    """The verdict over what was run: answers first, then the precision, then what was left out."""
    checks = tuple(_checks(question, planned, ran))
    inspected = replace(built, metadata=replace(built.metadata, precision_built=dict(ran.layers.precisions)))
    plan_file.write_metadata(inspected.path, inspected.metadata)
    bad = next(((check, tensor) for check in checks for tensor in check.tensors if not tensor.passed), None)
    precision = _precision(question.precision, ran.layers)
    verdict: Verdict = "passed"
    reason = ""
    findings: tuple[Finding, ...] = ()
    if bad is not None or not all(check.passed for check in checks):
        verdict, reason = "failed", f"{bad[1].name}: {bad[1].reason}" if bad else "it answered nothing"
    elif precision is not None and precision[0] == "failed":
        verdict, reason = precision
        findings = (Finding(where=built.path.name, what=reason, expected=question.precision, found=_words(ran.layers)),)
    elif precision is not None:
        verdict, reason = precision
    elif planned.unreached:
        verdict, reason = "not run", "; ".join(planned.unreached)
    return PlanProof(
        plan=inspected,
        verdict=verdict,
        reason=reason,
        checks=checks,
        findings=findings,
        notes=tuple(f"{built.path.name}: {gap}." for gap in planned.gaps),
        facts=_facts(ran, len(planned.batches)),
    )


def _checks(question: Question, planned: engine.Schedule, ran: engine.EngineRun) -> Iterator[Check]:
    for position, batch in enumerate(planned.batches):
        expected, found = runner.expected(question.reference, batch.samples), ran.answer(position)
        if question.tracker is None:
            tensors = compare(expected, found, question.tolerances)
        else:
            tensors = question.tracker.check(StageName.PLAN, batch.samples, expected, found, question.tolerances)
        size = len(batch.samples) if question.samples.batched else 0
        yield Check(stage=StageName.PLAN, batch_size=size, samples=batch.samples, tensors=tensors, seconds=ran.seconds[position])


def _precision(asked: str, layers: Layers) -> tuple[Verdict, str] | None:
    """What is wrong with the precision of the layers; `None` where it is as asked, or no half one was."""
    if asked not in HALF:
        return None
    found = layers.has(asked)
    if found is None:
        return "not run", f"the engine's inspector does not say whether a layer runs in {asked}; build with detailed_profiling"
    return None if found else ("failed", f"it was asked in {asked}, and no layer of the engine runs in that: {_words(layers)}")


def _words(layers: Layers) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(layers.precisions.items())) or "no layers"


def _facts(ran: engine.EngineRun, batches: int) -> dict[str, Any]:
    return {
        "gpu": ran.gpu,
        "compute_capability": ran.compute_capability,
        "driver": ran.driver,
        "cuda": ran.cuda,
        "version": ran.version,
        "layers": ran.layers.total,
        "precisions": dict(ran.layers.precisions),
        "formats": dict(ran.layers.formats),
        "batches": batches,
        "load_seconds": ran.load_seconds,
        "library_seconds": ran.library_seconds,
        "note": f"{batches} batches on {ran.gpu}, layers: {_words(ran.layers)}",
    }


def overall(proofs: Sequence[PlanProof]) -> Verdict:
    """Of all plans together: one that failed fails, and one that did not run leaves the version unproven."""
    verdicts = {each.verdict for each in proofs}
    if "failed" in verdicts:
        return "failed"
    return "not run" if "not run" in verdicts or not verdicts else "passed"


def served_here(proofs: Sequence[PlanProof]) -> bool:
    """Whether one of the plans ran rightly on this machine's GPU, so that a server here can be asked for it."""
    return any(each.verdict == "passed" and not each.elsewhere for each in proofs)


def answered(proofs: Sequence[PlanProof]) -> tuple[Check, ...]:
    """Every check of every plan."""
    return tuple(check for each in proofs for check in each.checks)
