"""Verify published versions: their files against the manifest, and a server's outputs against the golden set."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonize import repository
from tritonize.core import arrays, temporary
from tritonize.core.artifacts import PublishedVersion, ServerHandle
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, MissingError, RepositoryError, ServerError, TritonizeError, UsageError
from tritonize.core.messages import client, steps
from tritonize.core.messages import repository as wording
from tritonize.core.recorder import Listener, OnModel, Recorder, silent, silent_model
from tritonize.core.reports import Finding, Report
from tritonize.core.stages import TRANSPORTS, StageName
from tritonize.quality import gates, golden_set, sample_digests
from tritonize.quality.gates import Judgement
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.repository import private_copy
from tritonize.spec import schema
from tritonize.triton import classification, inference, model_config, reachability, remote, served_comparison, serving, weight
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.target import NewSamples, Target
from tritonize.triton.weight import Pace, ProfileName
from tritonize.workflows import (
    checked_copy,
    ensemble_steps,
    evidence,
    left_out,
    made_config,
    new_draw,
    quick_versions,
    signed,
    target_only,
    uncompared,
    verify_notes,
)
from tritonize.workflows.checked_copy import Checked


@dataclass(frozen=True, kw_only=True)
class Request:
    """The repository, models and server to verify."""

    repository: Path
    models: Sequence[str] = ()
    """Model names; empty means all models."""
    version: int | None = None
    """Version number (the pinned version; without a pin, the newest)."""
    urls: Sequence[str] = ()
    """A running server's `http://host:port` and `grpc://host:port`; if empty, the embedded server is started."""
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    """How to connect to the running server."""
    serve_anyway: bool = False
    """Also serve and compare versions whose files changed after they were proven."""
    key: Path | None = None
    """Public key; each version must have a signature that holds for it."""
    profile: ProfileName = "standard"
    """How many requests a running server gets; the embedded one always gets the standard profile's."""
    rate: float | None = None
    """Most inference requests per second to a running server; `None` for no limit."""
    every_s: float | None = None
    """Seconds between the starts of two verifications, if they are repeated; only said."""
    on_request: Callable[[], None] | None = None
    """Called for every inference request to a running server."""
    on_model: OnModel = silent_model
    """Called with each model of several, before its first stage."""
    on_stage: Listener = silent
    on_progress: Callable[[str], None] | None = None


def verify(request: Request) -> tuple[Report, ...]:
    """Check each version's files against its manifest, and a server's outputs against its golden set; one Report each.

    Raises:
        UsageError: a model does not exist.
        TritonizeError: with one model: its version does not exist or is damaged, or the server cannot be started or reached or
            rejects the model, although its files are unchanged. With several models, the error is in the report of its model.
    """
    present = repository.models(request.repository)
    absent = [name for name in request.models if name not in present]
    if absent:
        raise repository.no_model(absent, present, where=str(request.repository))
    chosen = tuple(request.models or present)
    reports: list[Report] = []
    for number, name in enumerate(chosen, 1):
        if len(chosen) > 1:
            request.on_model(name, number, len(chosen))
        try:
            reports.append(_verify_model(request, name))
        except TritonizeError as error:
            if error.code == wording.NO_EVIDENCE.code:
                version = _version(request, name).version
                made = made_config.notes(request.repository, name, version, urls=request.urls, options=request.connection)
                reports.append(uncompared.not_proven(request.repository, name, version, error=error, notes=made))
            elif len(chosen) == 1 or (error.code == client.SERVER_UNREACHABLE.code and not reports):
                raise
            else:
                reports.append(uncompared.with_error(name, error))
    return tuple(reports)


