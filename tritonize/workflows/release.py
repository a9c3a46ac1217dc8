"""The end of a run: write the evidence with the version's number, and publish the version or keep it in the staging area."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize import repository
from tritonize.core.artifacts import PublishedVersion, StagedVersion
from tritonize.core.errors import RepositoryError
from tritonize.core.messages import repository as wording
from tritonize.core.reports import Report
from tritonize.core.results import PASSED
from tritonize.core.stages import StageName
from tritonize.quality import gates
from tritonize.repository import evidence_place, manifest
from tritonize.spec import schema
from tritonize.triton import config_changes, model_config
from tritonize.workflows import config_conflict, evidence, kept_samples, quick_versions
from tritonize.workflows.job import Job
from tritonize.workflows.kept_samples import Kept
from tritonize.workflows.stage_version import Built


@dataclass(frozen=True, kw_only=True)
class Release:
    """A staged version and the results of its run."""

    built: Built
    report: Report
    model: schema.Model
    place: Path
    """The model repository."""
    again: str
    """Command line that repeats the build."""
    evidence: schema.Evidence
    kept: Kept
    """The samples in the evidence."""


def publish_or_keep(job: Job, built: Built, report: Report) -> Report:
    """Publish a version that passed; keep any other one in the staging area, with its report.

    Raises:
        RepositoryError: see `repository.publish`; nothing was changed.
    """
    again = job.options.command or "tritonize build SPEC"
    several = len(job.specification.models) > 1
    again += f" -m {job.name}" if several and " -m " not in again and " --model" not in again else ""
    wanted = job.specification.evidence
    gate = gates.worst(report.gates)
    golden = built.staged.version_directory / repository.EVIDENCE / "golden"
    kept = kept_samples.write(built.golden, golden, job.model, wanted=wanted, worst=gate.sample if gate else None)
    release = Release(built=built, report=report, model=job.model, place=job.place, again=again, evidence=wanted, kept=kept)
    accepted = (*PASSED, "not run") if job.options.allow_unproven else PASSED
    if not job.serve or report.verdict not in accepted:
        job.run.keep()
        return keep(release)
    if (proven := _replaced(job, built, report)) is not None:
        job.run.keep()
        quick = {**report.details["quick"], "not_published_over": proven}
        return keep(replace(release, report=replace(report, details={**report.details, "quick": quick})))
    if job.options.replace_config and not job.options.drop_config_fields:
        config_conflict.require_nothing_dropped(job.place, job.name, built.config)
    with job.recorder.stage(StageName.PUBLISH):
        published = publish(release, allow_change=job.options.replace_config, done=job.options.on_published)
    return replace(published, stages=tuple(job.recorder.stages))


def _replaced(job: Job, built: Built, report: Report) -> int | None:
    """The proven version that a quick run would replace for clients; `None` if it replaces no such version, or may."""
    if report.verdict != "passed quick" or job.options.allow_unproven:
        return None
    return quick_versions.replaced(job.place, job.name, built.staged.version, config=built.config)


def keep(release: Release) -> Report:
    """Write the evidence of an unpublished version into the staging area."""
    staged = release.built.staged
    written = _write(replace(release, evidence=schema.Evidence()), staged, staged.version_directory / repository.EVIDENCE)
    changes = _changes(release)
    changed = [wording.CONFIG_WILL_DIFFER.text(file=name, fields="; ".join(lines)) for name, lines in changes.items()]
    written = replace(written, notes=(*written.notes, *changed))
    note = f"The staged version and its report (evidence/report.json) lie in {staged.version_directory}; nothing was published."
    return replace(written, location=staged.version_directory, notes=(*written.notes, note))


def publish(release: Release, *, allow_change: bool, done: Callable[[PublishedVersion], None]) -> Report:
    """Publish the version under the next free number, which its evidence names.

    Args:
        allow_change: replace the published configuration if it differs.
        done: called with the version directly after it is published; interrupts are delayed until it returns.

    Raises:
        RepositoryError: see `repository.publish`; nothing was changed.
    """
    written: list[Report] = []
    if allow_change:
        release = _noting_changes(release)

    def finish(staged: StagedVersion) -> None:
        _require_served(release, staged.version)
        pinned = None if allow_change else repository.pinned(release.place / staged.model)
        home = release.place / staged.model / str(staged.version)
        written.append(_write(release, staged, _evidence_home(release, home), pinned=pinned))

    published = repository.publish(
        release.built.staged,
        release.place,
        allow_change=allow_change,
        compare=config_changes.between,
        finish=finish,
        done=done,
        place=release.evidence.place,
    )
    return replace(written[-1], published=True, location=published.version_directory)


def _noting_changes(release: Release) -> Release:
    """Add a note about each file beside the versions that will be replaced."""
    changes = _changes(release)
    notes = [wording.CONFIG_REPLACED.text(file=name, fields="; ".join(lines)) for name, lines in changes.items()]
    return replace(release, report=replace(release.report, notes=(*release.report.notes, *notes)))


def _changes(release: Release) -> dict[str, list[str]]:
    """Return the differences from the published configuration and labels, by file name."""
    staged = release.built.staged
    files = repository.files_beside(staged.model_directory)
    return repository.config_changes(release.place, staged.model, files, compare=config_changes.between)


def _require_served(release: Release, number: int) -> None:
    """Require that a configuration with specific versions names this one; otherwise the server would not load it."""
    named = model_config.versions_named(release.built.config)
    if named is not None and release.built.staged.version in named and number not in named:
        taken = str(release.place / release.built.staged.model / str(release.built.staged.version))
        raise RepositoryError.of(wording.NUMBER_NAMED, where=taken, expected=", ".join(map(str, named)), found=str(number))


def _write(release: Release, staged: StagedVersion, home: Path, *, pinned: int | None = None) -> Report:
    """Write report, figures and manifest of the version with its number.

    Args:
        home: the folder of the evidence after publication.
        pinned: the version that the repository serves instead of this one.
    """
    report, proved_as = replace(release.report, version=staged.version), release.built.staged.version
    if staged.version != proved_as:
        note = wording.RENUMBERED.text(proved_as=proved_as, version=staged.version)
        report = replace(report, notes=(*report.notes, note))
    report = _with_worst(report, release, home)
    if pinned is None:
        served = [wording.SERVED_WITH_OTHER_CONFIG.text(version=each) for each in _served_too(release, staged)]
        if staged.version not in model_config.versions_served(release.built.config, [staged.version]):
            served.append(wording.NOT_SERVED_BY_POLICY.text(version=staged.version))
    else:
        served = [wording.PINNED.text(pinned=pinned, repository=release.place, model=staged.model, version=staged.version)]
    again = {"command": release.again, "repository": str(release.place)}
    notes = (*report.notes, *served, *_evidence_notes(release, home))
    pin = {} if pinned is None else {"pinned": pinned}
    report = replace(report, notes=notes, details={**report.details, "again": again, **pin})
    places = evidence.Places(repository=release.place, staged=staged.root.parent, command=release.again)
    evidence.write(
        staged,
        report,
        release.model,
        collector=release.built.tracker.collector,
        located=release.built.located,
        places=places,
        pictures=release.kept.pictures,
    )
    return report


def _evidence_home(release: Release, version_directory: Path) -> Path:
    """Return where the evidence of a version lies after publication."""
    if release.evidence.place != "outside":
        return version_directory / repository.EVIDENCE
    outside = evidence_place.outside(version_directory)
    return outside if release.place.is_absolute() else Path(os.path.relpath(outside))


def _evidence_notes(release: Release, home: Path) -> Iterator[str]:
    """Say what is kept, and where."""
    if release.evidence.place == "none":
        yield wording.EVIDENCE_NONE.text()
        return
    yield from release.kept.notes
    if release.evidence.place == "outside":
        yield wording.EVIDENCE_OUTSIDE.text(where=home)


def _served_too(release: Release, staged: StagedVersion) -> tuple[int, ...]:
    """Return the published versions that the new configuration also serves, and that were not proven with it."""
    config, unlike = repository.sha256(staged.model_directory / repository.CONFIG), []
    present = repository.versions(release.place, staged.model)
    for version in model_config.versions_served(release.built.config, (*present, staged.version)):
        directory = release.place / staged.model / str(version)
        if version != staged.version and (repository.evidence_of(directory) / repository.MANIFEST).is_file():
            with contextlib.suppress(RepositoryError):  # `verify` reports another version that is damaged
                listed = manifest.listed_sha256(repository.read_manifest(directory), repository.CONFIG)
                unlike += [version] if listed != config else []
    return tuple(unlike)


def _with_worst(report: Report, release: Release, home: Path) -> Report:
    """Add to the report which sample has the largest error and, if the evidence keeps it, how to run it again."""
    gate = gates.worst(report.gates)
    samples = release.built.tracker.golden.samples
    if gate is None or gate.sample is None:
        return report
    facts = {"sample": gate.sample, "group": samples.group(gate.sample), "output": gate.output, "stage": gate.stage}
    facts |= {"gate": gate.gate, "value": gate.value, "limit": gate.limit}
    note = f"Largest error: sample {gate.sample} ({samples.group(gate.sample)}), output {gate.output}, {gate.stage.heading}."
    files = [
        f"golden/inputs/{place}"
        for place in map(release.kept.place, kept_samples.worst_first(samples, gate.sample))
        if place is not None
    ]
    if release.kept.place(gate.sample) is not None and not samples.together and release.evidence.place != "none":
        again = " ".join((release.again, *(f"--sample-file {shlex.quote(str(home / file))}" for file in files)))
        facts |= {"files": files, "command": again}
        note += f" Again: {again}"
    return replace(report, notes=(*report.notes, note), details={**report.details, "worst": facts})
