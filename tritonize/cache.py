"""What tritonize keeps between runs: a directory of things that are built once, complete or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from tritonize import errors

_MARKER = ".complete"
_LOCK_INTERVAL_S = 0.2
_TOLD_INTERVAL_S = 5.0


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
    cancelled: threading.Event | None = None,
    deadline_s: float | None = None,
) -> Path:
    """A directory of the cache, built by the first who needs it while others wait.

    Args:
        path: where it shall be; its name is its key and says all that its content depends on.
        build: fills the empty directory it is given, which lies beside `path` and is renamed when it is complete.
        check: proves that what was built works; raises where it does not.
        on_progress: told when another process is building it.
        cancelled: ends the wait for another process once it is set; for calls in threads, which Ctrl-C does not reach.
        deadline_s: how long that wait may be; the building has a deadline of its own.

    Raises:
        InterruptedRunError: it was cancelled.
        TimeoutError: another process is still building it.
        MissingError: the cache cannot be written.
        RepositoryError: the disk is full.
        Whatever `build` and `check` raise; nothing is left of it then.
    """
    if is_complete(path):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_path(path))
        _acquire(lock, path, on_progress, cancelled, deadline_s)
        try:
            if not is_complete(path):  # it may have been built while this process waited
                _build(path, build, check)
        finally:
            lock.release()
    except TimeoutError:
        raise
    except OSError as error:
        raise _unwritable(error, path) from error
    return path


def drop(path: Path) -> None:
    """Take out what was built, since it is damaged; who asks next builds it anew.

    Raises:
        MissingError: the cache cannot be written.
    """
    try:
        with FileLock(_lock_path(path), timeout=0):
            (path / _MARKER).unlink(missing_ok=True)  # first: from here on it is not complete
            shutil.rmtree(path, ignore_errors=True)
    except Timeout:
        return  # another process found the same, and builds it anew
    except OSError as error:
        raise _unwritable(error, path) from error


def touch(path: Path) -> None:
    """Note that this was used now."""
    with contextlib.suppress(OSError):  # a cache that others fill need not be ours to write
        os.utime(path / _MARKER)


def keep_within(folder: Path, bound: int) -> None:
    """Drop what was used longest ago of a folder's entries, until their files take no more room than that; never the last one used.

    Args:
        folder: of the cache; its entries were built by `build_once` and noted by `touch`.
        bound: bytes.
    """
    entries = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # others may be dropping it at the same time
            used = (path / _MARKER).stat().st_mtime_ns
            entries.append((used, path, sum(each.stat().st_size for each in path.iterdir())))
    room = bound
    for number, (_, path, size) in enumerate(sorted(entries, reverse=True)):
        room -= size
        if room < 0 and number:
            drop(path)


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _acquire(
    lock: FileLock,
    path: Path,
    on_progress: Callable[[str], None] | None,
    cancelled: threading.Event | None,
    deadline_s: float | None,
) -> None:
    started = time.monotonic()
    told = started
    while True:
        try:
            lock.acquire(timeout=_LOCK_INTERVAL_S)
        except Timeout:
            now = time.monotonic()
            if cancelled is not None and cancelled.is_set():
                raise errors.InterruptedRunError("Interrupted.") from None
            if deadline_s is not None and now - started > deadline_s:
                raise TimeoutError(f"another process is still building {path.name} after {now - started:.1f} s") from None
            if on_progress is not None and now - told > _TOLD_INTERVAL_S:
                told = now
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