def _verify_model(request: Request, name: str) -> Report:
    published = _version(request, name)
    manifest = repository.read_manifest(published.version_directory)
    with temporary.folder() as folder:
        request.on_stage(StageName.FILES, None)
        started = time.perf_counter()
        budget = private_copy.BUDGET if request.key is None else private_copy.ALL
        checked = checked_copy.check(request.repository, name, published.version, folder=folder / "files", budget=budget)
        # Older versions are not served here, but a version policy may serve them elsewhere.
        older = checked_copy.older_findings(request.repository, name, published.version) if request.version is None else ()
        unsigned = tuple(_signature_findings(request, checked))
        files = verify_notes.of_files(request.repository, checked, older)
        findings = (*files, *ensemble_steps.changes(request.repository, name, manifest), *unsigned)
        request.on_stage(StageName.FILES, verify_notes.files_stage(checked, findings, seconds=time.perf_counter() - started))
        blank = Report(
            command="verify",
            model=name,
            version=published.version,
            verdict="failed",
            findings=findings,
            versions=evidence.versions("numpy", "tritonclient"),
            location=published.version_directory,
            published=True,
            notes=(
                *remote.notes(request.urls, request.connection),
                *verify_notes.proven(manifest),
                *verify_notes.trust(request.key, checked, unsigned),
                *checked.notes,
                *verify_notes.configuration(request.repository, checked),
            ),
        )
        if findings and not request.serve_anyway:
            return replace(blank, notes=(*blank.notes, wording.NOT_SERVED.text()))
        if why := sample_digests.why_alone(checked.version_directory / repository.EVIDENCE / "golden"):
            return uncompared.without_samples(blank, why)
        if findings:
            blank = replace(blank, notes=(*blank.notes, wording.SERVED_ANYWAY.text()))
        return _compared(request, published, checked, blank=blank, folder=folder)


def _signature_findings(request: Request, checked: Checked) -> Iterator[Finding]:
    """Verify the signatures of the version and, unless it was chosen by its number, of the others that the repository serves."""
    if (key := request.key) is None:
        return
    place, model = request.repository, checked.model
    yield from signed.findings(
        place,
        model,
        checked.version,
        key=key,
        manifest=checked.manifest,
        own_config=checked.own_config,
        in_place=checked.in_place,
    )
    for version in checked_copy.served_versions(place, model) if request.version is None else ():
        if version != checked.version and checked_copy.is_proven(place / model, version):
            manifest = repository.read_manifest(place / model / str(version))
            yield from signed.findings(place, model, version, key=key, manifest=manifest)


def _compared(request: Request, published: PublishedVersion, checked: Checked, *, blank: Report, folder: Path) -> Report:
    """Serve the checked files and compare the server's outputs."""
    try:
        golden = golden_set.read(checked.version_directory / repository.EVIDENCE / "golden")
        verified, judgement = _served(request, published, checked, golden=golden, folder=folder)
    except (MissingError, ServerError, UsageError, RepositoryError, InferenceError) as error:
        if not blank.findings:
            raise
        # The changed file is the likely cause of the server's refusal, so the report shows both.
        refusal = Finding(where=error.where or published.model, what=error.what, expected=error.expected, found=error.found)
        return replace(blank, findings=(*blank.findings, refusal))
    findings = (*blank.findings, *verified.findings, *checked.changed_in_place())
    target = schema.Target.model_validate(checked.manifest.get("target", {}))
    for stage in target_only.stages(verified.set_aside, target):
        request.on_stage(stage.name, stage)
    return replace(
        blank,
        verdict=quick_versions.verdict(target_only.verdict(verified.verdict, verified.set_aside, target), checked.manifest)
        if judgement.passed and not findings
        else "failed",
        checks=verified.checks,
        rows=judgement.rows,
        gates=judgement.gates,
        tolerances=judgement.tolerances,
        floors=judgement.floors,
        notes=(*blank.notes, *verified.notes, *judgement.notes),
        findings=findings,
        stages=(*verified.stages, *target_only.stages(verified.set_aside, target)),
        details=verify_notes.details(checked, verified, golden),
        left_out=(
            *left_out.proven(checked.manifest),
            *left_out.of_verification(golden, samples=left_out.samples_of(checked.manifest), profile=_profile(request)),
        ),
        proved_by=verified.identity,
    )


def _version(request: Request, name: str) -> PublishedVersion:
    present = repository.versions(request.repository, name)
    wanted = request.version if request.version is not None else repository.pinned(request.repository / name)
    if wanted is None:  # the one that clients get, by the configuration's version policy
        wanted = max(checked_copy.served_versions(request.repository, name) or present, default=None)
    if wanted is None or wanted not in present:
        raise repository.no_version(request.repository / name, present, wanted)
    return PublishedVersion(repository=request.repository, model=name, version=wanted)


