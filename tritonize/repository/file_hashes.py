"""List the files of a version and compute their SHA-256."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_PIECE = 1 << 20


def walk(directory: Path) -> Iterator[tuple[Path, str]]:
    """Yield every entry below a directory except directories, as its path and `file`, `link` or `other`; links are not followed."""
    with os.scandir(directory) as entries:
        entries_sorted = sorted(entries, key=lambda each: each.name)
    for entry in entries_sorted:
        path = Path(entry.path)
        if entry.is_symlink():
            yield path, "link"
        elif entry.is_dir(follow_symlinks=False):
            yield from walk(path)
        else:
            yield path, "file" if entry.is_file(follow_symlinks=False) else "other"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, which is read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(descriptor: int, bound: int, into: Callable[[bytes], object] | None = None) -> str:
    """Return the SHA-256 of an open file, which is read once and up to `bound` + 1 bytes.

    Args:
        descriptor: the open file.
        bound: the expected size in bytes. The hash of a longer file differs anyway, so its rest is not read.
        into: called with every piece, while another thread hashes it.
    """
    digest = hashlib.sha256()
    if into is None:
        for piece in _pieces(descriptor, bound):
            digest.update(piece)
        return digest.hexdigest()
    with ThreadPoolExecutor(max_workers=1) as pool:  # hashing releases Python's lock
        for piece in _pieces(descriptor, bound):
            hashed = pool.submit(digest.update, piece)
            into(piece)
            hashed.result()
    return digest.hexdigest()


def _pieces(descriptor: int, bound: int) -> Iterator[bytes]:
    rest = bound + 1
    while rest and (piece := os.read(descriptor, min(_PIECE, rest))):
        yield piece
        rest -= len(piece)


def opened(path: Path) -> int:
    """Open a regular file for reading; later changes to its path do not affect the descriptor.

    Raises:
        OSError: the path is not a regular file, or the file cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a regular file")
    return descriptor


def hash_in_place(_name: str, path: Path, size: int) -> str | None:
    """Return the SHA-256 of a file, without copying it; `None` if it cannot be read."""
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
