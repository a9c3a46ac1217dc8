"""Read a model repository: its models, their versions, and the configurations that the versions were verified with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from tritonize.core import bounded_files, names, near_files, suggestions
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import repository as wording
from tritonize.core.messages import server as server_wording
from tritonize.repository import evidence_place, file_hashes, manifest, unconfigured
from tritonize.repository.manifest import CONFIG, EVIDENCE, MANIFEST


def versions(repository: Path, model: str) -> tuple[int, ...]:
    """Return the published versions of a model in ascending order; empty if the model does not exist."""
    directory = repository / model
    if not directory.is_dir():
        return ()
    return tuple(sorted(int(entry.name) for entry in directory.iterdir() if manifest.is_version(entry)))


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
        wanted: the version; `None` if the newest is wanted and there is none.
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


def next_version(repository: Path, model: str) -> int:
    """Return the next free number: one above every entry with a numeric name, whether or not it is a version, and all evidence."""
    directory = repository / model
    taken = [int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal()] if directory.is_dir() else []
    return max((*taken, *evidence_place.numbers(directory)), default=0) + 1


def models(repository: Path) -> tuple[str, ...]:
    """Return the models of a repository: directories with a configuration, one that Triton completes, or a version's manifest.

    Raises:
        UsageError: the repository does not exist or has no models.
    """
    if not repository.is_dir():
        raise no_repository(repository)
    configured = {entry.parent.name for entry in repository.glob(f"*/{CONFIG}")}
    proven = {entry.parents[2].name for entry in repository.glob(f"*/*/{EVIDENCE}/{MANIFEST}")}  # its configuration may be missing
    apart = evidence_place.outside(repository / "-" / "-").parents[1]
    proven |= {entry.parents[1].name for entry in apart.glob(f"*/*/{MANIFEST}")} & {entry.name for entry in repository.iterdir()}
    completed = {entry.name for entry in repository.iterdir() if entry.is_dir() and unconfigured.completed(entry)}
    found = tuple(sorted(configured | proven | completed))
    if not found:
        inside = (repository / CONFIG).is_file() or any(manifest.is_version(entry) for entry in repository.iterdir())
        meant = suggestions.Meant(written=str(repository), near=(str(repository.parent),)) if inside else None
        raise UsageError.of(wording.NO_MODELS, where=str(repository), expected=f"<model>/{CONFIG}", meant=meant)
    return found


def choose(repository: Path, model: str, version: int | None) -> int:
    """Return a published version of a model.

    Args:
        repository: the model repository.
        model: the model's name.
        version: the version's number; `None` for the newest version.

    Raises:
        UsageError: the repository, the model or the version does not exist.
    """
    known = models(repository)
    if model not in known:
        raise no_model([model], known, where=str(repository))
    present = versions(repository, model)
    wanted = version if version is not None else max(present, default=None)
    if wanted is None or wanted not in present:
        raise no_version(repository / model, present, wanted)
    return wanted


def proven_config(repository: Path, model: str, version: int, *, name: str = CONFIG) -> str | None:
    """Return the text of a configuration that a version was verified with; `None` if it was replaced and no copy was kept.

    Args:
        repository: the model repository.
        model: the model's name.
        version: the version's number.
        name: the usual configuration, or a named variant such as `configs/small.pbtxt`.

    Raises:
        RepositoryError: the version's manifest is missing or damaged.
    """
    directory = repository / model / str(version)
    wanted = manifest.listed_sha256(manifest.read(directory), name)
    for path in (evidence_place.evidence(directory) / name, repository / model / name):
        if wanted and file_hashes.hash_in_place("", path, bounded_files.LIMIT) == wanted:
            return _text(path)
    return None


def read_config(repository: Path, model: str, *, name: str = CONFIG) -> str:
    """Return the text of a model's configuration, or of a named variant; nothing for a model that Triton completes one for.

    Raises:
        RepositoryError: the configuration cannot be read.
    """
    if name == CONFIG and unconfigured.completed(repository / model):
        return ""
    return _text(repository / model / name)


def _text(path: Path) -> str:
    try:
        return bounded_files.text(path)
    except (OSError, ValueError) as error:
        raise RepositoryError.of(wording.CONFIG_UNREADABLE, where=str(path), found=str(error)) from error
