"""Copy a version into a private folder for a server, and hash the copy, so that the server serves exactly the hashed files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonize.core.reports import Finding
from tritonize.repository import file_hashes

BUDGET = 4 << 30
"""Largest number of bytes that are copied if the filesystem cannot share blocks; further files are served in place."""
ALL = 1 << 63
"""A budget for files of any size, as far as the disk has room: nothing else may be served."""
_FLUSH = 64 << 20
_FICLONE = 0x40049409


@dataclass(frozen=True, kw_only=True)
class InPlace:
    """A file that is served from the repository instead of a copy."""

    where: str
    """`<model>/<path inside the model's directory>`, for findings."""
    path: Path
    """The file in the repository."""
    sha256: str
    """The SHA-256 before the file was served."""
    bytes: int
    """The size that the manifest lists."""


@dataclass(kw_only=True)
class PrivateCopy:
    """A private copy of a model's directory that consists of hashed files."""

    directory: Path
    budget: int = BUDGET
    """Bytes that may still be copied."""
    in_place: list[InPlace] = field(default_factory=list)
    """Files that are links into the repository; `changed` checks them after serving."""
    files: int = 0
    """Number of files in the copy, including links."""

    def take(self, name: str, path: Path, size: int) -> str | None:
        """Copy a file and return the SHA-256 of the copy; `None` if the file cannot be read.

        A file that exceeds the budget or half of the free disk space is linked and hashed in the repository instead; it must be
        hashed again after it was served.

        Args:
            name: path inside the model's directory.
            path: the file in the repository.
            size: the expected size in bytes.

        Raises:
            OSError: the private folder cannot be written.
        """
        try:
            source = file_hashes.opened(path)
        except OSError:
            return None
        target = self.directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self.files += 1
        try:
            copy = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                if _share(source, copy):
                    return file_hashes.sha256_of(copy, size)
                if size <= min(self.budget, shutil.disk_usage(self.directory).free // 2):
                    self.budget -= size
                    return file_hashes.sha256_of(source, size, lambda piece: _write(copy, piece))
            finally:
                os.close(copy)
            digest = file_hashes.sha256_of(source, size)
        finally:
            os.close(source)
        target.unlink()
        target.symlink_to(path.absolute())
        self.in_place.append(InPlace(where=f"{self.directory.name}/{name}", path=path, sha256=digest, bytes=size))
        return digest


def copied(path: Path, target: Path, size: int) -> str | None:
    """Copy a file for everybody to read, and return its SHA-256, computed in the same pass; `None` if it cannot be read.

    Args:
        path: the file in the repository.
        target: the copy, which must not exist.
        size: the expected size in bytes. No more than that and a byte is copied.

    Raises:
        OSError: the copy cannot be written.
    """
    try:
        source = file_hashes.opened(path)
    except OSError:
        return None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            if _share(source, copy):
                return file_hashes.sha256_of(copy, size)
            return file_hashes.sha256_of(source, size, _Flushing(copy).write)
        finally:
            os.close(copy)
    finally:
        os.close(source)


class _Flushing:
    """Write a large file so that the disk works while the next bytes are read and hashed, and not only at the fsync after them.

    The kernel by itself begins when a tenth of the memory is to be written, which is more than most models.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.written, self.begun = 0, 0

    def write(self, piece: bytes) -> None:
        _write(self.descriptor, piece)
        self.written += len(piece)
        if self.written - self.begun >= _FLUSH:
            # Linux begins to write these pages, without waiting for them.
            os.posix_fadvise(self.descriptor, self.begun, self.written - self.begun, os.POSIX_FADV_DONTNEED)
            self.begun = self.written


def changed(files: Sequence[InPlace]) -> tuple[Finding, ...]:
    """Hash the files again, and return a finding for each one that changed while it was served."""
    findings = []
    for each in files:
        digest = file_hashes.hash_in_place("", each.path, each.bytes)
        if digest != each.sha256:
            what = "the file changed while it was served"
            findings.append(Finding(where=each.where, what=what, expected=each.sha256, found=digest))
    return tuple(findings)


def _share(source: int, copy: int) -> bool:
    """Make `copy` share the blocks of `source` (a reflink); return whether the filesystem supports it."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(copy, _FICLONE, source)
        return True
    return False


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
