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

from tritonize.core import errors, logs
from tritonize.core.messages import files as wording

_LOG = logs.logger(__name__)
_MARKER = ".complete"
_STAGING = ".staging"
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
    use: Callable[[Path], None] | None = None,
    on_progress: Callable[[str], None] | None = None,
    cancelled: threading.Event | None = None,
    deadline_s: float | None = None,
) -> Path:
    """A directory of the cache, built by the first who needs it while others wait.

    Args:
        path: where it shall be; its name is its key and says all that its content depends on.
        build: fills the empty directory it is given, which lies beside `path` and is renamed when it is complete.
        check: proves that what was built works; raises where it does not.
        use: given the complete directory before anybody else may drop it; for entries that `keep_within` bounds.
        on_progress: told when another process is building it.
        cancelled: ends the wait for another process once it is set; for calls in threads, which Ctrl-C does not reach.
        deadline_s: how long that wait may be; the building has a deadline of its own.

    Raises:
        InterruptedRunError: it was cancelled.
        TimeoutError: another process is still building it.
        RepositoryError: the cache cannot be written.
        RepositoryError: the disk is full.
        Whatever `build`, `check` and `use` raise; of what failed to be built nothing is left then.
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
        if use is not None and is_complete(path):  # a cache that others fill need not be ours to write: nobody here drops it
            use(path)
            return path
        raise _unwritable(error, path) from error
    try:
        try:
            if not is_complete(path):  # it may have been built while this process waited
                _LOG.info("%s: not in the cache, built now", path.name)
                _build(path, build, check)
        except OSError as error:
            raise _unwritable(error, path) from error
        if use is not None:
            use(path)
    finally:
        lock.release()
    return path


def drop(path: Path, *, used: int | None = None) -> None:
    """Take out what was built; who asks next builds it anew. What another process holds stays.

    Args:
        used: when it was last used, as `keep_within` saw it; if that was later, it stays too.

    Raises:
        RepositoryError: the cache cannot be written.
    """
    try:
        with FileLock(_lock_path(path), timeout=0):
            if used is None or _used(path) == used:
                (path / _MARKER).unlink(missing_ok=True)  # first: from here on it is not complete
                shutil.rmtree(path, ignore_errors=True)
    except Timeout:
        return
    except OSError as error:
        raise _unwritable(error, path) from error


def _used(path: Path) -> int | None:
    """When an entry was last used, in nanoseconds; `None` where it is none, or not complete."""
    try:
        return (path / _MARKER).stat().st_mtime_ns
    except OSError:
        return None


def touch(path: Path) -> None:
    """Note that this was used now."""
    with contextlib.suppress(OSError):  # a cache that others fill need not be ours to write
        os.utime(path / _MARKER)


def keep_within(folder: Path, bound: int) -> None:
    """Drop what was used longest ago of a folder's entries, until their files take no more room than that; never the last one used.

    Args:
        folder: of the cache; its entries are built and used by `build_once`, and noted by `touch`.
        bound: bytes.
    """
    entries = []
    for path in folder.iterdir():
        if path.name.endswith(_STAGING):
            _drop_leftover(path)
        elif used := _used(path):
            with contextlib.suppress(FileNotFoundError):  # another process may be dropping it at the same time
                entries.append((used, path, sum(each.stat().st_size for each in path.iterdir())))
    room = bound
    for number, (used, path, size) in enumerate(sorted(entries, reverse=True)):
        room -= size
        if room < 0 and number:
            drop(path, used=used)


def _drop_leftover(staging: Path) -> None:
    """What a process that was killed has built of an entry; not what one is building now."""
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
        found = errors.RepositoryError.of(
            wording.FOLDER_NOT_WRITABLE, where=str(error.filename or path), found=error.strerror, purpose="the cache"
        )
        found.next_step = "set TRITONIZE_CACHE to a directory that you may write to"
        return found
    return error
