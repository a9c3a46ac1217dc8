"""Prove one version of a hand-made repository: its ONNX file as it is against the reference, then a server's outputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize import reference, repository
from tritonize.core import errors
from tritonize.core.artifacts import Source, StagedVersion
from tritonize.core.messages import adoption as wording
from tritonize.core.onnx_graph import Graph
from tritonize.core.recorder import Listener, Recorder
from tritonize.core.reports import Report, Stage
from tritonize.core.stages import StageName
from tritonize.export import as_given
from tritonize.export.proven import ProvenOnnx
from tritonize.source import drawing, identification, input_inference, inspection
from tritonize.spec import schema
from tritonize.triton import classification, client, model_config, served_comparison, serving
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.served_comparison import Verification
from tritonize.triton.server.embedded import Running
from tritonize.triton.target import Target
from tritonize.workflows import adopted_model, evidence, made_config
from tritonize.workflows.job import Job, Options
from tritonize.workflows.run_report import report_of
from tritonize.workflows.stage_version import PACKAGES, Built

NO_REFERENCE = "none"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One version to prove."""

    staged: StagedVersion
    """A private copy, which is served."""
    path: Path
    """The ONNX file in the copy."""
    sha256: str
    original: Path
    """The ONNX file in the repository."""
    graph: Graph
    config: ModelConfig
    """The configuration as it is written, parsed."""
    given: schema.Model | None
    """The model's part of the user's spec."""
    target: schema.Target
    work: Path
    """Folder for other files."""
    started: float
    """Start time, by `time.perf_counter`."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The comparison of one version."""

    report: Report
    built: Built
    model: schema.Model
    reference: str
    """The kind of the reference; `NO_REFERENCE` if it is the file itself."""


def prove(subject: Subject, *, on_stage: Listener, on_progress: Callable[[str], None] | None) -> Proof:
    """Serve the version, compare its file with the reference in ONNX Runtime, then the server's outputs with the same reference.

    The server completes the configuration, as Triton does by default; what it completed is part of the proof.

    Raises:
        MissingError: the server, or a package that the source needs, is not installed.
        ServerError: the server does not start, or refuses the model.
        UsageError, ExportError: the model cannot be compared, or the reference cannot be computed.
    """
    recorder = Recorder(on_stage)
    staged = subject.staged
    recorder.begin(StageName.SERVER_START)
    started = time.perf_counter()
    directory = subject.work / "server"
    with serving.serve(staged.root, models=[staged.model], directory=directory, complete=True, on_progress=on_progress) as server:
        seconds, note = time.perf_counter() - started, serving.summary(server)
        recorder.add(Stage(name=StageName.SERVER_START, verdict="passed", seconds=seconds, library_seconds=seconds, note=note))
        with client.connect_to(server, "http") as connection:
            served = connection.model_config(staged.model, str(staged.version))
        completed = adopted_model.completed(subject.config, served)
        config = model_config.with_completed(subject.config, completed)
        model, source = _described(subject, config)
        proven = _compared(subject, model, source, recorder=recorder)
        built = _built(subject, model, proven, config=config, completed=completed)
        verified = _verified(built, server, recorder)
    return Proof(
        report=_report(subject, built, verified, model=model, recorder=recorder),
        built=built,
        model=model,
        reference=_reference(subject, built.source),
    )


def _described(subject: Subject, config: ModelConfig) -> tuple[schema.Model, Source]:
    """Complete the spec's part about the model, or make one, and identify the reference."""
    model = adopted_model.describe(
        config, subject.graph, name=subject.staged.model, file=subject.original, source=subject.path, given=subject.given
    )
    source = identification.identify(model)
    if source.kind != "onnx":
        errors.require("torch", extra="torch")
    return input_inference.complete(model, source, subject.work), source


def _compared(subject: Subject, model: schema.Model, source: Source, *, recorder: Recorder) -> ProvenOnnx:
    """Compute the reference, and compare the file with it."""
    work = subject.work / "proof"
    drawn = drawing.draw(model, source, work, recorder=recorder)
    baseline = reference.compute(model, source, drawn, work=work, recorder=recorder)
    own = Source(kind="onnx", location=str(subject.path), sha256={subject.path.name: subject.sha256})
    inspected = inspection.inspect(own, work / "inspect_given", deadline_s=model.deadline_s, memory_bytes=model.memory_bytes)
    artifact = as_given.artifact(subject.path, inspected, sha256=subject.sha256)
    return as_given.compare(model, baseline, artifact, work=work, recorder=recorder)


def _reference(subject: Subject, source: Source) -> str:
    """Return the kind of the reference; a source that is this very file is none."""
    return NO_REFERENCE if source.kind == "onnx" and subject.sha256 in source.sha256.values() else source.kind


def _built(
    subject: Subject, model: schema.Model, proven: ProvenOnnx, *, config: ModelConfig, completed: dict[str, object]
) -> Built:
    """Put together what the comparison without a server found."""
    baseline, kind = proven.baseline, _reference(subject, proven.baseline.source)
    notes = [wording.ADOPTED_NOTE.text()]
    if kind == NO_REFERENCE:
        notes.append(wording.UNREFERENCED_NOTE.text())
    if unconfigured := not (subject.staged.model_directory / repository.CONFIG).exists():
        notes.append(wording.WITHOUT_CONFIG_NOTE.text(config=made_config.in_words(config)))
    elif completed:
        notes.append(wording.COMPLETED_NOTE.text(fields=", ".join(completed)))
    facts: dict[str, object] = {"kind": kind, **baseline.facts}
    if kind == NO_REFERENCE:
        facts["text"] = wording.UNREFERENCED.text()
    return Built(
        staged=subject.staged,
        golden=proven.golden,
        tracker=proven.tracker,
        source=baseline.source,
        config=config,
        checks=proven.all_checks,
        passed=proven.passed,
        notes=(*notes, *baseline.notes, *proven.notes),
        versions={**evidence.versions(*PACKAGES), **proven.versions},
        details={
            **evidence.details(model, subject.target, proven.artifact, reference=baseline.reference, attempts=()),
            "samples": evidence.samples(model, proven.golden.samples),
            "reference": facts,
            "adopted": True,
            "completed": completed,
            **({"unconfigured": True} if unconfigured else {}),
        },
        left_out=baseline.left_out,
        findings=(*baseline.findings, *(proven.nonfinite if model.quality.nan == "strict" else ())),
    )


def _verified(built: Built, server: Running, recorder: Recorder) -> Verification:
    """Compare the server's outputs."""
    target = Target(
        server=server,
        model=built.staged.model,
        version=built.staged.version,
        golden=built.golden,
        config=built.config,
        tracker=built.tracker,
        labels=classification.read(built.staged.model_directory, built.config),
    )
    return served_comparison.verify(target, recorder=recorder)


def _report(subject: Subject, built: Built, verified: Verification, *, model: schema.Model, recorder: Recorder) -> Report:
    name = subject.staged.model
    # Not validated: Triton accepts more names of models than a spec does.
    specification = schema.Spec.model_construct(schema_version=1, target=subject.target, models={name: model})
    job = Job(
        specification=specification,
        name=name,
        model=model,
        source=built.source,
        run=repository.Run(subject.work),
        recorder=recorder,
        options=Options(set_in="tritonize adopt"),
        serve=True,
        started=subject.started,
    )
    report = report_of(job, built, verified)
    return replace(report, command="adopt", location=subject.original.parent)
