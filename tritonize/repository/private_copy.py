"""Files as a server gets them: hashed while they are copied into a private folder, so that what is served is what was hashed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonize.core.artifacts import Finding
from tritonize.repository import file_hashes

BUDGET = 4 << 30
"""Bytes that are copied at most, where the filesystem cannot share them; files beyond that are served in place."""
_FICLONE = 0x40049409


@dataclass(frozen=True, kw_only=True)
class InPlace:
    """A file that is served where it lies."""

    where: str
    path: Path
    sha256: str
    bytes: int


@dataclass(kw_only=True)
class PrivateCopy:
    """A model's directory, filled with the files that were hashed."""

    directory: Path
    budget: int = BUDGET
    """Bytes that may still be copied."""
    in_place: list[InPlace] = field(default_factory=list)
    files: int = 0

    def take(self, name: str, path: Path, size: int) -> str | None:
        """Copy a file and give the SHA-256 of the copy; `None` where it cannot be read.

        What does not fit is linked and hashed in place, and has to be hashed again after it was served.

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
            found = file_hashes.sha256_of(source, size)
        finally:
            os.close(source)
        target.unlink()
        target.symlink_to(path.absolute())
        self.in_place.append(InPlace(where=f"{self.directory.name}/{name}", path=path, sha256=found, bytes=size))
        return found


def changed(files: Sequence[InPlace]) -> tuple[Finding, ...]:
    """Those that are no longer what was hashed before they were served."""
    findings = []
    for each in files:
        found = file_hashes.hash_in_place("", each.path, each.bytes)
        if found != each.sha256:
            what = "the file was changed while it was served"
            findings.append(Finding(where=each.where, what=what, expected=each.sha256, found=found))
    return tuple(findings)


def _share(source: int, copy: int) -> bool:
    """Let a file have another's blocks, as it is now, where the filesystem can."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(copy, _FICLONE, source)
        return True
    return False


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
