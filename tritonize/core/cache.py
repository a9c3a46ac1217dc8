"""The cache between runs: directories that are built once and are either complete or absent."""

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

from tritonize.core import environment, errors, logs
from tritonize.core.messages import files as wording
from tritonize.core.messages import repository

_LOG = logs.logger(__name__)
_MARKER = ".complete"
_STAGING = ".staging"
_LOCK_INTERVAL_S = 0.2
_PROGRESS_INTERVAL_S = 5.0


def directory() -> Path:
    """`$TRITONIZE_CACHE`, else `$XDG_CACHE_HOME/tritonize`, else `~/.cache/tritonize`; it may not exist yet."""
    if own := environment.CACHE.value():
        return Path(own).expanduser().absolute()
    if shared := environment.SHARED_CACHE.value():
        return Path(shared).expanduser().absolute() / "tritonize"
    try:
        return Path.home() / ".cache" / "tritonize"
    except RuntimeError as error:
        raise errors.MissingError.of(wording.NO_CACHE_HOME, found=str(error)) from error


def is_complete(path: Path) -> bool:
    """Whether `build_once` completed this directory."""
    return (path / _MARKER).is_file()


def build_once(
    path: Path,
    build: Callable[[Path], None],
    *,
    check: Callable[[Path], None] | None = None,
    use: Callable[[Path], None] | None = None,
    on_progress: Callable[[str], None] | None = None,
    cancelled: threading.Event | None = None,
    deadline_s: float | None = None,
) -> Path:
    """Return a cache directory; the first process that needs it builds it while others wait.

    Args:
        path: path of the directory; its name is the cache key and covers everything that the content depends on.
        build: fills an empty directory next to `path`, which is renamed to `path` when it is complete.
        check: tests the built directory; raises if it does not work.
        use: called with the complete directory while its lock is held, so that no other process drops it; for entries that
            `keep_within` limits.
        on_progress: called while another process builds the directory.
        cancelled: stops waiting for another process once it is set; for calls in threads, which Ctrl-C does not interrupt.
        deadline_s: maximum wait for another process in seconds; `build` has its own deadline.

    Raises:
        InterruptedRunError: `cancelled` was set.
        TimeoutError: another process is still building it.
        RepositoryError: the cache is not writable, or the disk is full.
        Exceptions of `build`, `check` and `use`; a failed build leaves nothing behind.
    """
    if use is None and is_complete(path):
        _LOG.info("%s: taken from the cache", path.name)
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_path(path))
        _acquire(lock, path, on_progress, cancelled=cancelled, deadline_s=deadline_s)
    except TimeoutError:
        raise
    except OSError as error:
        if use is not None and is_complete(path):  # a read-only shared cache: no local process can drop the entry
            use(path)
            return path
        raise _unwritable(error, path) from error
    try:
        try:
            if not is_complete(path):  # it may have been built while this process waited
                _LOG.info("%s: not in the cache, building it", path.name)
                _build(path, build, check)
        except OSError as error:
            raise _unwritable(error, path) from error
        if use is not None:
            use(path)
    finally:
        lock.release()
    return path


def drop(path: Path, *, used: int | None = None) -> None:
    """Remove an entry; the next `build_once` builds it again. An entry that another process has locked stays.

    Args:
        used: time of last use as `keep_within` read it; an entry that was used since then stays too.

    Raises:
        RepositoryError: the cache cannot be written.
    """
    try:
        with FileLock(_lock_path(path), timeout=0):
            if used is None or _used(path) == used:
                (path / _MARKER).unlink(missing_ok=True)  # first, so that a partly removed entry is not complete
                shutil.rmtree(path, ignore_errors=True)
    except Timeout:
        return
    except OSError as error:
        raise _unwritable(error, path) from error


def is_locked(path: Path) -> bool:
    """Whether a process builds or drops an entry now."""
    lock = _lock_path(path)
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _used(path: Path) -> int | None:
    """Time of last use of an entry in nanoseconds; `None` if it is missing or incomplete."""
    try:
        return (path / _MARKER).stat().st_mtime_ns
    except OSError:
        return None


def touch(path: Path) -> None:
    """Set the time of last use to now."""
    with contextlib.suppress(OSError):  # a shared cache may be read-only
        os.utime(path / _MARKER)


def keep_within(folder: Path, bound: int) -> None:
    """Drop the least recently used entries of a folder until their files fit the bound. The most recent entry always stays.

    Args:
        folder: a folder of the cache; `build_once` builds its entries and `touch` records their use.
        bound: maximum total size in bytes.
    """
    entries = []
    for path in folder.iterdir():
        if path.name.endswith(_STAGING):
            _drop_leftover(path)
        elif used := _used(path):
            with contextlib.suppress(FileNotFoundError):  # another process may be dropping it at the same time
                entries.append((used, path, sum(each.stat().st_size for each in path.iterdir())))
    left = bound
    for number, (used, path, size) in enumerate(sorted(entries, reverse=True)):
        left -= size
        if left < 0 and number:
            drop(path, used=used)


def _drop_leftover(staging: Path) -> None:
    """Remove the incomplete entry of a process that was killed; an entry that is being built is locked and stays."""
    with (
        contextlib.suppress(Timeout, OSError),
        FileLock(_lock_path(staging.with_name(staging.name.removesuffix(_STAGING))), timeout=0),
    ):
        shutil.rmtree(staging, ignore_errors=True)


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _acquire(
    lock: FileLock,
    path: Path,
    on_progress: Callable[[str], None] | None,
    *,
    cancelled: threading.Event | None,
    deadline_s: float | None,
) -> None:
    started = time.monotonic()
    reported = started
    while True:
        try:
            lock.acquire(timeout=_LOCK_INTERVAL_S)
        except Timeout:
            now = time.monotonic()
            if cancelled is not None and cancelled.is_set():
                raise errors.InterruptedRunError.of(repository.INTERRUPTED_WAITING) from None
            if deadline_s is not None and now - started > deadline_s:
                raise TimeoutError(f"another process is still building {path.name} after {now - started:.1f} s") from None
            if on_progress is not None and now - reported > _PROGRESS_INTERVAL_S:
                reported = now
                on_progress(f"waiting for another process that builds {path.name}")
        else:
            return


def _build(path: Path, build: Callable[[Path], None], check: Callable[[Path], None] | None) -> None:
    staging = path.with_name(f"{path.name}{_STAGING}")
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
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT):
        refusal = errors.RepositoryError.of(
            wording.FOLDER_NOT_WRITABLE, where=str(error.filename or path), found=error.strerror, purpose="the cache"
        )
        refusal.next_step = "set TRITONIZE_CACHE to a writable folder"
        return refusal
    return error
