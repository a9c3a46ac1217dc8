"""Change what a repository serves, or remove versions from it: each model in one step, with the lock and journal of publishing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tritonize.core import durable_files
from tritonize.core.errors import RepositoryError, storage_errors
from tritonize.core.messages import repository as wording
from tritonize.repository import evidence_place, journal, versions


def replace_configs(
    repository: Path, model: str, decide: Callable[[], Mapping[str, str]], *, done: Callable[[], None] = lambda: None
) -> bool:
    """Replace a model's configuration and its named variants in one step, and nothing else.

    Args:
        repository: the model repository.
        model: the model's name.
        decide: returns name in the model's directory to the new text; called while no other process can change the model.
        done: called after the replacement, before an interrupt can be handled.

    Returns:
        Whether a text differs from the one in place; otherwise nothing is written.

    Raises:
        RepositoryError: the operating system refuses a step; the model is unchanged.
    """
    with _changing(repository, model) as directory:
        texts = {name: text.encode() for name, text in decide().items()}
        new = {name: text for name, text in texts.items() if not _is(directory / name, text)}
        if not new:
            done()
            return False
        journal.change(directory.parent, model, lambda folder: _write(folder, new), done=done)
        return True


def _is(path: Path, text: bytes) -> bool:
    return path.is_file() and path.read_bytes() == text


def _write(folder: Path, texts: Mapping[str, bytes]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        durable_files.write(folder / name, text)


def remove_versions(
    repository: Path, model: str, decide: Callable[[], Sequence[int]], *, done: Callable[[Sequence[int]], None] = lambda _gone: None
) -> tuple[int, ...]:
    """Remove versions of a model in one step: a reader sees all of them or none. Evidence without a version is removed too.

    Args:
        repository: the model repository.
        model: the model's name.
        decide: returns the versions to remove; called while no other process can change the model.
        done: called with the removed versions after the step, before an interrupt can be handled.

    Returns:
        The removed versions.

    Raises:
        RepositoryError: the operating system refuses a step; the model is unchanged.
    """
    with _changing(repository, model) as directory:
        gone = tuple(decide())
        if gone:
            journal.change(directory.parent, model, lambda folder: _remove(folder, gone), done=lambda: done(gone))
        present = versions.versions(directory.parent, model)
        for version in evidence_place.numbers(directory):
            if version not in present:  # removed now, or left behind by a run that was killed
                evidence_place.remove(directory / str(version))
        return gone


def _remove(folder: Path, gone: Sequence[int]) -> None:
    """Remove versions from a copy of the model's directory, which consists of hard links."""
    for version in gone:
        shutil.rmtree(folder / str(version))


@contextlib.contextmanager
def _changing(repository: Path, model: str) -> Iterator[Path]:
    """Hold the model's lock, and yield its directory; raise what the operating system refuses as a RepositoryError."""
    repository = repository.absolute()
    directory = repository / model
    journal.require_own_directory(directory)
    try:
        with storage_errors(directory), journal.held(repository, model):
            yield directory
    except OSError as error:
        where = str(error.filename2 or error.filename or directory)
        raise RepositoryError.of(wording.NOT_CHANGED, where=where, found=error.strerror or str(error)) from error