def _served(
    request: Request, published: PublishedVersion, checked: Checked, *, golden: GoldenSet, folder: Path
) -> tuple[served_comparison.Verification, Judgement]:
    path = checked.root / published.model / repository.CONFIG
    config = model_config.parse(repository.read_config(checked.root, published.model), where=str(path))
    config = model_config.with_completed(config, checked.manifest.get("completed", {}))
    if request.urls and repository.pinned(published.version_directory.parent) == published.version:
        config["version_policy"] = {"specific": {"versions": [published.version]}}
    tracker = ErrorTracker(golden)
    with contextlib.ExitStack() as stack:
        server = (
            _running_server(request, published)
            if request.urls
            else stack.enter_context(_embedded_server(request, checked, golden, config=config, folder=folder))
        )
        target = Target(
            server=server,
            model=published.model,
            version=published.version,
            golden=golden,
            config=config,
            tracker=tracker,
            newest=request.version is None,
            present=_present(request, checked),
            served=checked_copy.served_versions(request.repository, published.model) if request.urls else (),
            labels=classification.read(checked.root / published.model, config),
            new=_new_samples(request, checked, golden, config=config, folder=folder / "new"),
            profile_name=_profile(request),
            pace=Pace(request.rate, on_request=request.on_request) if request.urls else Pace(),
        )
        if request.urls:
            reachability.announce(target, request.on_progress, every_s=request.every_s)
        verified = served_comparison.verify(target, recorder=Recorder(request.on_stage))
        return verified, gates.judge(tracker, verified.checks, on_gpu=verified.on_gpu)


def _profile(request: Request) -> ProfileName:
    return request.profile if request.urls else "standard"


def _present(request: Request, checked: Checked) -> ModelConfig | None:
    """The published configuration, if it replaced the one that the version was proven with: a running server has the published."""
    if not request.urls or not checked.own_config:
        return None
    where = str(request.repository / checked.model / repository.CONFIG)
    config = model_config.parse(repository.read_config(request.repository, checked.model), where=where)
    return model_config.with_completed(config, checked.manifest.get("completed", {}))


def _new_samples(request: Request, checked: Checked, golden: GoldenSet, *, config: ModelConfig, folder: Path) -> NewSamples:
    """Draw samples for a running server, whose responses may be stored; a server that starts now has stored none."""
    if not request.urls:
        return new_draw.without_reference("the server was started for this verification")
    count = len(TRANSPORTS) * weight.PROFILES[request.profile].new
    return new_draw.draw(checked.version_directory, checked.manifest, golden, config=config, count=count, folder=folder)


def _running_server(request: Request, published: PublishedVersion) -> ServerHandle:
    server = serving.remote(request.urls, options=request.connection)
    serving.await_model(server, published.model, published.version)
    return server


@contextlib.contextmanager
def _embedded_server(
    request: Request, checked: Checked, golden: GoldenSet, *, config: ModelConfig, folder: Path
) -> Iterator[ServerHandle]:
    budget = private_copy.BUDGET if request.key is None else private_copy.ALL
    changed = checked_copy.add_steps(request.repository, checked.manifest, checked.root, folder=folder / "steps", budget=budget)
    if changed and not request.serve_anyway:  # since they were compared, or without a copy
        raise RepositoryError.of(steps.STEP_DAMAGED, where=checked.model, step=", ".join(each.where for each in changed))
    probe = inference.as_served(arrays.load(golden.samples.files, 0), config, "input")
    request.on_stage(StageName.SERVER_START, None)
    started = time.perf_counter()
    with serving.serve(
        checked.root,
        models=[checked.model],
        versions={checked.model: checked.version},
        probes={checked.model: probe},
        directory=folder / "server",
        complete="completed" in checked.manifest,
        on_progress=request.on_progress,
    ) as server:
        request.on_stage(StageName.SERVER_START, verify_notes.started(server, time.perf_counter() - started))
        yield server
