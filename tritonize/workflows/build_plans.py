"""Build or collect the plans of an ONNX file, check them against the declared Triton, and run those whose GPU is present."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.errors import PlanError
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Finding
from tritonize.core.results import Verdict
from tritonize.core.stages import StageName
from tritonize.export.proven import ProvenOnnx
from tritonize.plans import compatibility, from_spec
from tritonize.plans import proof as plan_proof
from tritonize.plans.builder import BuiltPlan
from tritonize.plans.proof import PlanProof, ProofRun
from tritonize.plans.proof_input import ProofInput
from tritonize.repository import Run
from tritonize.workflows.job import Job


@dataclass(frozen=True, kw_only=True)
class ProvenPlans:
    """The plans of a version, with the proof of each whose GPU is in this machine."""

    proofs: tuple[PlanProof, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Reasons why the plans do not load in the declared Triton."""


def build_plans(job: Job, proven: ProvenOnnx) -> ProvenPlans:
    """Build or collect the plans of an ONNX file that passed, for a TensorRT backend, and run those whose GPU is in this machine.

    Raises:
        UsageError, PlanError: see `from_spec.build` and `from_spec.take`.
    """
    model, target, options = job.model, job.specification.target, job.options
    if model.backend == "onnxruntime" or not proven.passed:
        return ProvenPlans()
    place = job.work / "plans"
    with job.recorder.stage(StageName.PLAN) as outcome:
        if options.plans:
            built = from_spec.take(model, target, proven.artifact, places=options.plans, directory=place)
        else:
            with _keeping_logs(job.run, place):
                built = from_spec.build(model, target, proven.artifact, directory=place, on_progress=options.on_progress)
        outcome.library_seconds = sum(each.metadata.build_seconds for each in built if not each.cached)
        targets = ", ".join(each.metadata.compute_capability for each in built)
        outcome.note = f"{built[0].metadata.module} {built[0].metadata.version} for {targets}"
    findings = _at_target(built[0], target.triton, job.recorder) if target.triton else ()
    run = ProofRun(
        input=ProofInput(golden=proven.golden, precision=model.precision, deadline_s=model.deadline_s),
        memory_bytes=model.memory_bytes,
        plugins=model.builder.plugins,
        tracker=proven.tracker,
    )
    proofs = plan_proof.prove(built, run, job.work / "engines", recorder=job.recorder, on_progress=options.on_progress)
    return ProvenPlans(proofs=proofs, findings=findings)


_LOADING: dict[str, Verdict] = {"loads": "passed", "does not load": "failed", "unknown": "not run"}


def _at_target(built: BuiltPlan, release: str, recorder: Recorder) -> tuple[Finding, ...]:
    """Check whether a plan loads in the Triton that the spec declares. All plans of a version have the same TensorRT version."""
    with recorder.stage(StageName.TARGET) as outcome:
        if built.metadata.module == "tensorrt_rtx":
            outcome.note = (
                f"the stock Triton {release} has no backend for plans of TensorRT-RTX; tritonize did not check for a custom backend"
            )
            outcome.verdict = "not run"
            return ()
        image = compatibility.of_image(release)
        loading = compatibility.check(built.path, image.version, image=True)
        has = f"{image.image} has TensorRT {image.version or 'unknown'} ({image.source})"
        outcome.note = f"{'; '.join(loading.reasons)}; {has}"
        outcome.verdict = _LOADING[loading.verdict]
    if loading.verdict != "does not load":
        return ()
    return (
        Finding(
            where=built.path.name, what=f"it does not load in Triton {release}", expected=has, found="; ".join(loading.reasons)
        ),
    )


@contextmanager
def _keeping_logs(run_: Run, place: Path) -> Iterator[None]:
    """If a build fails, keep the builder's log, and name it in the error."""
    try:
        yield
    except PlanError as error:
        if logs := sorted(place.glob("*.log")):
            paths = run_.keep_only(logs)
            error.next_step = f"read the builder's log: {', '.join(map(str, paths))}"
        raise
