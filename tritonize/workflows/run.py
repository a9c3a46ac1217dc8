"""The stages in order: samples, PyTorch, export, ONNX Runtime, staging, the served proof, publishing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tritonize import repository
from tritonize.core import arrays, errors
from tritonize.core.artifacts import Finding, Report, Stage
from tritonize.core.errors import ExportError, RepositoryError, TritonizeError, UsageError
from tritonize.core.messages import plans as wording
from tritonize.core.recorder import Recorder
from tritonize.core.results import Verdict
from tritonize.core.stages import StageName
from tritonize.plans import from_spec, gpu, proof_input
from tritonize.plans import proof as plan_proof
from tritonize.plans.proof import PlanProof
from tritonize.quality import gates
from tritonize.reference import runner
from tritonize.repository import Run
from tritonize.source import input_inference
from tritonize.spec import schema
from tritonize.triton import served_comparison, serving
from tritonize.workflows import build as build_workflow
from tritonize.workflows import config_conflict, release
from tritonize.workflows.build import Built, Options


def run(specification: schema.Spec, *, models: Sequence[str] = (), options: Options | None = None) -> tuple[Report, ...]:
    """Build, serve, verify and publish every model of a specification, or the named ones; one Report each.

    Raises:
        TritonizeError: a model cannot be proven or published; nothing of it is left behind.
    """
    return _each(specification, models, options or Options(), serve=True)


def build(specification: schema.Spec, *, models: Sequence[str] = (), options: Options | None = None) -> tuple[Report, ...]:
    """Build every model up to a staged version that ONNX Runtime answers like PyTorch; nothing is served or published."""
    return _each(specification, models, options or Options(), serve=False)


def request(specification: schema.Spec, directory: Path, *, models: Sequence[str] = (), options: Options | None = None) -> Path:
    """What to build on other machines: the proven ONNX file of one model, and the request for its plans, in a folder of their own.

    Returns the request's file, for `tritonize plan build --request`. What was built of it comes back as `Options.plans`.

    Raises:
        UsageError: the spec has several models and none is named, or its backend is none of TensorRT's.
        ExportError: no strategy made an ONNX file that answers like PyTorch.
    """
    chosen, names = options or Options(), _selected(specification, models)
    if len(names) > 1:
        raise UsageError("A request is for one model.", found=", ".join(names), next_step="name one with --model")
    (name,) = names
    model, place = specification.models[name], specification.repository
    if model.backend not in from_spec.MODULES:
        raise UsageError.of(wording.NO_PLANS, where=f"models.{name}.backend")
    from_spec.require_empty(directory)
    source = runner.identify(model)
    if source.kind != "onnx":
        errors.require("torch", extra="torch")
    with errors.storage_errors(place), repository.staging(place) as run_:
        model = input_inference.complete(model, source, run_.work)
        proven, _ = build_workflow.prove(model, source, run_.work, Recorder(chosen.on_stage))
        if not proven.passed or (proven.nonfinite and model.quality.nan == "strict"):
            if proven.findings:
                raise ExportError(proven.findings[0].what, where=name)
            raise ExportError(
                "The ONNX file does not answer like PyTorch, so there is nothing to build of it.",
                where=name,
                next_step="see the report of `tritonize build`",
            )
        written = from_spec.write_request(from_spec.request(model, specification.target, proven.artifact), directory)
        whole = build_workflow.asked_of_plans(model, proven)
        asked = proof_input.PlanQuestion(golden=whole, precision=model.precision, deadline_s=model.deadline_s)
        proof_input.write(asked, directory / from_spec.QUESTION)
        return written


def _each(specification: schema.Spec, models: Sequence[str], options: Options, *, serve: bool) -> tuple[Report, ...]:
    """Model by model. Of several, one that fails does not hide what became of the others: its error is in its report."""
    names = _selected(specification, models)
    if len(names) == 1:
        return (_run_model(specification, names[0], options, serve=serve),)
    reports = []
    for name in names:
        try:
            reports.append(_run_model(specification, name, options, serve=serve))
        except TritonizeError as error:
            finding = Finding(where=error.where or name, what=error.what, expected=error.expected, found=error.found)
            reports.append(
                Report(
                    command="run" if serve else "build",
                    model=name,
                    version=None,
                    verdict="failed",
                    findings=(finding,),
                    notes=(f"Next: {error.next_step}",) if error.next_step else (),
                    details={"error": error.to_dict()},
                )
            )
    return tuple(reports)


def _selected(specification: schema.Spec, names: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in specification.models]
    if unknown:
        raise UsageError("The specification has no such model.", found=", ".join(unknown), expected=", ".join(specification.models))
    return tuple(names) or tuple(specification.models)


def _run_model(specification: schema.Spec, name: str, options: Options, *, serve: bool) -> Report:
    model, place = specification.models[name], specification.repository
    source = runner.identify(model)
    if source.kind != "onnx":
        errors.require("torch", extra="torch")
    from_spec.require_possible(model, specification.target, options.plans)
    if serve and (model.backend not in from_spec.MODULES or gpu.find()):  # plans are served where there is a GPU
        serving.require_possible()
    recorder = Recorder(options.on_stage)
    started = time.perf_counter()
    with errors.storage_errors(place), repository.staging(place) as run_:
        model = input_inference.complete(model, source, run_.work)
        if serve and not options.replace_config:
            config_conflict.require_none(place, name, model)
        specification = specification.model_copy(update={"models": {**specification.models, name: model}})
        built = build_workflow.build(specification, name, source, run_, recorder, options)
        possible = serve and built.passed and _can_be_served(built)
        served = _serve(built, run_, recorder, options, model.builder.plugins) if possible else None
        if runner.identify(model).sha256 != source.sha256:
            raise RepositoryError(
                "The source changed while it was being proven, so it is not known what the version was made from.",
                where=model.source,
                next_step="run again once nothing writes to it any more",
            )
        finished = _report(specification, built, recorder, served, started, command="run" if serve else "build")
        allowed = serve and (finished.verdict == "passed" or (finished.verdict == "not run" and options.allow_unproven))
        again = options.command or "tritonize build SPEC"
        again += f" -m {name}" if len(specification.models) > 1 and " -m " not in again and " --model" not in again else ""
        proven = release.Proven(built=built, report=finished, model=model, place=place, again=again)
        if not allowed:
            run_.keep()
            return release.keep(proven)
        with recorder.stage(StageName.PUBLISH):
            finished = release.publish(proven, allow_change=options.replace_config, done=options.on_published)
        return replace(finished, stages=tuple(recorder.stages))


def _can_be_served(built: Built) -> bool:
    """Whether a server here can answer: a plan needs its GPU, and one that answers wrongly is not asked again."""
    return not built.plans or (plan_proof.overall(built.plans) != "failed" and plan_proof.served_here(built.plans))


def _serve(
    built: Built, run_: Run, recorder: Recorder, options: Options, plugins: Sequence[Path]
) -> served_comparison.Verification:
    """Start the server on the staged version and verify what it answers."""
    staged = built.staged
    probe = arrays.load(built.golden.samples.files, 0)
    with contextlib.ExitStack() as stack:
        with recorder.stage(StageName.SERVER_START) as outcome:
            started = time.perf_counter()
            handle = stack.enter_context(
                serving.serve(
                    staged.root,
                    models=[staged.model],
                    probes={staged.model: served_comparison.as_served(probe, built.config, "input")},
                    directory=run_.work / "server",
                    plugins=plugins,
                    on_progress=options.on_progress,
                )
            )
            outcome.library_seconds = time.perf_counter() - started
            outcome.note = serving.summary(handle)
        target = served_comparison.Target(
            server=handle,
            model=staged.model,
            version=staged.version,
            golden=built.golden,
            config=built.config,
            tracker=built.tracker,
        )
        verified = served_comparison.verify(target)
        for stage in verified.stages:
            recorder.add(stage)
        recorder_stop = time.perf_counter()
    seconds = time.perf_counter() - recorder_stop
    recorder.add(Stage(name=StageName.SERVER_STOP, verdict="passed", seconds=seconds, library_seconds=seconds))
    return verified


def _report(
    specification: schema.Spec,
    built: Built,
    recorder: Recorder,
    served: served_comparison.Verification | None,
    started: float,
    *,
    command: str,
) -> Report:
    wrong = tuple(finding for each in built.plans for finding in each.findings)
    checks = built.checks
    findings = (*served_comparison.empty_proofs(built.checks), *built.findings, *wrong, *(served.findings if served else ()))
    verdict: Verdict = "passed" if built.passed and not findings else "failed"
    if served is not None:
        checks = (*checks, *served.checks)
        verdict = served.verdict if built.passed and not findings else "failed"
    judged = gates.judge(built.tracker, checks, on_gpu=(StageName.PLAN, *(served.on_gpu if served else ())))
    if not judged.passed:
        verdict = "failed"
    if verdict == "passed" and built.plans:
        verdict = plan_proof.overall(built.plans)  # a plan that nobody ran leaves the version unproven
        if command == "run" and served is None:
            verdict = "not run"  # proofs of single plans, from other machines, are none of what is served
    if served is None and command == "run" and built.plans:
        recorder.not_run(StageName.SERVER, "no plan answered rightly here")
    elif served is None and command == "run" and not built.plans:
        recorder.not_run(StageName.SERVER, _why_not_served(built))
    return Report(
        command=command,
        model=built.staged.model,
        version=built.staged.version,
        verdict=verdict,
        checks=checks,
        rows=judged.rows,
        gates=judged.gates,
        floors=judged.floors,
        findings=findings,
        stages=tuple(recorder.stages),
        notes=(
            *built.notes,
            *judged.notes,
            *served_comparison.weak_proofs(built.checks),
            *_notes(specification, served, from_onnx=built.source.kind == "onnx", plans=built.plans),
        ),
        versions=built.versions,
        proved_by=served.identity if served else {},
        details={**built.details, "seconds": time.perf_counter() - started},
    )


def _why_not_served(built: Built) -> str:
    """Where no server was started although one was asked for."""
    if not all(check.passed for check in built.checks):
        return "ONNX Runtime already differs from PyTorch"
    return "it is not settled what the reference is" if built.findings else "ONNX Runtime already differs from PyTorch"


def _notes(
    specification: schema.Spec, served: served_comparison.Verification | None, *, from_onnx: bool, plans: Sequence[PlanProof]
) -> tuple[str, ...]:
    """What a person who signs has to know, beyond the numbers."""
    notes = []
    if plans and all(each.verdict == "not run" and not each.checks for each in plans):
        notes.append("No GPU ran the plan, so it is unproven: what was compared is the ONNX file that it was built of.")
    for each in plans:
        notes += [f"{each.plan.path.name}: {each.text}.", *each.notes]
    if from_onnx:
        notes.append("The reference is the ONNX file itself in ONNX Runtime; PyTorch was not asked.")
    target = specification.target.triton
    if served is None and not plans:
        notes.append("No server was started, so this is no proof of what a server answers.")
    elif served is not None and target:
        notes.append(
            f"The declared target is Triton {target}; that server and its native backend were not run here. "
            "Verify the deployment itself with `tritonize verify --url`."
        )
    elif served is not None:
        notes.append("No target was declared. A stock Triton loads the same files with its native backend, which was not run here.")
    return tuple(notes)
