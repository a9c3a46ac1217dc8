"""`tritonize prune`: remove old versions that the version policy does not serve."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tritonize import repository
from tritonize.core import bounded_files
from tritonize.core.errors import RepositoryError, TritonizeError, UsageError
from tritonize.core.messages import repository as wording
from tritonize.provenance import signatures
from tritonize.repository import evidence_place
from tritonize.triton import model_config
from tritonize.workflows import checked_copy


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to keep."""

    repository: Path
    keep: int
    """Number of the newest versions of each model that stay; at least 1."""
    models: Sequence[str] = ()
    """Model names; empty means all models."""
    dry_run: bool = False
    """Remove nothing."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """The versions of one model that were removed, or would be."""

    model: str
    removed: tuple[int, ...]
    kept: tuple[int, ...]
    served: tuple[int, ...]
    """Those of `kept` that the version policy serves."""
    foreign: tuple[int, ...]
    """Those of `kept` that would go by their number, and have no evidence: tritonize did not publish them."""
    bytes: int
    """Size of the removed versions."""
    error: TritonizeError | None = None
    """Why nothing of this model was removed."""


def prune(request: Request, *, done: Callable[[Removal], None] = lambda _removal: None) -> tuple[Removal, ...]:
    """Remove versions of each model in one step per model. A model that fails does not keep the others from being pruned.

    Args:
        done: called with every model after its step, before an interrupt can be handled.

    Raises:
        UsageError: the repository or a model does not exist.
    """
    present = repository.models(request.repository)
    absent = [name for name in request.models if name not in present]
    if absent:
        raise repository.no_model(absent, present, where=str(request.repository))
    if request.dry_run:
        return tuple(_tried(request, name, _planned) for name in request.models or present)
    with repository.staging(request.repository):
        return tuple(_tried(request, name, partial(_remove, done=done)) for name in request.models or present)


def _tried(request: Request, model: str, work: Callable[[Request, str], Removal]) -> Removal:
    try:
        return work(request, model)
    except TritonizeError as error:
        return Removal(model=model, removed=(), kept=(), served=(), foreign=(), bytes=0, error=error)


def _remove(request: Request, model: str, *, done: Callable[[Removal], None]) -> Removal:
    planned: list[Removal] = []

    def decide() -> tuple[int, ...]:
        planned.append(_planned(request, model))
        return planned[-1].removed

    repository.remove_versions(request.repository, model, decide, done=lambda _gone: done(planned[-1]))
    for version in planned[-1].removed:
        with contextlib.suppress(OSError):  # the versions are removed, and a signature without its version vouches for nothing
            signatures.path_of(request.repository, model, version).unlink(missing_ok=True)
    return planned[-1]


def _planned(request: Request, model: str) -> Removal:
    """Choose the versions of a model to remove.

    Raises:
        RepositoryError: a configuration cannot be read, so that the served versions are unknown.
    """
    directory = request.repository / model
    present = repository.versions(request.repository, model)
    served = served_by_any(request.repository, model)
    old = [version for version in present[: -request.keep] if version not in served]
    foreign = [version for version in old if not checked_copy.is_proven(directory, version)]
    removed = tuple(version for version in old if version not in foreign)
    return Removal(
        model=model,
        removed=removed,
        kept=tuple(version for version in present if version not in removed),
        served=served,
        foreign=tuple(foreign),
        bytes=sum(_bytes(directory / str(version)) for version in removed),
    )


def served_by_any(place: Path, model: str) -> tuple[int, ...]:
    """Return the versions that Triton serves by the model's configuration, or by one of its named variants (`configs/*.pbtxt`).

    Raises:
        RepositoryError: a configuration cannot be read.
    """
    directory = place / model
    present = repository.versions(place, model)
    served: set[int] = set()
    completed = repository.completed_by_triton(directory)
    if completed:
        served.update(model_config.versions_served({}, present))
    for path in (*(() if completed else (directory / repository.CONFIG,)), *sorted(directory.glob("configs/*.pbtxt"))):
        try:
            config = model_config.parse(bounded_files.text(path), where=str(path))
        except UsageError as error:
            raise RepositoryError.of(wording.SERVED_UNKNOWN, where=str(path), found=error.found or error.what) from error
        except (OSError, ValueError) as error:
            raise RepositoryError.of(wording.SERVED_UNKNOWN, where=str(path), found=str(error)) from error
        served.update(model_config.versions_served(config, present))
    return tuple(sorted(served))


def _bytes(directory: Path) -> int:
    return sum(os.lstat(path).st_size for _, path, kind in evidence_place.files_of(directory) if kind == "file")
