"""File locks that the kernel releases when their process ends.

A process ID in a file would be ambiguous in another container and after a restart; a kernel lock (`flock`) is not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_MOST_ATTEMPTS = 1000
"""A folder that is missing that often is not one that other processes remove."""


def acquire(path: Path, *, wait: bool = True, create: bool = True) -> int | None:
    """Take an exclusive lock. Creates the file and, unless `create` is false, its folder.

    The holder may remove the lock's file. A process that waited for it then locks the new file of that name.

    Args:
        wait: wait for another holder; otherwise return `None`.
        create: create the folder if it is missing; otherwise return `None`.

    Returns:
        A descriptor. Closing it releases the lock.

    Raises:
        OSError: the file cannot be created, or the filesystem does not support locks.
    """
    missing = 0
    while True:
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _open(path)
        except FileNotFoundError:  # another process has just removed the folder, or one above it
            if not create:
                return None
            missing += 1
            if missing == _MOST_ATTEMPTS:
                raise
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock during the context. Waits for another holder."""
    descriptor = acquire(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # another user's file; read access suffices for a lock
        return os.open(path, os.O_RDONLY)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the path still names the locked file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
