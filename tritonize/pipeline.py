"""The stages in order: samples, PyTorch, export, ONNX Runtime, staging, the served proof, publishing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonize import (
    arrays,
    describing,
    errors,
    evidence,
    golden,
    locating,
    model_config,
    plan_proof,
    planning,
    precision,
    proving,
    quality,
    reducing,
    reference,
    repairing,
    repository,
    serving,
    spec,
    verification,
)
from tritonize.artifacts import Check, Finding, OnnxArtifact, Report, Source, Stage, StagedVersion, Verdict, to_json
from tritonize.errors import ExportError, RepositoryError, TritonizeError, UsageError
from tritonize.golden import GoldenSet
from tritonize.location import Location
from tritonize.plan import BuiltPlan
from tritonize.plan_proof import PlanProof
from tritonize.quality import Observer
from tritonize.repository import Run
from tritonize.stages import Listener, Recorder

PACKAGES = ("onnx", "onnxslim", "numpy", "tritonclient")
"""Whose versions a report names, beside those that a worker told."""
TRIALS = 16
"""How often half precision is tried again with other nodes kept in float32, where it failed."""
_STAGES_OF_PLANS = ("plan", *verification.TRANSPORTS, "again", "order", "padded", "concurrent")
"""Where a GPU answers, if a plan is served."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run behaves, apart from what the spec says."""

    replace_config: bool = False
    """Put a differing configuration in place of the published one."""
    allow_unproven: bool = False
    """Publish a version although a proof that it needs could not run here."""
    plans: tuple[Path, ...] = ()
    """Folders with plans that were built elsewhere, of the request that `request` writes; nothing is built then."""
    command: str | None = None
    """What builds the same again on a command line, for the report."""
    on_stage: Listener | None = None
    on_progress: Callable[[str], None] | None = None
    """Told in one line what a long step is doing, such as installing the server."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A staged version whose ONNX file was compared with PyTorch, and all that is known of it."""

    staged: StagedVersion
    golden: GoldenSet
    observer: Observer
    """Has seen every answer so far."""
    config: Mapping[str, Any]
    checks: tuple[Check, ...]
    passed: bool
    """Whether ONNX Runtime answered like PyTorch."""
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    details: Mapping[str, Any]
    plans: tuple[PlanProof, ...] = ()
    """What was built of the ONNX file for TensorRT, and what became of each where there is a GPU of its kind."""


def run(specification: spec.Spec, *, models: Sequence[str] = (), options: Options | None = None) -> tuple[Report, ...]:
    """Build, serve, verify and publish every model of a specification, or the named ones; one Report each.

    Raises:
        TritonizeError: a model cannot be proven or published; nothing of it is left behind.
    """
    return _each(specification, models, options or Options(), serve=True)


def build(specification: spec.Spec, *, models: Sequence[str] = (), options: Options | None = None) -> tuple[Report, ...]:
    """Build every model up to a staged version that ONNX Runtime answers like PyTorch; nothing is served or published."""
    return _each(specification, models, options or Options(), serve=False)


def request(specification: spec.Spec, directory: Path, *, models: Sequence[str] = (), options: Options | None = None) -> Path:
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
    if model.backend not in planning.MODULES:
        raise UsageError("There is no plan in a version with backend onnxruntime.", where=f"models.{name}.backend")
    source = reference.identify(model)
    if source.kind != "onnx":
        errors.require("torch", extra="torch")
    with repository.storage_errors(place), repository.staging(place) as run_:
        model = describing.complete(model, source, run_.work)
        proven, _ = _prove(model, source, run_.work, Recorder(chosen.on_stage))
        if not proven.passed:
            raise ExportError(
                "The ONNX file does not answer like PyTorch, so there is nothing to build of it.",
                where=name,
                next_step="see the report of `tritonize build`",
            )
        return planning.write_request(planning.request(model, specification.target, proven.artifact), directory)


def _each(specification: spec.Spec, models: Sequence[str], options: Options, *, serve: bool) -> tuple[Report, ...]:
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


def _selected(specification: spec.Spec, names: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in specification.models]
    if unknown:
        raise UsageError("The specification has no such model.", found=", ".join(unknown), expected=", ".join(specification.models))
    return tuple(names) or tuple(specification.models)


