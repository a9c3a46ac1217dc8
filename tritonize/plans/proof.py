"""The proof of built plans: each is run on the GPU of this machine, if that is of its kind, and compared with PyTorch.

What cannot run here is *not run*, with the reason; it is never passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize.core.artifacts import Check, Finding, Stage, to_json
from tritonize.core.errors import MissingError, PlanError
from tritonize.core.recorder import Recorder
from tritonize.core.results import Verdict
from tritonize.core.stages import StageName
from tritonize.plans import engine, gpu, plan_file, proof_record
from tritonize.plans.builder import BuiltPlan
from tritonize.plans.layers import Layers
from tritonize.plans.proof_input import ProofInput
from tritonize.quality.batch_checks import check_batches
from tritonize.quality.tracker import ErrorTracker

HALF = ("fp16", "bf16")


@dataclass(frozen=True, kw_only=True)
class ProofRun:
    """What every plan of a model has to answer, and what its engines may take."""

    input: ProofInput
    memory_bytes: int | None = None
    plugins: tuple[Path, ...] = ()
    """Libraries with plugins that the plans need."""
    tracker: ErrorTracker | None = None
    """Adds up the errors; without one tolerances alone decide."""
    accept_records: bool = True
    """Whether proofs of other machines count, where they are of this input."""


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
    facts: Mapping[str, object] | None = None
    """GPU, driver, versions and layers of the run."""
    elsewhere: bool = False
    """Whether that was on another machine, whose record lies beside the plan."""

    @property
    def text(self) -> str:
        """`passed`, `failed: why` or `not run: why`."""
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict

    def as_json(self) -> dict[str, object]:
        """The plan's metadata, and its proof."""
        return {**to_json(self.plan.metadata), "proof": self.text, **({"proof_run": dict(self.facts)} if self.facts else {})}


def prove(
    plans: Sequence[BuiltPlan],
    run: ProofRun,
    directory: Path,
    *,
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
        proof = _prove(each, run, directory / each.path.stem)
        if proof.verdict == "not run" and not proof.checks:
            proof = _recorded(each, run) or proof
        note = proof.reason or str((proof.facts or {}).get("note", ""))
        seconds = time.perf_counter() - started
        library = (proof.facts or {}).get("library_seconds")
        recorder.add(
            Stage(
                name=StageName.PLAN_RUN,
                verdict=proof.verdict,
                seconds=seconds,
                library_seconds=library if isinstance(library, float) else 0.0,
                note=note,
            )
        )
        proofs.append(proof)
    return tuple(proofs)


def _prove(built: BuiltPlan, run: ProofRun, directory: Path) -> PlanProof:
    known = built.metadata
    if known.settings.get("strip_plan"):
        return PlanProof(plan=built, verdict="not run", reason="strip_plan left its weights out, and nothing here refits it")
    if why := engine.not_possible(known):
        return PlanProof(plan=built, verdict="not run", reason=why)
    planned = engine.schedule(known.profiles, run.input.golden.samples)
    if not planned.batches:
        return PlanProof(plan=built, verdict="not run", reason="; ".join(planned.unreached) or "there is no sample")
    try:
        ran = engine.run(
            built.path,
            known,
            run.input.golden.samples,
            batches=planned.batches,
            directory=directory,
            deadline_s=run.input.deadline_s,
            memory_bytes=run.memory_bytes,
            plugins=run.plugins,
        )
    except MissingError as error:
        return PlanProof(plan=built, verdict="not run", reason=f"{error.what} {error.found or ''}".strip())
    except PlanError as error:
        finding = Finding(where=built.path.name, what=error.what, found=error.found)
        return PlanProof(plan=built, verdict="failed", reason=error.found or error.what, findings=(finding,))
    return _judged(built, run, planned, ran=ran)


def _recorded(built: BuiltPlan, run: ProofRun) -> PlanProof | None:
    """What another machine found out about this very plan with this very input; `None` where there is no such record."""
    record, known = proof_record.read(built.path), built.metadata
    if record is None or not run.accept_records:
        return None
    if (record.plan_sha256, record.question_sha256) != (known.plan_sha256, run.input.sha256):
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


def _judged(built: BuiltPlan, run: ProofRun, planned: engine.Schedule, *, ran: engine.EngineRun) -> PlanProof:
    """The verdict over what was run: answers first, then the precision, then what was left out."""
    golden, batches = run.input.golden, [batch.samples for batch in planned.batches]
    checks = tuple(check_batches(golden, StageName.PLAN, batches, found=ran, tracker=run.tracker))
    inspected = replace(built, metadata=replace(built.metadata, precision_built=dict(ran.layers.precisions)))
    plan_file.write_metadata(inspected.path, inspected.metadata)
    bad = next(((check, tensor) for check in checks for tensor in check.tensors if not tensor.passed), None)
    precision = _precision(run.input.precision, ran.layers)
    verdict: Verdict = "passed"
    reason = ""
    findings: tuple[Finding, ...] = ()
    if bad is not None or not all(check.passed for check in checks):
        verdict, reason = "failed", f"{bad[1].name}: {bad[1].reason}" if bad else "it answered nothing"
    elif precision is not None and precision[0] == "failed":
        verdict, reason = precision
        findings = (Finding(where=built.path.name, what=reason, expected=run.input.precision, found=_words(ran.layers)),)
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


def _precision(wanted: str, layers: Layers) -> tuple[Verdict, str] | None:
    """What is wrong with the precision of the layers; `None` where it is the wanted one, or that is no half one."""
    if wanted not in HALF:
        return None
    found = layers.has(wanted)
    if found is None:
        return "not run", f"the engine's inspector does not say whether a layer runs in {wanted}; build with detailed_profiling"
    return None if found else ("failed", f"the plan was built for {wanted}, and no layer runs in it: {_words(layers)}")


def _words(layers: Layers) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(layers.precisions.items())) or "no layers"


def _facts(ran: engine.EngineRun, batches: int) -> dict[str, object]:
    return {
        "gpu": ran.engine.gpu,
        "compute_capability": ran.engine.compute_capability,
        "driver": ran.engine.driver,
        "cuda": ran.engine.cuda,
        "version": ran.engine.version,
        "layers": ran.layers.total,
        "precisions": dict(ran.layers.precisions),
        "formats": dict(ran.layers.formats),
        "batches": batches,
        "load_seconds": ran.engine.load_seconds,
        "library_seconds": ran.library_seconds,
        "note": f"{batches} batches on {ran.engine.gpu}, layers: {_words(ran.layers)}",
    }


def overall(proofs: Sequence[PlanProof]) -> Verdict:
    """Of all plans together: one that failed fails, and one that did not run leaves the version unproven."""
    verdicts = {each.verdict for each in proofs}
    if "failed" in verdicts:
        return "failed"
    return "not run" if "not run" in verdicts or not verdicts else "passed"


def served_here(proofs: Sequence[PlanProof]) -> bool:
    """Whether one of the plans ran rightly on this machine's GPU, so that a server here can serve it."""
    return any(each.verdict == "passed" and not each.elsewhere for each in proofs)


def checks_of(proofs: Sequence[PlanProof]) -> tuple[Check, ...]:
    """Every check of every plan."""
    return tuple(check for each in proofs for check in each.checks)
