"""What tritonize keeps between runs: a directory of things that are built once, complete or not there at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from tritonize import errors

_MARKER = ".complete"
_LOCK_INTERVAL_S = 5.0


def directory() -> Path:
    """`$TRITONIZE_CACHE`, else `$XDG_CACHE_HOME/tritonize`, else `~/.cache/tritonize`; it need not exist."""
    if own := os.environ.get("TRITONIZE_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser().absolute() / "tritonize"
    try:
        return Path.home() / ".cache" / "tritonize"
    except RuntimeError as error:
        raise errors.MissingError(
            "There is no home directory for the cache.", found=str(error), next_step="set TRITONIZE_CACHE to a folder"
        ) from error


def is_complete(path: Path) -> bool:
    """Whether `build_once` has built this."""
    return (path / _MARKER).is_file()


def build_once(
    path: Path,
    build: Callable[[Path], None],
    *,
    check: Callable[[Path], None] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Path:
    """A directory of the cache, built by the first who needs it while others wait.

    Args:
        path: where it shall be; its name is its key and says all that its content depends on.
        build: fills the empty directory it is given, which lies beside `path` and is renamed when it is complete.
        check: proves that what was built works; raises where it does not.
        on_progress: told when another process is building it.

    Raises:
        MissingError: the cache cannot be written.
        RepositoryError: the disk is full.
        Whatever `build` and `check` raise; nothing is left of it then.
    """
    if is_complete(path):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{path.name}.lock"))
        _acquire(lock, path, on_progress)
        try:
            if not is_complete(path):  # it may have been built while this process waited
                _build(path, build, check)
        finally:
            lock.release()
    except OSError as error:
        raise _unwritable(error, path) from error
    return path


def _acquire(lock: FileLock, path: Path, on_progress: Callable[[str], None] | None) -> None:
    while True:
        try:
            lock.acquire(timeout=_LOCK_INTERVAL_S)
        except Timeout:
            if on_progress is not None:
                on_progress(f"waiting for another process that builds {path.name}")
        else:
            return


def _build(path: Path, build: Callable[[Path], None], check: Callable[[Path], None] | None) -> None:
    staging = path.with_name(f"{path.name}.staging")
    for leftover in (staging, path):
        if leftover.exists():
            shutil.rmtree(leftover)
    staging.mkdir()
    try:
        build(staging)
        if check is not None:
            check(staging)
        with (staging / _MARKER).open("wb") as marker:
            os.fsync(marker.fileno())
        staging.replace(path)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _unwritable(error: OSError, path: Path) -> Exception:
    if error.errno == errno.ENOSPC:
        return errors.full_disk(str(error.filename or path))
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
        return errors.MissingError(
            "The cache directory cannot be written.",
            where=str(error.filename or path),
            found=error.strerror,
            next_step="set TRITONIZE_CACHE to a directory that you may write to",
        )
    return error
