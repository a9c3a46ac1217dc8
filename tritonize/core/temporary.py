"""Temporary folders, each locked by its process. Later processes remove the folders of processes that were killed.

A kernel lock, not a process ID, marks a folder as in use: it works across containers that share the temporary directory, and the
kernel releases it when the process ends for any reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tritonize.core.errors import TritonizeError, storage_errors

_NAME = "tritonize_scratch_"
_UNLOCKED = f".{_NAME}"
_OURS = re.compile(rf"\.?{_NAME}[a-z0-9_]{{8}}")
"""The names that `tempfile` creates. A user's own folder may start with the same words."""
_ABANDONED_S = 3600.0
"""Age in seconds from which a folder that is not locked yet is removed: its process was killed before it took the lock."""
_KEPT_BYTES = 2**20
"""How much is kept of a log that an error names: its end."""
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")


@contextlib.contextmanager
def folder(*, plain: bool = False, inside: Path | None = None) -> Iterator[Path]:
    """Create a private folder (mode 0700) for the duration of the block. Folders of killed processes are removed first.

    If an error of tritonize that names a log of the folder leaves the block, the end of the log is kept beside the folder, and the
    error names that file.

    Args:
        plain: use an ASCII path without blanks, as Triton's Python backend requires.
        inside: the folder in which it is created (the system's folder for temporary files), for files that are then moved.

    Raises:
        RepositoryError: the folder cannot be created, for example on a full disk.
    """
    usual = tempfile.gettempdir()
    place = inside or Path("/tmp" if plain and not _PLAIN.fullmatch(usual) else usual)  # noqa: S108 - mkdtemp creates a new private folder in it
    remove_left(place)
    with storage_errors(place):
        made = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=place))
        held = _lock(made)
        path = made.rename(made.with_name(f"{_NAME}{made.name.removeprefix(_UNLOCKED)}"))
    try:
        yield path
    except TritonizeError as error:
        error.where = _kept(path, error.where)
        raise
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if held is not None:
            os.close(held)


def _kept(folder: Path, where: str | None) -> str | None:
    """Copy the log in the folder that `where` names to a file that stays, and return that; otherwise return `where`."""
    log = Path(where) if where else folder
    if log.suffix != ".log" or not log.is_relative_to(folder) or not log.is_file():
        return where
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _KEPT_BYTES))
        descriptor, name = tempfile.mkstemp(prefix=f"tritonize-{log.stem}-", suffix=".log", dir=folder.parent)
        with os.fdopen(descriptor, "wb") as kept:
            shutil.copyfileobj(file, kept)
        return name
    return where


def remove_left(place: Path) -> None:
    """Remove the temporary folders in `place` that no process has locked."""
    for path in left(place):
        remove(path)


def left(place: Path) -> Iterator[Path]:
    """Yield the temporary folders of this user in `place` that no process has locked."""
    for path in (*place.glob(f"{_NAME}*"), *place.glob(f"{_UNLOCKED}*")):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if not _OURS.fullmatch(path.name) or stat.S_IMODE(status.st_mode) != 0o700:  # not created by mkdtemp
                continue
            new = path.name.startswith(_UNLOCKED) and time.time() - status.st_mtime < _ABANDONED_S
            if status.st_uid == os.getuid() and not new and path.is_dir() and (held := _lock(path)) is not None:
                os.close(held)
                yield path


def remove(path: Path) -> bool:
    """Remove a temporary folder; return false if a process has locked it."""
    with contextlib.suppress(OSError):
        if (held := _lock(path)) is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(held)
    return not path.exists()


def _lock(path: Path) -> int | None:
    """A descriptor that holds the folder's lock; `None` if another process holds it or the filesystem supports no locks."""
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held
