"""Build the report of a run from all comparisons and findings of a version."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tritonize.core.artifacts import Source, to_json
from tritonize.core.messages import server as server_wording
from tritonize.core.messages import steps as step_wording
from tritonize.core.reports import Report
from tritonize.core.results import PASSED, Verdict
from tritonize.core.stages import StageName
from tritonize.plans import proof as plan_proof
from tritonize.plans.proof import PlanProof
from tritonize.quality import gates, proof_strength
from tritonize.triton import served_comparison
from tritonize.workflows import evidence, target_only
from tritonize.workflows.job import Job
from tritonize.workflows.limits import Limits
from tritonize.workflows.stage_version import Built


def report_of(job: Job, built: Built, served: served_comparison.Verification | None) -> Report:
    """Compute a version's verdict from all its results.

    Args:
        served: the comparison of the served outputs; `None` if no server was started.
    """
    recorder, command = job.recorder, job.command
    plan_findings = tuple(finding for each in built.plans for finding in each.findings)
    checks = built.checks
    findings = (*proof_strength.empty_proofs(built.checks), *built.findings, *plan_findings, *(served.findings if served else ()))
    verdict: Verdict = "passed" if built.passed and not findings else "failed"
    if served is not None:
        checks = (*checks, *served.checks)
        verdict = served.verdict if built.passed and not findings else "failed"
    judgement = gates.judge(built.tracker, checks, on_gpu=(StageName.PLAN, *(served.on_gpu if served else ())))
    if not judgement.passed:
        verdict = "failed"
    if verdict == "passed" and built.plans:
        verdict = _of_plans(built.plans, served, command=command)
    if verdict == "passed" and served is None and not job.model.is_exported:
        verdict = "not run"
        recorder.not_run(StageName.SERVER, step_wording.ONLY_SERVED.text())
    fields = served.set_aside if served else ()
    target = job.specification.target
    verdict = target_only.verdict(verdict, fields, target)
    if job.model.quality.quick and verdict in PASSED:
        verdict = "passed quick"
    for stage in target_only.stages(fields, target):
        recorder.add(stage)
    if served is None and command == "run":
        recorder.not_run(StageName.SERVER, "no plan passed on this machine" if built.plans else _why_not_served(built))
    return Report(
        command=command,
        model=built.staged.model,
        version=built.staged.version,
        verdict=verdict,
        checks=checks,
        rows=judgement.rows,
        gates=judgement.gates,
        tolerances=judgement.tolerances,
        floors=judgement.floors,
        findings=findings,
        stages=tuple(recorder.stages),
        notes=(
            *job.notes,
            *built.notes,
            *(served.notes if served else ()),
            *judgement.notes,
            *_limits(job, built).notes(),
            *proof_strength.weak_proofs(built.checks),
            *_notes(job, served, source=built.source, plans=built.plans),
        ),
        versions=built.versions,
        proved_by=served.identity if served else {},
        details=_details(job, built, served),
        left_out=built.left_out,
    )


def _details(job: Job, built: Built, served: served_comparison.Verification | None) -> dict[str, object]:
    """Return what the report says besides its results, as plain data."""
    fields = served.set_aside if served else ()
    return {
        **built.details,
        "limits": _limits(job, built).as_json(),
        "samples": evidence.samples(job.model, built.golden.samples),
        **({"quick": {"left_out": list(job.left_out)}} if job.model.quality.quick else {}),
        **({"set_aside": [to_json(each) for each in fields]} if fields else {}),
        **({"proven_on": served.on_target.as_json()} if served and served.on_target else {}),
        "seconds": time.perf_counter() - job.started,
    }


def _limits(job: Job, built: Built) -> Limits:
    return Limits.of(built.golden.rules, job.options.set_in)


def _of_plans(plans: Sequence[PlanProof], served: served_comparison.Verification | None, *, command: str) -> Verdict:
    """The verdict of a version with plans whose other results all passed."""
    if served is not None and served.on_target is not None and len(plans) == 1:
        return "passed"  # the running server loaded the only plan, which the GPU of this machine need not have run
    if command == "run" and served is None:
        return "not run"  # plans proven one by one on other machines do not prove the served version
    return plan_proof.overall(plans)  # a plan that did not run leaves the version unproven


def _why_not_served(built: Built) -> str:
    """Return why `run` started no server."""
    if not all(check.passed for check in built.checks):
        return "ONNX Runtime already differs from PyTorch"
    return "the model has no single reference output" if built.findings else "ONNX Runtime already differs from PyTorch"


def _notes(
    job: Job, served: served_comparison.Verification | None, *, source: Source, plans: Sequence[PlanProof]
) -> tuple[str, ...]:
    """Return notes for the reader of the report, beyond the numbers."""
    notes = []
    on_target = served is not None and served.on_target is not None
    if plans and not on_target and all(each.verdict == "not run" and not each.checks for each in plans):
        notes.append("No GPU ran the plan, so it is unproven: what was compared is the ONNX file that it was built of.")
    for each in plans:
        notes += [f"{each.plan.path.name}: {each.text}.", *each.notes]
    if source.kind == "python":
        notes.append(step_wording.OTHER_PYTHON.text())
    if source.kind == "onnx":
        notes.append("The reference is the ONNX file itself in ONNX Runtime; PyTorch did not run.")
    target = job.specification.target.triton
    if served is None and not plans:
        notes.append("No server was started, so this is no proof of what a server answers.")
    elif on_target:
        pass  # the comparison itself has the note
    elif served is not None and not served.embedded:
        version, program = served.identity["tritonserver"], served.identity["program"]
        notes.append(server_wording.PROVEN_BY.text(version=version, program=program))
    elif served is not None and target:
        notes.append(
            f"The declared target is Triton {target}; that server and its native backend were not run here. "
            "Verify the deployment itself with `tritonize verify --url`."
        )
    elif served is not None and source.kind != "python":
        notes.append("No target was declared. A stock Triton loads the same files with its native backend, which was not run here.")
    return tuple(notes)
