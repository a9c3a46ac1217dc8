"""Errors about a repository, model, version or evidence that is not there; they name what is, and the command that shows it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from tritonize.core import names, near_files, suggestions
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import repository as wording
from tritonize.core.messages import server as server_wording
from tritonize.core.messages import usage


def no_repository(path: Path) -> UsageError:
    """The error for a repository that does not exist; it names folders that may be meant."""
    instead = near_files.missing(path, folder=True)
    where = shlex.quote(str(path))
    return UsageError.of(server_wording.NO_REPOSITORY, where=str(path), found=instead.found, meant=instead.meant, repository=where)


def no_version(directory: Path, present: Sequence[int], wanted: int | None) -> UsageError:
    """The error for a version that a model does not have.

    Args:
        directory: the model's directory in its repository.
        present: the versions of the model.
        wanted: the version; `None` for the newest of a model without versions.
    """
    return UsageError.of(
        wording.NO_VERSION,
        where=str(directory),
        expected=", ".join(map(str, present)) or "at least one version",
        found="no version" if wanted is None else str(wanted),
        model=directory.name,
        repository=shlex.quote(str(directory.parent)),
    )


def no_model(absent: Sequence[str], known: Sequence[str], *, where: str) -> UsageError:
    """The error for models that a repository does not have.

    Args:
        absent: the names that were given.
        known: the models of the repository.
        where: the repository, a path or an address without credentials.
    """
    return UsageError.of(
        wording.NO_MODEL,
        where=where,
        expected=names.listed(known, absent[0]) or "no models",
        found=", ".join(absent),
        meant=suggestions.meant(absent[0], known),
        repository=shlex.quote(where),
    )


def same_version(directory: Path, present: Sequence[int], version: int) -> UsageError:
    """The error for a comparison of a version with itself; the arguments are those of `no_version`."""
    other = max((each for each in present if each != version), default=version)
    return UsageError.of(
        usage.DIFF_SAME_VERSION,
        found=f"{version} and {version}",
        expected=f"two of {', '.join(map(str, present))}",
        repository=shlex.quote(str(directory.parent)),
        model=directory.name,
        before=min(other, version),
        after=max(other, version),
    )


def no_evidence(version_directory: Path) -> RepositoryError:
    """The error for a version without a manifest."""
    model = version_directory.parent
    return RepositoryError.of(
        wording.NO_EVIDENCE, where=str(version_directory), repository=shlex.quote(str(model.parent)), model=model.name
    )
