"""Where the evidence of a version lies: in its directory, or in a folder beside the repository, so that the repository stays small.

Triton takes every directory at a repository's root for a model, so evidence outside lies in
`<repository>.evidence/<model>/<version>/`. A manifest lists it under the names that it would have inside the version, and so do all
findings.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tritonize.core import durable_files
from tritonize.repository import beside, file_hashes

EVIDENCE = "evidence"
Place = Literal["inside", "outside", "none"]


def outside(version_directory: Path) -> Path:
    """Return the folder beside the repository for the evidence of a version."""
    model = version_directory.parent
    repository = Path(os.path.realpath(model.parent))  # the same folder, whether the repository is named by a link or as `..`
    return repository.parent / f"{repository.name}.evidence" / model.name / version_directory.name


def evidence(version_directory: Path) -> Path:
    """Return the folder with a version's evidence: the one outside if it exists and none is inside."""
    inside = version_directory / EVIDENCE
    if os.path.lexists(inside):
        return inside
    apart = outside(version_directory)
    return apart if apart.is_dir() and not apart.is_symlink() else inside


def exists(version_directory: Path) -> bool:
    """Whether a version has evidence, also if it is damaged."""
    return os.path.lexists(evidence(version_directory))


def place_of(model_directory: Path, name: str) -> Path:
    """Return the path of a file that a manifest lists, such as `1/evidence/report.json`.

    Args:
        name: path inside the model's directory.
    """
    version, _, rest = name.partition("/")
    folder, _, file = rest.partition("/")
    inside = folder == EVIDENCE and file and not beside.is_shared(name)
    return evidence(model_directory / version) / file if inside else model_directory / name


def files_of(version_directory: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield every entry of a version and of its evidence: name inside the version, path, and `file`, `link` or `other`."""
    for path, kind in file_hashes.walk(version_directory):
        yield str(path.relative_to(version_directory)), path, kind
    folder = evidence(version_directory)
    if not folder.is_relative_to(version_directory):
        for path, kind in file_hashes.walk(folder):
            yield f"{EVIDENCE}/{path.relative_to(folder)}", path, kind


def move_out(staged: Path, version_directory: Path) -> Path:
    """Move the evidence of a staged version to its place outside, before the version is published; return that place.

    The place of a number that was published before is never taken: numbers count the evidence outside too.

    Raises:
        OSError: the folder exists or cannot be written.
    """
    target = outside(version_directory)
    durable_files.make_directory(target.parent)
    (staged / EVIDENCE).rename(target)
    durable_files.sync(target.parent)
    return target


def move_back(staged: Path, version_directory: Path) -> None:
    """Undo `move_out`, for a version that could not be published."""
    target = outside(version_directory)
    target.rename(staged / EVIDENCE)
    _remove_empty(target.parent)


def remove(version_directory: Path) -> None:
    """Remove the evidence outside of a version that is gone. An error is ignored: the next prune removes it."""
    target = outside(version_directory)
    shutil.rmtree(target, ignore_errors=True)
    _remove_empty(target.parent)


def _remove_empty(folder: Path) -> None:
    """Remove the folder of a model, and the one of the repository, if they are empty."""
    for each in (folder, folder.parent):
        try:
            each.rmdir()
        except OSError:
            return


def numbers(model_directory: Path) -> tuple[int, ...]:
    """Return the numbers of the evidence outside, also of versions that do not exist."""
    folder = outside(model_directory / "0").parent
    return tuple(int(each.name) for each in folder.iterdir() if each.name.isdecimal()) if folder.is_dir() else ()
