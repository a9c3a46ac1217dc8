"""`tritonize run` and `tritonize build`: `_run_model` lists the stages of one model in their order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tritonize import export, reference, repository
from tritonize.core import errors
from tritonize.core.artifacts import Source
from tritonize.core.errors import RepositoryError, TritonizeError
from tritonize.core.messages import repository as wording
from tritonize.core.messages import samples as sample_wording
from tritonize.core.messages import steps as step_wording
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Finding, Report, Stage
from tritonize.core.stages import StageName
from tritonize.plans import from_spec, gpu
from tritonize.process import loaded_code, workers
from tritonize.process.loaded_code import Loaded
from tritonize.source import drawing, identification, input_inference
from tritonize.spec import ensembles, quick, schema
from tritonize.triton import serving
from tritonize.workflows import (
    config_conflict,
    ensemble_steps,
    made_from,
    prove_on_target,
    release,
    stage_pipeline,
    up_to_date,
    warmup,
)
from tritonize.workflows.build_plans import build_plans
from tritonize.workflows.job import Job, Options
from tritonize.workflows.made_from import Given, Origin
from tritonize.workflows.prove import locate_error, reduce_precision
from tritonize.workflows.run_report import report_of
from tritonize.workflows.serve_version import serve_and_verify
from tritonize.workflows.stage_version import Built, stage


def run(specification: schema.Spec, *, models: Sequence[str] = (), options: Options | None = None) -> tuple[Report, ...]:
    """Build, serve, verify and publish every model of a specification, or the named ones; one Report each.

    A model whose newest version was made from the same source, files, spec and libraries is up to date and is not run.

    Raises:
        TritonizeError: a model cannot be compared or published; no file of it is left in the repository.
    """
    options = options or Options()
    if options.current is None and not options.force and not options.plans and options.server.is_own:
        current = up_to_date.reports(specification, models, replace_config=options.replace_config, quick=options.quick)
        options = replace(options, current=current)
    return _each(specification, models, options, serve=True)


def build(specification: schema.Spec, *, models: Sequence[str] = (), options: Options | None = None) -> tuple[Report, ...]:
    """Export every model, compare the ONNX file with PyTorch and stage the version; nothing is served or published."""
    return _each(specification, models, options or Options(), serve=False)


def _each(specification: schema.Spec, models: Sequence[str], options: Options, *, serve: bool) -> tuple[Report, ...]:
    """Run the models one by one. With several models, an error goes into the report of its model, and the others still run."""
    names = specification.selected(models)
    if len(names) == 1 and (serve or not specification.models[names[0]].ensemble):
        return (_run_model(specification, names[0], options, serve=serve),)
    reports: list[Report] = []
    for number, name in enumerate(ensembles.ordered(specification.models, names), 1):
        try:
            why = _why_not_run(specification, name, reports, serve=serve)
            if not why and name not in (options.current or ()):
                options.on_model(name, number, len(names))
            report = _not_run(name, why, serve=serve) if why else _run_model(specification, name, options, serve=serve)
            reports.append(report)
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


def _why_not_run(specification: schema.Spec, name: str, reports: Sequence[Report], *, serve: bool) -> str | None:
    """Return why an ensemble cannot run: `build` publishes no steps, or a step ran before it and was not published."""
    members = {step.model for step in specification.models[name].ensemble or ()}
    if members and not serve:
        return step_wording.ONLY_SERVED.text()
    unproven = [report.model for report in reports if report.model in members and not report.published]
    return step_wording.STEP_UNPROVEN.text(step=unproven[0]) if unproven else None


def _not_run(name: str, why: str, *, serve: bool) -> Report:
    stage = Stage(name=StageName.SERVER, verdict="not run", seconds=0.0, note=why)
    return Report(command="run" if serve else "build", model=name, version=None, verdict="not run", stages=(stage,))


def _run_model(specification: schema.Spec, name: str, options: Options, *, serve: bool) -> Report:
    """Run all stages of one model, unless it is up to date. Every stage returns a frozen value for the next one."""
    if options.current and name in options.current:
        return options.current[name]
    place, source = specification.repository, identification.identify(specification.models[name])
    _require_possible(specification.models[name], source, specification.target, options=options, serve=serve)
    started = time.perf_counter()
    runs_torch = source.kind in ("torchscript", "exported_program")
    before = made_from.given(specification, name, source.sha256)
    with (
        errors.storage_errors(place),
        workers.preloading(torch=runs_torch),
        repository.staging(place) as run_,
        loaded_code.collecting() as loaded,
    ):
        job = _job(specification, name, source, run_=run_, options=options, serve=serve, started=started)
        model, work, recorder = job.model, job.work, job.recorder
        drawn = drawing.draw(model, job.source, work, recorder=recorder)
        if model.is_exported:
            baseline = reference.compute(model, job.source, drawn, work=work, recorder=recorder)
            exported = export.climb(model, baseline, work, recorder=recorder)
            proven = reduce_precision(model, exported, work, recorder=recorder)
            located = locate_error(model, exported, proven, work=work, recorder=recorder)
            plans = build_plans(job, proven)
            built = stage(job, proven, plans, located=located)
        else:
            built = stage_pipeline.stage(job, drawn)
        served = serve_and_verify(job, built)
        origin = _origin(specification, job, built, before=before, loaded=loaded)
        report = report_of(job, built, served)
        if options.measure:
            return report
        report = replace(report, details={**report.details, "made_from": origin})
        return release.publish_or_keep(job, built, report)


def _require_possible(model: schema.Model, source: Source, target: schema.Target, *, options: Options, serve: bool) -> None:
    """Raise at the start if something is missing that a later stage needs.

    Raises:
        MissingError: a package, the server's runtime or the module that builds plans.
        UsageError: a file of the warmup cannot be read.
    """
    warmup.OwnFiles(model)  # opens them
    if source.kind not in ("onnx", "python"):
        errors.require("torch", extra="torch")
    from_spec.require_possible(model, target, options.plans)
    plans = model.backend in from_spec.MODULES
    if serve and options.server.urls:
        prove_on_target.require_possible(options.server)
    elif serve and (not plans or gpu.find()):  # without a GPU, plans are not served
        serving.require_possible(options.server.way, python=plans or model.python is not None)


def _job(
    specification: schema.Spec, name: str, source: Source, *, run_: repository.Run, options: Options, serve: bool, started: float
) -> Job:
    """Complete the inputs of a model's spec from the source."""
    given = specification.models[name]
    model = input_inference.complete(given, source, run_.work, default_batch=options.default_batch)
    unbatched = model.max_batch_size == 0 < given.max_batch_size
    left_out: tuple[str, ...] = ()
    if options.quick or model.quality.quick:
        left_out = tuple(quick.left_out(model, torch=source.kind not in ("onnx", "python"), served=serve))
        model = quick.applied(model)
    if serve and not options.replace_config:
        config_conflict.require_none(specification.repository, name, model)
    elif serve and not options.drop_config_fields:
        config_conflict.require_nothing_dropped_early(specification.repository, name, model)
    return Job(
        specification=specification.model_copy(update={"models": {**specification.models, name: model}}),
        name=name,
        model=model,
        source=source,
        run=run_,
        recorder=Recorder(options.on_stage),
        options=options,
        serve=serve,
        started=started,
        left_out=left_out,
        notes=(sample_wording.NOT_BATCHED.text(source=Path(source.location).name),) if unbatched else (),
    )


def _origin(specification: schema.Spec, job: Job, built: Built, *, before: Given, loaded: Loaded) -> Origin:
    """Return what the version was made from.

    Raises:
        RepositoryError: a file of the spec, a Python file that a worker loaded, or a step of an ensemble changed during the run.
    """
    ensemble_steps.require_unchanged(job.place, job.name, built.details)
    source = identification.identify(job.model).sha256
    if source != job.source.sha256 or made_from.given(specification, job.name, source) != before:
        raise RepositoryError.of(wording.SOURCE_CHANGED, where=job.model.python or job.model.source)
    return made_from.complete(before, specification.models[job.name], loaded)
