"""`tritonize report REPOSITORY`: error and latency of all versions of a repository, from their manifests alone."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any  # Any: JSON data of a manifest, which is read by key
from urllib.parse import quote

from tritonize import repository
from tritonize.core.errors import RepositoryError, TritonizeError
from tritonize.core.stages import StageName
from tritonize.report.html.index_page import MAX_VERSIONS, ModelHistory, VersionPoint
from tritonize.triton import model_config

PAGE = "report.html"
_NOT_READABLE = (TypeError, ValueError, KeyError, AttributeError, OverflowError)
"""Errors of a manifest whose fields have other types than those that tritonize writes."""


def of(place: Path, *, start: Path) -> Iterator[ModelHistory]:
    """Yield each model of a repository with its versions, one at a time.

    Args:
        place: the model repository.
        start: the folder that the addresses of the reports are relative to.

    Raises:
        UsageError: the repository does not exist or has no models.
    """
    for model in repository.models(place):
        numbers = repository.versions(place, model)
        older = tuple(VersionPoint(version=each, verdict="") for each in numbers[:-MAX_VERSIONS])  # counted, not read
        newest = tuple(_version(place / model / str(each), each, start=start) for each in numbers[-MAX_VERSIONS:])
        pinned = repository.pinned(place / model) is not None
        yield ModelHistory(model=model, versions=(*older, *newest), served=_served(place, model, numbers), pinned=pinned)


def _served(place: Path, model: str, present: Sequence[int]) -> tuple[int, ...]:
    """Return the versions that the configuration in place serves; none if it cannot be read or Triton completes it."""
    try:
        config = model_config.parse(repository.read_config(place, model), where=model)
    except TritonizeError:
        return ()
    return tuple(model_config.versions_served(config, present))


def _version(directory: Path, version: int, *, start: Path) -> VersionPoint:
    page = repository.evidence_of(directory) / PAGE
    point = VersionPoint(version=version, verdict="no evidence", page=_address(page, start) if page.is_file() else "")
    if not repository.has_evidence(directory):
        return point
    try:
        known: Any = repository.read_manifest(directory)
    except RepositoryError:
        return replace(point, verdict="damaged")
    point = replace(point, verdict=str(known.get("verdict") or "no evidence"), created=str(known.get("created") or ""))
    try:
        return _measured(point, known)
    except _NOT_READABLE:  # the error and the latency of a manifest of another tool are left out
        return point


def _address(page: Path, start: Path) -> str:
    """Return the relative address of a page: it stays right where repository and index are moved or copied together."""
    return quote(os.path.relpath(page.resolve(), start.resolve()))


def _measured(point: VersionPoint, manifest: Any) -> VersionPoint:
    errors = [(_share(row), float(row["max_abs"]), float(row["atol"])) for row in manifest.get("verification") or ()]
    share, error, atol = max(errors, default=(None, None, None))
    latency = _latency(manifest.get("latency") or ())
    return replace(
        point,
        share=share,
        error=error,
        atol=atol,
        latency_ms=float(latency["median_ms"]) if latency else None,
        latency_of=_request(latency) if latency else "",
    )


def _share(row: Any) -> float:
    """Return the largest error of an output at one stage as a part of its absolute tolerance; at most 1 if it passed."""
    error, atol = float(row["max_abs"]), float(row["atol"])
    share = error / atol if atol else (1.0 if error else 0.0)
    if not math.isfinite(share):
        raise ValueError
    return share if row["failed"] else min(1.0, share)


def _latency(rows: Sequence[Any]) -> Any:
    """Return the times of the smallest batch over the transport that is nearest to the client, without concurrency."""
    alone = [row for row in rows if row["stage"] != StageName.CONCURRENT.key]
    return min(alone, key=lambda row: (row["batch_size"], -StageName(row["stage"]).order), default=None)


def _request(latency: Any) -> str:
    size = int(latency["batch_size"])
    return f"{StageName(latency['stage']).heading.removeprefix('Triton, ')}, {f'batch {size}' if size else 'no batch'}"
