"""Runs that are left in a repository's staging area: killed ones, and those whose version failed or was only built."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import locks
from tritonize.repository import journal
from tritonize.repository.staging import ALIVE, KEPT, LOCK, RUN, is_older_kind


@dataclass(frozen=True, kw_only=True)
class Left:
    """One run's folder."""

    path: Path
    kept: bool
    """Whether it has a version that was not published, with its report."""
    in_use: bool
    """Whether the run is at work."""


def runs(repository: Path) -> Iterator[Left]:
    """Yield the runs in the staging area of a repository. Links, and what belongs to another user, are no runs."""
    area = journal.area(repository)
    if not _is_own_folder(area):
        return
    for path in sorted(area.iterdir()):
        if RUN.fullmatch(path.name) and _is_own_folder(path):
            yield Left(path=path, kept=(path / KEPT).exists(), in_use=_in_use(path))


def remove(path: Path) -> bool:
    """Remove a run's folder; return false if the run is at work, or another process makes a run in this staging area now."""
    area = locks.acquire(path.parent / LOCK, wait=False)
    if area is None:
        return False
    try:
        if not _is_own_folder(path) or is_older_kind(path):
            return False
        alive = locks.acquire(path / ALIVE, wait=False)
        if alive is None:
            return False
        try:
            shutil.rmtree(path)  # follows no link
        finally:
            os.close(alive)
    finally:
        os.close(area)
    return True


def _in_use(path: Path) -> bool:
    """Whether a process holds the run's lock. A folder without that file is new, or its process was killed before the lock."""
    if is_older_kind(path):
        return True
    if not (path / ALIVE).is_file():
        return False
    with contextlib.suppress(OSError):
        descriptor = locks.acquire(path / ALIVE, wait=False)
        if descriptor is not None:
            os.close(descriptor)
            return False
    return True


def _is_own_folder(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
