"""The files of a version, and their SHA-256."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

_PIECE = 1 << 20


def walk(directory: Path) -> Iterator[tuple[Path, str]]:
    """Everything below a directory but directories: its path, and `file`, `link` or `other`. Links are not followed."""
    with os.scandir(directory) as entries:
        found = sorted(entries, key=lambda each: each.name)
    for entry in found:
        path = Path(entry.path)
        if entry.is_symlink():
            yield path, "link"
        elif entry.is_dir(follow_symlinks=False):
            yield from walk(path)
        else:
            yield path, "file" if entry.is_file(follow_symlinks=False) else "other"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(descriptor: int, bound: int, into: Callable[[bytes], object] = lambda _piece: None) -> str:
    """The SHA-256 of an open file, read once and no further than a byte beyond what is expected.

    Args:
        bound: bytes that are expected; of a longer file the sum is another anyway.
        into: given every piece that went into the sum.
    """
    digest, rest = hashlib.sha256(), bound + 1
    while rest and (piece := os.read(descriptor, min(_PIECE, rest))):
        digest.update(piece)
        into(piece)
        rest -= len(piece)
    return digest.hexdigest()


def opened(path: Path) -> int:
    """A descriptor of an ordinary file, by which it is read whatever its name leads to later.

    Raises:
        OSError: it is not a regular file, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no ordinary file")
    return descriptor


def hash_in_place(_name: str, path: Path, size: int) -> str | None:
    """The SHA-256 of a file where it lies; `None` where it cannot be read."""
    try:
        descriptor = opened(path)
    except OSError:
        return None
    try:
        return sha256_of(descriptor, size)
    except OSError:
        return None
    finally:
        os.close(descriptor)
