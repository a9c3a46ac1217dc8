"""`tritonize clean`: find and remove what killed runs, failed versions and earlier releases left behind.

Only entries of tritonize's own folders, with names that tritonize gives, that belong to this user and are no links. What a running
process uses is left out: runs and temporary folders by their locks, entries of the cache by the files that processes have open.
"""

from __future__ import annotations

import functools
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonize.core import cache, temporary
from tritonize.plans import plan_cache
from tritonize.process import cleanup
from tritonize.repository import leftovers
from tritonize.triton.server import runtimes


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A file or folder that can be removed."""

    kind: str
    """What it is, in words."""
    path: Path
    bytes: int
    age_s: float
    """Seconds since it was last changed."""
    remove: Callable[[], bool] = field(repr=False, compare=False)
    """Removes it; returns false if a process uses it now."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a clean-up found."""

    leftovers: tuple[Leftover, ...]
    in_use: tuple[Path, ...]
    """What looks the same, and a running process uses."""


def find(repositories: Sequence[Path], *, with_cache: bool) -> Found:
    """Find what can be removed. Nothing is changed.

    Args:
        repositories: model repositories whose staging areas are searched.
        with_cache: whether to list plans, timings and server runtimes of the cache too.
    """
    found: list[Leftover] = []
    used: list[Path] = []
    for each in repositories:
        for run in leftovers.runs(each):
            if run.in_use:
                used.append(run.path)
            else:
                found.append(_run(run))
    for place in places():
        for path in temporary.left(place):
            remove = functools.partial(temporary.remove, path)
            found += [_leftover("temporary files of a killed process", path, remove)]
    if with_cache:
        open_files = cleanup.open_files()
        for kind, path in _cached():
            if cleanup.uses(path, open_files) or cache.is_locked(path):
                used.append(path)
            else:
                found.append(_leftover(kind, path, functools.partial(_remove_cached, path)))
    return Found(leftovers=tuple(found), in_use=tuple(used))


def places() -> list[Path]:
    """The folders in which temporary folders are made."""
    return sorted({Path(tempfile.gettempdir()), Path("/tmp")})  # noqa: S108 - for paths without blanks


def remove(leftover: Leftover) -> bool:
    """Remove one of them; return false if a process uses it now, or the operating system refuses it."""
    try:
        return leftover.remove()
    except OSError:
        return False


def _run(run: leftovers.Left) -> Leftover:
    kind = "a version that was not published, with its report" if run.kept else "files of a killed run"
    return _leftover(kind, run.path, functools.partial(leftovers.remove, run.path))


def _leftover(kind: str, path: Path, remove: Callable[[], bool]) -> Leftover:
    return Leftover(kind=kind, path=path, bytes=_size(path), age_s=max(0.0, time.time() - path.lstat().st_mtime), remove=remove)


def _size(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links are not followed."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        return path.lstat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - thousands of files
            except OSError:  # removed meanwhile
                continue
    return total


def _cached() -> Iterator[tuple[str, Path]]:
    """The entries of the cache that can be made again, and runtimes that this installation does not use."""
    root = cache.directory()
    for path in _own(plan_cache.folder()):
        yield "a TensorRT plan in the cache", path
    for path in _own(root / "timings"):
        yield "kernel timings of TensorRT", path
    for path in _own(root / "reports"):
        yield "a page that `tritonize report` opened", path
    current = runtimes.current()
    for path in _own(root / "server"):
        if path not in current:
            yield "a server runtime that this installation does not use", path


def _own(folder: Path) -> Iterator[Path]:
    """The entries of a folder of the cache that are this user's files and folders; none if the folder is a link itself."""
    if folder.is_symlink() or not folder.is_dir():  # the cache itself may be a link of the user's
        return
    for path in sorted(folder.iterdir()):
        found = path.lstat()
        if found.st_uid == os.getuid() and (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)) and path.suffix != ".lock":
            yield path


def _remove_cached(path: Path) -> bool:
    if cleanup.uses(path, cleanup.open_files()):
        return False
    if path.is_dir():
        cache.drop(path)  # not while another process has its lock
    else:
        path.unlink(missing_ok=True)
    return not path.exists()
