"""What is in a model repository: its models, their versions, and the configurations they were proven with."""

from __future__ import annotations

from pathlib import Path

from tritonize.core import bounded_files
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import repository as wording
from tritonize.repository import file_hashes, manifest
from tritonize.repository.manifest import CONFIG, EVIDENCE, MANIFEST


def versions(repository: Path, model: str) -> tuple[int, ...]:
    """The versions of a model that are in place, in order."""
    directory = repository / model
    if not directory.is_dir():
        return ()
    return tuple(sorted(int(entry.name) for entry in directory.iterdir() if manifest.is_version(entry)))


def next_version(repository: Path, model: str) -> int:
    """The number behind all that are taken, also by what is no version."""
    directory = repository / model
    taken = [int(entry.name) for entry in directory.iterdir() if entry.name.isdecimal()] if directory.is_dir() else []
    return max(taken, default=0) + 1


def models(repository: Path) -> tuple[str, ...]:
    """The models of a repository: its directories that hold a configuration.

    Raises:
        UsageError: there is no such directory, or nothing in it.
    """
    if not repository.is_dir():
        raise UsageError("There is no such model repository.", where=str(repository))
    configured = {entry.parent.name for entry in repository.glob(f"*/{CONFIG}")}
    proven = {entry.parents[2].name for entry in repository.glob(f"*/*/{EVIDENCE}/{MANIFEST}")}  # its configuration may be gone
    found = tuple(sorted(configured | proven))
    if not found:
        raise UsageError("There is no model in the repository.", where=str(repository), expected=f"<model>/{CONFIG}")
    return found


def choose(repository: Path, model: str, version: int | None) -> int:
    """A version of a model that is in place; the newest where none is named.

    Raises:
        UsageError: there is no such model or version.
    """
    known = models(repository)
    if model not in known:
        raise UsageError("The repository has no such model.", found=model, expected=", ".join(known))
    present = versions(repository, model)
    wanted = version if version is not None else max(present, default=None)
    if wanted is None or wanted not in present:
        raise UsageError.of(
            wording.NO_VERSION,
            where=str(repository / model),
            expected=", ".join(str(each) for each in present) or "at least one version",
            found=str(wanted),
            model=model,
        )
    return wanted


def proven_config(repository: Path, model: str, version: int) -> str | None:
    """The text of the configuration that a version was proven with; `None` where it was replaced and not kept.

    Raises:
        RepositoryError: the version carries no evidence.
    """
    directory = repository / model / str(version)
    wanted = manifest.listed_sha256(manifest.read(directory), CONFIG)
    for path in (directory / EVIDENCE / CONFIG, repository / model / CONFIG):
        if wanted and file_hashes.hash_in_place("", path, bounded_files.LIMIT) == wanted:
            return _text(path)
    return None


def read_config(repository: Path, model: str) -> str:
    """The text of a model's configuration.

    Raises:
        RepositoryError: it cannot be read.
    """
    return _text(repository / model / CONFIG)


def _text(path: Path) -> str:
    try:
        return bounded_files.text(path)
    except (OSError, ValueError) as error:
        raise RepositoryError("The model's configuration cannot be read.", where=str(path), found=str(error)) from error