def _run_model(specification: spec.Spec, name: str, options: Options, *, serve: bool) -> Report:
    model, place = specification.models[name], specification.repository
    source = reference.identify(model)
    if source.kind != "onnx":
        errors.require("torch", extra="torch")
    planning.require_possible(model, specification.target, options.plans)
    recorder = Recorder(options.on_stage)
    started = time.perf_counter()
    with repository.storage_errors(place), repository.staging(place) as run_:
        model = describing.complete(model, source, run_.work)
        specification = specification.model_copy(update={"models": {**specification.models, name: model}})
        built = _build(specification, name, source, run_, recorder, options)
        served = _serve(built, run_, recorder, options) if serve and built.passed and _can_be_served(built) else None
        if reference.identify(model).sha256 != source.sha256:
            raise RepositoryError(
                "The source changed while it was being proven, so it is not known what the version was made from.",
                where=model.source,
                next_step="run again once nothing writes to it any more",
            )
        finished = _report(specification, built, recorder, served, started, command="run" if serve else "build")
        allowed = serve and (finished.verdict == "passed" or (finished.verdict == "not run" and options.allow_unproven))
        home = place / name / str(built.staged.version) if allowed else built.staged.version_directory
        finished = _with_worst(finished, built, home, options)
        evidence.write(built.staged, finished, model, built.observer.gallery)
        if not allowed:
            run_.keep()
            return _kept(finished, built.staged)
        with recorder.stage("publish"):
            published = repository.publish(built.staged, place, allow_change=options.replace_config)
        return replace(finished, published=True, location=published.version_directory, stages=tuple(recorder.stages))


def _with_worst(finished: Report, built: Built, home: Path, options: Options) -> Report:
    """The sample with the largest error is kept in the evidence, and the report says how to ask for it again.

    Args:
        home: where the version will lie.
    """
    gate = quality.worst(finished.gates)
    samples = built.observer.golden.samples
    if gate is None or gate.sample is None:
        return finished
    evidence.write_worst(built.staged, samples, gate.sample)
    again = f"{options.command or 'tritonize build SPEC'} --sample-file {home / repository.EVIDENCE / evidence.WORST}"
    facts = {"sample": gate.sample, "group": samples.group(gate.sample), "output": gate.output, "stage": gate.stage}
    facts |= {"gate": gate.gate, "value": gate.value, "limit": gate.limit, "file": evidence.WORST, "command": again}
    note = f"Largest error: sample {gate.sample} ({samples.group(gate.sample)}), output {gate.output}, {gate.stage}. Again: {again}"
    return replace(finished, notes=(*finished.notes, note), details={**finished.details, "worst": facts})


def _can_be_served(built: Built) -> bool:
    """Whether a server here can answer: a plan needs its GPU, and one that answers wrongly is not asked again."""
    return not built.plans or (plan_proof.overall(built.plans) != "failed" and plan_proof.served_here(built.plans))


def _kept(finished: Report, staged: StagedVersion) -> Report:
    note = f"The staged version and its report (evidence/report.json) lie in {staged.version_directory}; nothing was published."
    return replace(finished, location=staged.version_directory, notes=(*finished.notes, note))


def _build(specification: spec.Spec, name: str, source: Source, run_: Run, recorder: Recorder, options: Options) -> Built:
    model = specification.models[name]
    proven, located = _prove(model, source, run_.work, recorder)
    plans = _plans(specification, model, proven, run_, recorder, options)
    with recorder.stage("stage"):
        staged = _stage(specification, name, proven.artifact, [each.plan for each in plans], run_, options)
        config = model_config.parse((staged.model_directory / repository.CONFIG).read_text(), where=repository.CONFIG)
        whole = replace(
            proven.observer.golden, samples=proven.samples, expected=proven.reference.outputs, floors=proven.observer.floors
        )
        golden.write(whole, staged.version_directory / repository.EVIDENCE / "golden")
    return Built(
        staged=staged,
        golden=whole,
        observer=proven.observer,
        config=config,
        checks=(*proven.checks, *plan_proof.answered(plans)),
        passed=proven.passed,
        versions={**evidence.versions(*PACKAGES), **proven.versions},
        notes=proven.notes,
        details={
            **evidence.details(model, specification.target, proven.artifact, proven.reference, proven.attempts),
            **({"plans": [each.as_json() for each in plans]} if plans else {}),
            **({"location": to_json(located)} if located else {}),
        },
        plans=plans,
    )


