"""Verify built plans: run each plan on the GPU of this machine, if the plan is for that GPU, and compare it with PyTorch.

The verdict of a plan that cannot run on this machine is *not run*, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize.core.artifacts import to_json
from tritonize.core.errors import MissingError, PlanError
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check, Finding, Stage
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
    """The proof input of a model's plans, and the limits and plugin libraries of the engines."""

    input: ProofInput
    memory_bytes: int | None = None
    plugins: tuple[Path, ...] = ()
    """Plugin libraries that the plans need."""
    tracker: ErrorTracker | None = None
    """Accumulates the errors; without it, only the tolerances decide."""
    accept_records: bool = True
    """Whether proof records from other machines count, if they are for the same proof input."""


@dataclass(frozen=True, kw_only=True)
class PlanProof:
    """A plan and the verdict of its proof."""

    plan: BuiltPlan
    """Its metadata contains `precision_built` if the engine was inspected."""
    verdict: Verdict
    reason: str = ""
    """Why the proof failed or did not run; empty if it passed."""
    checks: tuple[Check, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, object] | None = None
    """GPU, driver, versions and layers of the run."""
    elsewhere: bool = False
    """Whether the verdict comes from the proof record of another machine."""

    @property
    def text(self) -> str:
        """`passed`, `failed: why` or `not run: why`."""
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict

    def as_json(self) -> dict[str, object]:
        """The plan's metadata and the verdict, as JSON-serializable data."""
        return {**to_json(self.plan.metadata), "proof": self.text, **({"proof_run": dict(self.facts)} if self.facts else {})}


def prove(
    plans: Sequence[BuiltPlan],
    run: ProofRun,
    directory: Path,
    *,
    recorder: Recorder,
    on_progress: Callable[[str], None] | None = None,
) -> tuple[PlanProof, ...]:
    """Verify plans one after another; see `PlanProof` for the result of each.

    Wrong outputs, and an engine that fails, hangs or crashes, make a failed proof and raise nothing.

    Args:
        directory: the folder for outputs and logs, with a subfolder per plan.
        recorder: receives a stage per plan.
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
    metadata = built.metadata
    if metadata.settings.get("strip_plan"):
        return PlanProof(
            plan=built, verdict="not run", reason="it was built with strip_plan and has no weights; tritonize does not refit it"
        )
    if why := engine.not_possible(metadata):
        return PlanProof(plan=built, verdict="not run", reason=why)
    planned = engine.schedule(metadata.profiles, run.input.golden.samples)
    if not planned.batches:
        return PlanProof(plan=built, verdict="not run", reason="; ".join(planned.unreached) or "there are no samples")
    try:
        ran = engine.run(
            built.path,
            metadata,
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
    """The proof in the record next to a plan, if it is for the same plan, proof input and compute capability; else `None`."""
    record, metadata = proof_record.read(built.path), built.metadata
    if record is None or not run.accept_records:
        return None
    if (record.plan_sha256, record.question_sha256) != (metadata.plan_sha256, run.input.sha256):
        return None
    if record.facts.get("compute_capability") != metadata.compute_capability and not metadata.settings.get(
        "hardware_compatibility"
    ):
        return None
    reason = f"{record.reason}; " if record.reason else ""
    where = built.path.name
    failed = (
        (Finding(where=where, what=f"the plan failed on {record.place}", found=record.reason),)
        if record.verdict == "failed"
        else ()
    )
    return PlanProof(
        plan=built,
        verdict=record.verdict,
        reason=f"{reason}on {record.place}, from the proof record next to the plan",
        findings=failed,
        notes=record.notes,
        facts=record.facts,
        elsewhere=True,
    )


def _judged(built: BuiltPlan, run: ProofRun, planned: engine.Schedule, *, ran: engine.EngineRun) -> PlanProof:
    """The verdict on a plan that ran: from its outputs first, then its precision, then the profiles that no sample fits."""
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
        verdict, reason = "failed", f"{bad[1].name}: {bad[1].reason}" if bad else "it returned no outputs"
    elif precision is not None and precision[0] == "failed":
        verdict, reason = precision
        findings = (Finding(where=built.path.name, what=reason, expected=run.input.precision, found=_summary(ran.layers)),)
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


def _precision(requested: str, layers: Layers) -> tuple[Verdict, str] | None:
    """The verdict if no layer is known to compute in the requested half precision; `None` if one does, or for fp32 and tf32."""
    if requested not in HALF:
        return None
    has_layer = layers.has(requested)
    if has_layer is None:
        reason = f"the engine inspector does not tell whether a layer runs in {requested}; build with detailed_profiling: true"
        return "not run", reason
    return (
        None
        if has_layer
        else ("failed", f"the plan was built for {requested}, but no layer runs in {requested}: {_summary(layers)}")
    )


def _summary(layers: Layers) -> str:
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
        "note": f"{batches} batches on {ran.engine.gpu}, layers: {_summary(ran.layers)}",
    }


def overall(proofs: Sequence[PlanProof]) -> Verdict:
    """The verdict on all plans: `failed` if a plan failed; `not run` if a plan did not run or no plan exists; else `passed`."""
    verdicts = {each.verdict for each in proofs}
    if "failed" in verdicts:
        return "failed"
    return "not run" if "not run" in verdicts or not verdicts else "passed"


def served_here(proofs: Sequence[PlanProof]) -> bool:
    """Whether a plan passed on the GPU of this machine, so that a server on this machine can serve it."""
    return any(each.verdict == "passed" and not each.elsewhere for each in proofs)


def checks_of(proofs: Sequence[PlanProof]) -> tuple[Check, ...]:
    """Every check of every plan."""
    return tuple(check for each in proofs for check in each.checks)
