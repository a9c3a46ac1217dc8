"""Write files durably (fsync before anything refers to them) and change folders atomically."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


def sync(path: Path) -> None:
    """Flush a file or directory to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Flush a directory and everything below it to the disk."""
    for path in directory.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(directory)


def sync_directories(directory: Path) -> None:
    """Flush a directory and its subdirectories to the disk, without their files, which are flushed already."""
    for path in (*directory.rglob("*"), directory):
        if path.is_dir() and not path.is_symlink():
            sync(path)


def make_directory(path: Path) -> tuple[Path, ...]:
    """Create a directory and its missing parents, and flush each to the disk.

    Returns:
        The created directories, the deepest first.
    """
    missing = []
    for folder in (path, *path.parents):
        if folder.exists():
            break
        missing.append(folder)
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)  # another run may have created it in the meantime
        sync(folder.parent)
    return tuple(missing)


def write(path: Path, content: bytes) -> None:
    """Write a file atomically and flush it to the disk: a reader sees the old content or the new one."""
    new = unfinished(path)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    sync(path.parent)


def unfinished(path: Path) -> Path:
    """Return the path under which `write` prepares a file. A killed process leaves a file there."""
    return path.with_name(f"{path.name}.unfinished")


def exchange(one: Path, other: Path) -> bool:
    """Exchange two directories in one atomic step.

    Returns:
        False if the filesystem, the kernel or the C library does not support it.

    Raises:
        OSError: the kernel refuses it for another reason.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def link_tree(source: Path, target: Path) -> None:
    """Copy a directory with hard links to its files, or copies of them if the filesystem allows no link. Times are kept.

    Raises:
        OSError: an entry cannot be read, or is neither a file, a directory nor a symbolic link.
    """
    target.mkdir()
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
        elif entry.is_dir():
            link_tree(entry, place)
        elif entry.is_file():
            _link(entry, place)
        else:
            raise OSError(errno.EINVAL, "neither a file nor a directory", str(entry))
    _like(source, target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copy2(source, target)
        sync(target)


def put(source: Path, target: Path) -> None:
    """Put a link to a file, whose content is on the disk, or a copy if the filesystem allows no link, in place of another one."""
    new = unfinished(target)
    new.unlink(missing_ok=True)
    _link(source, new)
    os.utime(new)  # a polling Triton reloads a model whose files have newer times
    new.replace(target)


def _like(source: Path, target: Path) -> None:
    """Copy permissions and times of a directory, and its owner if this user is allowed to."""
    status = source.stat()
    with contextlib.suppress(PermissionError):
        os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)


def make_newer(directory: Path, than: Path) -> None:
    """Set a directory's modification time later than every time in another. A polling Triton reloads changed models."""
    newest = max(path.lstat().st_mtime_ns for path in (than, *than.rglob("*")))
    own = directory.stat()
    os.utime(directory, ns=(own.st_atime_ns, max(newest + 1_000_000, _now(directory))))


def _now(directory: Path) -> int:
    """The current time by the filesystem's clock; on a network filesystem, the server's."""
    os.utime(directory)
    return directory.stat().st_mtime_ns