def _prove(model: spec.Model, source: Source, work: Path, recorder: Recorder) -> tuple[proving.Proven, Location | None]:
    """The ONNX file in the spec's precision, and where it goes wrong if it does.

    One in half precision is made of a file that was right in float32.
    """
    proven = proving.prove(model, source, work, recorder)
    if not proven.passed and model.precision in precision.HALF:
        recorder.add(Stage(name="precision", verdict="not run", seconds=0.0, note="the fp32 file already differs from PyTorch"))
    if not proven.passed:
        return proven, _located(model, source, proven, work, recorder)
    if model.precision not in precision.HALF:
        return proven, None
    question = reducing.Question(
        samples=proven.samples,
        reference=proven.reference,
        tolerances={tensor.name: proving.tolerance(model, tensor.name) for tensor in proven.outputs},
        observer=proven.observer,
    )
    done = reducing.reduce(model, proven.artifact, question, work, recorder)
    reduced = replace(
        proven,
        artifact=done.artifact,
        samples=done.samples,
        reference=done.reference,
        checks=(*proven.checks, *done.checks),
        notes=(*proven.notes, *done.notes),
    )
    if reduced.passed:
        return reduced, None
    place = proving.made(work / "locate")
    return reduced, repairing.repair(model, proven.artifact, replace(question, observer=None), place, recorder, trials=TRIALS)


def _located(model: spec.Model, source: Source, proven: proving.Proven, work: Path, recorder: Recorder) -> Location | None:
    """Where an ONNX file that is not right parts from the module; that this cannot be found out is no second failure."""
    if source.kind == "onnx":
        return None
    place, batch = proving.made(work / "locate"), locating.failing(proven.checks)
    try:
        return locating.locate(model, source, proven.artifact, proven.samples, place, recorder, batch=batch)
    except TritonizeError as error:
        recorder.add(Stage(name="locate", verdict="not run", seconds=0.0, note=error.what))
        return None


def _plans(
    specification: spec.Spec, model: spec.Model, proven: proving.Proven, run_: Run, recorder: Recorder, options: Options
) -> tuple[PlanProof, ...]:
    """The plans of a right ONNX file, where the backend is one of TensorRT's, each run where its GPU is here."""
    if model.backend == "onnxruntime" or not proven.passed:
        return ()
    with recorder.stage("plan") as fields:
        place, target = run_.work / "plans", specification.target
        if options.plans:
            built = planning.take(model, target, proven.artifact, options.plans, place)
        else:
            built = planning.build(model, target, proven.artifact, place, options.on_progress)
        fields["library_seconds"] = sum(each.metadata.build_seconds for each in built if not each.cached)
        targets = ", ".join(each.metadata.compute_capability for each in built)
        fields["note"] = f"{built[0].metadata.module} {built[0].metadata.version} for {targets}"
    question = plan_proof.Question(
        samples=proven.samples,
        reference=proven.reference,
        tolerances={tensor.name: proving.tolerance(model, tensor.name) for tensor in proven.outputs},
        precision=model.precision,
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
        plugins=model.builder.plugins,
    )
    return plan_proof.prove(built, question, run_.work / "engines", recorder, options.on_progress)


