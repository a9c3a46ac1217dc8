"""A model's directory changed as a whole: a lock per model, and a journal by which the next run completes what was killed.

Triton reads a configuration and the versions beside it, so the two must never be seen in a mixture. The directory that shall
be is laid out beside the repository, of hard links to what stays, and takes the other's place in one step. Where the
filesystem cannot exchange two directories, the model is taken out and the new one put in: a polling server may then miss it
for a moment, which the journal bounds, but sees no mixture either.

`<staging area>/models/<model>/` holds `lock`, `journal.json`, `next/` (what shall be, or was, after an exchange) and
`previous/` (what was taken out).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tritonize.core import durable_files, interrupts, locks

_LOCK = "lock"
_JOURNAL = "journal.json"
_NEXT = "next"
_PREVIOUS = "previous"


def area(repository: Path) -> Path:
    """Where runs for a repository are staged and changes of it are laid out: beside it, on the same filesystem."""
    return repository.parent / f".{repository.name}.staging"


@contextlib.contextmanager
def held(repository: Path, model: str) -> Iterator[None]:
    """The right to change a model, for one process at a time; what an earlier one left half-done is completed first.

    Args:
        repository: an absolute path.
    """
    place = _place(repository, model)
    descriptor = locks.acquire(place / _LOCK)
    try:
        recover(repository, model)
        yield
    finally:
        _leave(place, descriptor)


def recover_all(repository: Path) -> None:
    """Complete every change of a repository that was killed; one that is being made now is left alone."""
    models = area(repository) / "models"
    for place in sorted(models.iterdir()) if models.is_dir() else ():
        descriptor = locks.acquire(place / _LOCK, wait=False)
        if descriptor is not None:
            try:
                recover(repository, place.name)
            finally:
                _leave(place, descriptor)


def change(repository: Path, model: str, lay_out: Callable[[Path], None], *, done: Callable[[], None] = lambda: None) -> None:
    """Put another state of a model's directory in place of the present one, all of it in one step. The lock must be held.

    Args:
        lay_out: given a directory like the model's, its files being the same ones; makes of it what shall be, by adding, removing
            and replacing entries. It must not write into a file that is there; what it adds is on the disk already.
        done: called when it is in place, before an interrupt can arrive.

    Raises:
        OSError: nothing was changed.
    """
    place, current = _place(repository, model), repository / model
    shall_be = place / _NEXT
    try:
        durable_files.link_tree(current, shall_be)
        lay_out(shall_be)
        durable_files.make_newer(shall_be, current)
        durable_files.sync_directories(shall_be)
        note = {"schema": 1, "model": model, "next": _identity(shall_be)}
        durable_files.write(place / _JOURNAL, json.dumps(note).encode())
        with interrupts.deferred():
            _switch(place, current)
            done()
    finally:
        with contextlib.suppress(OSError):  # what is left is in nobody's way, and the next run clears it
            recover(repository, model)


def _switch(place: Path, current: Path) -> None:
    """What was laid out takes the place of the model's directory, or nothing is changed and the error is raised."""
    shall_be, previous = place / _NEXT, place / _PREVIOUS
    exchanged = durable_files.exchange(shall_be, current)
    if not exchanged:
        current.rename(previous)
        try:
            shall_be.rename(current)
        except OSError:
            previous.rename(current)
            raise
    with settled(lambda: _switch_back(place, current, exchanged=exchanged)):
        durable_files.sync(current.parent)
        durable_files.sync(place)


def _switch_back(place: Path, current: Path, *, exchanged: bool) -> None:
    if exchanged:
        durable_files.exchange(place / _NEXT, current)
    else:
        current.rename(place / _NEXT)
        (place / _PREVIOUS).rename(current)


@contextlib.contextmanager
def settled(undo: Callable[[], None]) -> Iterator[None]:
    """For what confirms a change that is visible already: where it fails the change is undone, and the error raised.

    Where it cannot be undone either, it stands, and is no failure: the version that is live must not be called refused.
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
    """Complete or clear away what a change left. The lock must be held.

    Raises:
        OSError: the model is out of the repository and cannot be put back; the next run tries again.
    """
    place, current = _place(repository, model), repository / model
    shall_be, previous = place / _NEXT, place / _PREVIOUS
    if previous.is_dir() and not current.exists():  # killed between taking it out and putting the new one in
        complete = shall_be.is_dir() and _noted(place) == _identity(shall_be)
        (shall_be if complete else previous).rename(current)
        durable_files.sync(repository)
    (place / _JOURNAL).unlink(missing_ok=True)
    for leftover in (shall_be, previous):
        shutil.rmtree(leftover, ignore_errors=True)


def _place(repository: Path, model: str) -> Path:
    return area(repository) / "models" / model


def _leave(place: Path, descriptor: int | None) -> None:
    """Let the lock go, and remove its folder if nothing is left in it."""
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
    """What the journal says shall be in place; `None` if there is no readable journal, so it was not complete."""
    try:
        note = json.loads((place / _JOURNAL).read_bytes())
        return list(note["next"]) if note["schema"] == 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
