"""Locks on files that end with their process, whatever ends it, in any container and after any restart.

A process number means nothing in another container or after a restart; a lock is the kernel's own knowledge of who lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def acquire(path: Path, *, wait: bool = True) -> int | None:
    """Hold a lock until the descriptor is closed; `None` where another holds it and nobody wants to wait.

    The file and its folder are made. A lock's file may be removed by who holds it: who waited for it then takes the new one.

    Raises:
        OSError: it cannot be made, or the filesystem has no locks.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = _open(path)
        except FileNotFoundError:  # its folder was removed in this moment
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
    """Hold a lock as long as the context; waits for it."""
    descriptor = acquire(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # another user's; reading is enough for a lock
        return os.open(path, os.O_RDONLY)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the file that is held is the one under that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
