"""Folders among the temporary files, each locked by the process that made it; a later process removes what a killed one left.

A lock says whether a folder is in use, and no process id: it holds across containers that share the place, and the kernel releases
it whatever ends the process.
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

from tritonize.errors import storage_errors

_NAME = "tritonize_scratch_"
_UNLOCKED = f".{_NAME}"
_OURS = re.compile(rf"\.?{_NAME}[a-z0-9_]{{8}}")
"""The names that `tempfile` makes; whoever uses this program may have folders called after it."""
_ABANDONED_S = 3600.0
"""What is older and was never locked was left by a process that was killed in that moment."""
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")


@contextlib.contextmanager
def folder(*, plain: bool = False) -> Iterator[Path]:
    """A folder that no other user can look into, for as long as the block runs; those of processes that were killed are removed.

    Args:
        plain: under a name that Triton's Python backend can take: it splits paths at blanks, and knows ASCII alone.

    Raises:
        RepositoryError: there is no room for it, say.
    """
    usual = tempfile.gettempdir()
    place = Path("/tmp" if plain and not _PLAIN.fullmatch(usual) else usual)  # noqa: S108 - it is made anew, for its owner alone
    remove_left(place)
    with storage_errors(place):
        made = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=place))
        held = _lock(made)
        path = made.rename(made.with_name(f"{_NAME}{made.name.removeprefix(_UNLOCKED)}"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if held is not None:
            os.close(held)


def remove_left(place: Path) -> None:
    """Remove the folders in which nobody works any more."""
    user = os.getuid()
    for path in (*place.glob(f"{_NAME}*"), *place.glob(f"{_UNLOCKED}*")):
        with contextlib.suppress(OSError):
            found = path.lstat()
            if not _OURS.fullmatch(path.name) or stat.S_IMODE(found.st_mode) != 0o700:  # as they are made
                continue
            new = path.name.startswith(_UNLOCKED) and time.time() - found.st_mtime < _ABANDONED_S
            if found.st_uid == user and not new and path.is_dir() and (held := _lock(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(held)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the folder's lock; `None` where somebody else does, or where the filesystem has none."""
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held
