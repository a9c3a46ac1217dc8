"""`tritonize tolerance`: the smallest tolerance of each output, from a new comparison or from the report of a version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from tritonize import repository
from tritonize.core import bounded_files
from tritonize.core.artifacts import from_json
from tritonize.core.errors import RepositoryError, UnprovenError
from tritonize.core.messages import files as files_wording
from tritonize.core.messages import tolerance as wording
from tritonize.core.reports import Report
from tritonize.spec import schema
from tritonize.workflows import checked_copy
from tritonize.workflows import run as run_workflow
from tritonize.workflows.job import Options


def measured(specification: schema.Spec, *, models: Sequence[str] = (), options: Options | None = None) -> tuple[Report, ...]:
    """Export every model and compare its ONNX file with PyTorch; no server is started and no file is kept.

    Raises:
        UnprovenError: a model was not compared: its outputs are compared on a server alone.
        TritonizeError: as for `build`.
    """
    reports = run_workflow.build(specification, models=models, options=replace(options or Options(), measure=True))
    for report in reports:
        if not report.tolerances and not report.details.get("error"):
            raise UnprovenError.of(wording.NOTHING_COMPARED, model=report.model)
    return reports


def is_model(place: Path) -> bool:
    """Whether a path is a model's directory in a repository."""
    return (place / repository.CONFIG).is_file() or bool(repository.versions(place.absolute().parent, place.absolute().name))


def directory(place: Path, model: str, version: int | None) -> Path:
    """The directory of a version of a model: the given one, else the newest that the repository serves, else the newest.

    Raises:
        UsageError: the repository, the model or the version does not exist.
    """
    if version is None and model in repository.models(place):
        version = repository.pinned(place / model) or max(checked_copy.served_versions(place, model), default=None)
    return place / model / str(repository.choose(place, model, version))


def stored(version_directory: Path) -> Report:
    """Read the report of a version, published or staged. Its `location` is the version's directory.

    Raises:
        RepositoryError: the version has no report, a damaged one, or one of an earlier release.
    """
    path = repository.evidence_of(version_directory) / "report.json"
    try:
        report = from_json(Report, bounded_files.json_of(path))
    except (OSError, ValueError, ValidationError) as error:
        raise RepositoryError.of(files_wording.REPORT_UNREADABLE, where=str(path), found=str(error)[:500]) from error
    if not report.tolerances:
        raise RepositoryError.of(wording.NO_ADVICE, where=str(path), model=report.model, version=report.version)
    return replace(report, location=version_directory)
