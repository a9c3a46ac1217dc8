"""The files of an adopted version: copied and hashed before they are served, and the evidence of them, outside the repository."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize import repository
from tritonize.core import durable_files
from tritonize.core.artifacts import StagedVersion
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import adoption as wording
from tritonize.core.reports import Report
from tritonize.quality import gates
from tritonize.repository import beside, evidence_place, file_hashes
from tritonize.repository.private_copy import PrivateCopy
from tritonize.spec import schema
from tritonize.workflows import evidence, kept_samples
from tritonize.workflows.evidence import Places
from tritonize.workflows.stage_version import Built


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A private copy of the files that Triton reads of one version."""

    staged: StagedVersion
    hashes: dict[str, str]
    """Path inside the model's directory to SHA-256."""


def copy(place: Path, model: str, version: int, *, root: Path) -> Copied:
    """Copy configuration, files beside it and the version into a private repository, and hash what was copied.

    Args:
        place: the model repository.
        root: an empty folder, the private repository.

    Raises:
        UsageError: evidence cannot cover one of the entries, or a file cannot be read.
    """
    directory = place / model
    copied = PrivateCopy(directory=root / model)
    copied.directory.mkdir(parents=True)
    hashes: dict[str, str] = {}
    for name, path in _entries(directory, version):
        digest = copied.take(name, path, path.lstat().st_size)
        if digest is None:
            raise UsageError.of(wording.FILE_NOT_READ, file=f"{model}/{name}")
        hashes[name] = digest
    return Copied(staged=StagedVersion(root=root, model=model, version=version), hashes=hashes)


def _entries(directory: Path, version: int) -> Iterator[tuple[str, Path]]:
    """Yield every file that evidence covers: name inside the model's directory, and path.

    Raises:
        UsageError: there are other entries, which a later `verify` would report.
    """
    for name, path, kind in beside.walk(directory):
        if kind != "file":
            raise UsageError.of(wording.NO_PLAIN_FILE, file=f"{directory.name}/{name}")
        yield name, path
    for path, kind in file_hashes.walk(directory / str(version)):
        name = str(path.relative_to(directory))
        if kind != "file":
            raise UsageError.of(wording.NO_PLAIN_FILE, file=f"{directory.name}/{name}")
        yield name, path


def write_evidence(
    place: Path, built: Built, report: Report, *, model: schema.Model, wanted: schema.Evidence, command: str
) -> Report:
    """Write the evidence beside the repository, and compare it with the files there once more.

    Returns:
        The report, as it is in the evidence.

    Raises:
        RepositoryError: a file changed since it was copied, or another command wrote evidence of this version; nothing is left.
    """
    staged = built.staged
    home = place / staged.model / str(staged.version)
    outside = evidence_place.outside(home)
    gate = gates.worst(report.gates)
    inside = staged.version_directory / repository.EVIDENCE
    kept = kept_samples.write(built.golden, inside / "golden", model, wanted=wanted, worst=gate.sample if gate else None)
    again = {"command": command, "repository": str(place)}
    notes = (*report.notes, *kept.notes)
    report = replace(report, notes=notes, location=outside, details={**report.details, "again": again})
    evidence.write(
        staged,
        report,
        model,
        collector=built.tracker.collector,
        places=Places(repository=place, staged=staged.root.parent, command=command),
        pictures=kept.pictures,
    )
    durable_files.sync_tree(inside)
    if repository.has_evidence(home):
        raise RepositoryError.of(wording.EVIDENCE_THERE, where=str(outside))
    try:
        evidence_place.move_out(staged.version_directory, home)
    except OSError as error:
        raise RepositoryError.of(wording.EVIDENCE_THERE, where=str(outside), found=error.strerror or str(error)) from error
    if findings := repository.integrity(place, staged.model, staged.version):
        shutil.rmtree(outside, ignore_errors=True)
        first = findings[0]
        raise RepositoryError.of(wording.FILES_CHANGED, file=first.where, what=first.what)
    return report
