"""Replace a model's directory in one step, with a lock per model and a journal for recovery after a killed run.

Triton reads a model's configuration and its versions together, so it must never see an old configuration with new versions or the
reverse. The new directory is built in the staging area, from hard links to the files that stay, and then exchanged with the
current one. If the filesystem cannot exchange two directories, the current directory is moved out and the new one is moved in. A
polling server may then find no directory for a moment, but never a mixture; if the run is killed in between, the next run
completes the change from the journal.

`<staging area>/models/<model>/` holds `lock`, `journal.json`, `next/` (the new directory, or the old one after an exchange) and
`previous/` (the old directory, if the two could not be exchanged).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tritonize.core import durable_files, interrupts, locks
from tritonize.core.errors import RepositoryError
from tritonize.core.messages import repository as wording

_LOCK = "lock"
_JOURNAL = "journal.json"
_NEXT = "next"
_PREVIOUS = "previous"


def area(repository: Path) -> Path:
    """Return the staging area of a repository, in its parent folder and so on the same filesystem."""
    real = Path(os.path.realpath(repository))  # one area and one lock for a repository, whether it is named by a link or as `..`
    return real.parent / f".{real.name}.staging"


def require_own_directory(directory: Path) -> None:
    """Refuse a model's directory that is a link or a file: it cannot be changed in one step.

    Raises:
        RepositoryError: it states where the link leads.
    """
    if directory.is_symlink():
        raise RepositoryError.of(wording.MODEL_IS_LINK, where=str(directory), found=str(directory.readlink()))
    if directory.exists() and not directory.is_dir():
        raise RepositoryError.of(wording.MODEL_IS_FILE, where=str(directory))


@contextlib.contextmanager
def held(repository: Path, model: str) -> Iterator[None]:
    """Hold the lock of a model, which one process at a time may change; first complete a change that was interrupted.

    Args:
        repository: an absolute path.
        model: the model's name.

    Raises:
        OSError: the lock cannot be taken, or the interrupted change cannot be completed.
    """
    place = _place(repository, model)
    descriptor = locks.acquire(place / _LOCK)
    try:
        recover(repository, model)
        yield
    finally:
        _leave(place, descriptor)


def recover_all(repository: Path) -> None:
    """Complete every interrupted change in a repository; models that another process is changing are skipped."""
    models = area(repository) / "models"
    for place in sorted(models.iterdir()) if models.is_dir() else ():
        descriptor = locks.acquire(place / _LOCK, wait=False)
        if descriptor is not None:
            try:
                recover(repository, place.name)
            finally:
                _leave(place, descriptor)


def change(repository: Path, model: str, lay_out: Callable[[Path], None], *, done: Callable[[], None] = lambda: None) -> None:
    """Replace a model's directory with a changed copy in one step. The caller must hold the model's lock.

    Args:
        repository: an absolute path.
        model: the model's name.
        lay_out: receives a copy of the model's directory that consists of hard links, and adds, removes or replaces entries. It
            must not write into existing files, and must sync the files that it adds.
        done: called after the replacement, before an interrupt can be handled.

    Raises:
        OSError: the directory could not be replaced and is unchanged.
    """
    place, current = _place(repository, model), repository / model
    new = place / _NEXT
    try:
        durable_files.link_tree(current, new)
        lay_out(new)
        durable_files.make_newer(new, current)
        durable_files.sync_directories(new)
        note = {"schema": 1, "model": model, "next": _identity(new)}
        durable_files.write(place / _JOURNAL, json.dumps(note).encode())
        with interrupts.deferred():
            _switch(place, current)
            done()
    finally:
        with contextlib.suppress(OSError):  # leftovers disturb no other run, and the next run removes them
            recover(repository, model)


def _switch(place: Path, current: Path) -> None:
    """Put the new directory in place of the model's; after an error the model's directory is unchanged."""
    new, previous = place / _NEXT, place / _PREVIOUS
    exchanged = durable_files.exchange(new, current)
    if not exchanged:
        current.rename(previous)
        try:
            new.rename(current)
        except OSError:
            previous.rename(current)
            raise
    with undone_on_error(lambda: _switch_back(place, current, exchanged=exchanged)):
        durable_files.sync(current.parent)
        durable_files.sync(place)


def _switch_back(place: Path, current: Path, *, exchanged: bool) -> None:
    if exchanged:
        durable_files.exchange(place / _NEXT, current)
    else:
        current.rename(place / _NEXT)
        (place / _PREVIOUS).rename(current)


@contextlib.contextmanager
def undone_on_error(undo: Callable[[], None]) -> Iterator[None]:
    """Undo a visible change if the block, which syncs the change to the disk, raises an OSError; then raise the error.

    If undoing also fails, the change stays and no error is raised, since the new version is live.
    """
    try:
        yield
    except OSError:
        try:
            undo()
        except OSError:
            return
        raise


def recover(repository: Path, model: str) -> None:
    """Complete or undo an interrupted change, and remove its leftovers. The caller must hold the model's lock.

    Raises:
        OSError: the model's directory was moved out and cannot be moved back; the next run tries again.
    """
    place, current = _place(repository, model), repository / model
    new, previous = place / _NEXT, place / _PREVIOUS
    if previous.is_dir() and not current.exists():  # killed after the old directory was moved out, before the new one was moved in
        complete = new.is_dir() and _noted(place) == _identity(new)
        (new if complete else previous).rename(current)
        durable_files.sync(repository)
    for note in (place / _JOURNAL, durable_files.unfinished(place / _JOURNAL)):
        note.unlink(missing_ok=True)
    for leftover in (new, previous):
        shutil.rmtree(leftover, ignore_errors=True)


def _place(repository: Path, model: str) -> Path:
    return area(repository) / "models" / model


def _leave(place: Path, descriptor: int | None) -> None:
    """Release the lock, and remove its folder if nothing else is in it."""
    with contextlib.suppress(OSError):
        if [entry.name for entry in place.iterdir()] == [_LOCK]:
            (place / _LOCK).unlink()
            place.rmdir()
            place.parent.rmdir()
    if descriptor is not None:
        os.close(descriptor)


def _identity(directory: Path) -> list[int]:
    status = directory.stat()
    return [status.st_dev, status.st_ino]


def _noted(place: Path) -> list[int] | None:
    """Return the identity of the new directory from the journal; `None` if there is no complete journal."""
    try:
        note = json.loads((place / _JOURNAL).read_bytes())
        return list(note["next"]) if note["schema"] == 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