def _stage(
    specification: spec.Spec, name: str, artifact: OnnxArtifact, plans: Sequence[BuiltPlan], run_: Run, options: Options
) -> StagedVersion:
    model, place = specification.models[name], specification.repository
    several = {each.metadata.compute_capability: each.path.name for each in plans} if len(plans) > 1 else None
    text = model_config.render(name, model, artifact, several)
    version = max(repository.versions(place, name), default=0) + 1
    texts = {repository.CONFIG: text}
    for output, wanted in model.outputs.items():
        if wanted.labels:
            texts[model_config.label_filename(output)] = _labels(output, wanted.labels, artifact)
    repository.require_same_config(place, name, texts, allow_change=options.replace_config)
    served = [artifact.path, artifact.data] if not plans else [path for each in plans for path in each.files]
    files = {f"{version}/{path.name}": path for path in served if path}
    for each in plans:
        if each.log:
            files[f"{version}/{repository.EVIDENCE}/{each.log.name}"] = each.log
    if artifact.node_map:
        files[f"{version}/{repository.EVIDENCE}/{artifact.node_map.name}"] = artifact.node_map
    return repository.stage(run_, name, version, files, texts)


def _labels(output: str, path: Path, artifact: OnnxArtifact) -> str:
    """The text of a label file, one label per class."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labels of output {output!r} cannot be read.", where=str(path), found=str(error)) from error
    tensor = next((tensor for tensor in artifact.outputs if tensor.name == output), None)
    classes, lines = tensor.shape[-1] if tensor and tensor.shape else None, len(text.splitlines())
    if isinstance(classes, int) and classes != lines:
        raise UsageError(
            f"The labels of output {output!r} do not fit it.", where=str(path), expected=f"{classes} lines", found=f"{lines} lines"
        )
    return text


def _serve(built: Built, run_: Run, recorder: Recorder, options: Options) -> verification.Verification:
    """Start the server on the staged version and verify what it answers."""
    staged = built.staged
    probe = arrays.load(built.golden.samples.files, 0)
    with contextlib.ExitStack() as stack:
        with recorder.stage("server start") as fields:
            started = time.perf_counter()
            handle = stack.enter_context(
                serving.serve(
                    staged.root,
                    models=[staged.model],
                    probes={staged.model: verification.as_served(probe, built.config, "input")},
                    directory=run_.work / "server",
                    on_progress=options.on_progress,
                )
            )
            fields["library_seconds"] = time.perf_counter() - started
            fields["note"] = serving.summary(handle)
        target = verification.Target(
            server=handle,
            model=staged.model,
            version=staged.version,
            golden=built.golden,
            config=built.config,
            observer=built.observer,
        )
        verified = verification.verify(target)
        for stage in verified.stages:
            recorder.add(stage)
        recorder_stop = time.perf_counter()
    seconds = time.perf_counter() - recorder_stop
    recorder.add(Stage(name="server stop", verdict="passed", seconds=seconds, library_seconds=seconds))
    return verified


def _report(
    specification: spec.Spec,
    built: Built,
    recorder: Recorder,
    served: verification.Verification | None,
    started: float,
    *,
    command: str,
) -> Report:
    wrong = tuple(finding for each in built.plans for finding in each.findings)
    checks = built.checks
    findings = (*verification.empty_proofs(built.checks), *wrong, *(served.findings if served else ()))
    verdict: Verdict = "passed" if built.passed and not findings else "failed"
    if served is not None:
        checks = (*checks, *served.checks)
        verdict = "passed" if built.passed and served.passed and not findings else "failed"
    judged = quality.judge(built.observer, checks, on_gpu=_STAGES_OF_PLANS if built.plans else ())
    if not judged.passed:
        verdict = "failed"
    if verdict == "passed" and built.plans:
        verdict = plan_proof.overall(built.plans)  # a plan that nobody ran leaves the version unproven
    if served is None and command == "run" and built.plans:
        recorder.add(Stage(name="server", verdict="not run", seconds=0.0, note="no plan answered rightly here"))
    elif served is None and command == "run" and not built.plans:
        recorder.add(Stage(name="server", verdict="not run", seconds=0.0, note="ONNX Runtime already differs from PyTorch"))
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
            *verification.weak_proofs(built.checks),
            *_notes(specification, served, from_onnx=built.details["source"]["kind"] == "onnx", plans=built.plans),
        ),
        versions=built.versions,
        proved_by=served.identity if served else {},
        details={**built.details, "seconds": time.perf_counter() - started},
    )


def _notes(
    specification: spec.Spec, served: verification.Verification | None, *, from_onnx: bool, plans: Sequence[PlanProof]
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
