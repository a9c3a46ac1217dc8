"""Read a model repository: its models, their versions, and the configurations that the versions were verified with."""

from __future__ import annotations

import shlex
from pathlib import Path

from tritonize.core import bounded_files, suggestions
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import repository as wording
from tritonize.repository import absent, evidence_place, file_hashes, manifest, unconfigured
from tritonize.repository.manifest import CONFIG, EVIDENCE, MANIFEST


def versions(repository: Path, model: str) -> tuple[int, ...]:
    """Return the published versions of a model in ascending order; empty if the model does not exist."""
    directory = repository / model
    if not directory.is_dir():
        return ()
    return tuple(sorted(int(entry.name) for entry in directory.iterdir() if manifest.is_version(entry)))


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
        raise absent.no_repository(repository)
    configured = {entry.parent.name for entry in repository.glob(f"*/{CONFIG}")}
    proven = {entry.parents[2].name for entry in repository.glob(f"*/*/{EVIDENCE}/{MANIFEST}")}  # its configuration may be missing
    apart = evidence_place.outside(repository / "-" / "-").parents[1]
    proven |= {entry.parents[1].name for entry in apart.glob(f"*/*/{MANIFEST}")} & {entry.name for entry in repository.iterdir()}
    completed = {entry.name for entry in repository.iterdir() if entry.is_dir() and unconfigured.completed(entry)}
    found = tuple(sorted(configured | proven | completed))
    if not found:
        inside = (repository / CONFIG).is_file() or any(manifest.is_version(entry) for entry in repository.iterdir())
        meant = suggestions.Meant(written=str(repository), near=(str(repository.parent),)) if inside else None
        where, expected = str(repository), f"<model>/{CONFIG}"
        if any(not entry.name.startswith(".") for entry in repository.iterdir()):  # nothing advises to publish among other files
            raise UsageError.of(wording.NOT_A_REPOSITORY, where=where, expected=expected, meant=meant)
        raise UsageError.of(wording.NO_MODELS, where=where, expected=expected, repository=shlex.quote(where))
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
        raise absent.no_model([model], known, where=str(repository))
    present = versions(repository, model)
    wanted = version if version is not None else max(present, default=None)
    if wanted is None or wanted not in present:
        raise absent.no_version(repository / model, present, wanted)
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
