"""One file of many members that shows every change: a ZIP with an index of SHA-256 sums, and one over the index.

Any ZIP tool opens it. The sums find damage, and not forgery: whoever can write the file can write new sums.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any  # Any: JSON data, checked where it is read

from tritonize.core import bounded_files
from tritonize.core.errors import RepositoryError, UsageError

INDEX = "index.json"
SEAL = "index.sha256"
LIMIT = 4 * 2**30
"""Bytes that all members together may come to."""
_INDEX_LIMIT = 2**26
_PIECE = 2**20
_BROKEN = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    struct.error,
    ValueError,
    OverflowError,
    RuntimeError,
    NotImplementedError,
    OSError,
)
"""What reading a damaged ZIP raises."""


class Writer:
    """Takes members one by one."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members: dict[str, dict[str, object]] = {}

    def add(self, name: str, pieces: Iterable[bytes | memoryview], *, compress: bool = True) -> None:
        """One member, piece by piece."""
        digest, size = hashlib.sha256(), 0
        with self._archive.open(_entry(name, compress), "w", force_zip64=True) as member:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                member.write(piece)
        self._members[name] = {"sha256": digest.hexdigest(), "bytes": size}

    def seal(self) -> None:
        """The index and its sum, after everything else."""
        index = json.dumps({"schema": 1, "members": self._members}, indent=1).encode()
        self._archive.writestr(_entry(INDEX, True), index)
        self._archive.writestr(_entry(SEAL, False), hashlib.sha256(index).hexdigest())


def _entry(name: str, compress: bool) -> zipfile.ZipInfo:
    """Without the time of day, so that the same content is the same file."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    entry.external_attr = 0o644 << 16
    return entry


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A file that is there, whole and on the disk, only when the context ends without an error.

    Raises:
        UsageError: there is one already.
    """
    if path.exists():
        raise UsageError("The file exists; it is not overwritten.", where=str(path), next_step="name another one with --out")
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with staged.open("xb") as file:
            with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
                writer = Writer(archive)
                yield writer
                writer.seal()
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def unpack(path: Path, directory: Path, *, allowed: re.Pattern[str]) -> None:
    """Every member into a folder, each checked against the index before the call returns.

    Args:
        path: the sealed file.
        directory: where the members go, under their names.
        allowed: what a member's whole name must match; nothing outside `directory` may match.

    Raises:
        UsageError: there is no such file.
        RepositoryError: the file is not such an archive, or is truncated, changed, or larger than `LIMIT`; the member is named.
    """
    if not path.is_file():
        raise UsageError("There is no such golden file.", where=str(path))
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
        except _BROKEN as error:
            raise _damaged(path, "", f"{error}", cause="it was truncated, or is no golden file") from error
        members = _index(path, archive)
        entries = _entries(path, archive, members, allowed=allowed)
        _require_room(path, entries, directory)
        for name, entry in entries.items():
            _take_out(path, archive, entry, listed=members[name], target=directory / name)


def _damaged(
    path: Path, member: str, found: str, *, cause: str = "it was changed or damaged after it was written"
) -> RepositoryError:
    return RepositoryError(
        "The golden file is damaged.",
        where=f"{path}: {member}" if member else str(path),
        found=found,
        cause=cause,
        next_step="copy it again, or write it again with `tritonize golden export`",
    )


def _index(path: Path, archive: zipfile.ZipFile) -> dict[str, dict[str, object]]:
    content = _small(path, archive, INDEX)
    seal = _small(path, archive, SEAL).decode("ascii", "replace").strip()
    if hashlib.sha256(content).hexdigest() != seal:
        raise _damaged(path, INDEX, "the index is another than the one that was sealed")
    try:
        index = bounded_files.parsed(content)
        members = {
            str(name): {"sha256": str(each["sha256"]), "bytes": int(each["bytes"])} for name, each in index["members"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _damaged(path, INDEX, repr(error)[:1000]) from error
    if index.get("schema") != 1:
        raise RepositoryError(
            "The golden file is of another kind.", where=str(path), expected="schema 1", found=str(index.get("schema"))
        )
    return members


def _small(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """A member that is read as a whole."""
    try:
        with archive.open(name) as member:
            content = member.read(_INDEX_LIMIT + 1)
    except (KeyError, *_BROKEN) as error:
        raise _damaged(path, name, str(error).strip("'\"")) from error
    if len(content) > _INDEX_LIMIT:
        raise _damaged(path, name, f"more than {_INDEX_LIMIT >> 20} MiB")
    return content


def _entries(
    path: Path, archive: zipfile.ZipFile, members: dict[str, dict[str, object]], *, allowed: re.Pattern[str]
) -> dict[str, zipfile.ZipInfo]:
    """The entries that the index lists: each once, none beside them, under names that stay inside."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        if entry.filename in entries:
            raise _damaged(path, entry.filename, "the member is there twice")
        if entry.filename not in (INDEX, SEAL) and not allowed.fullmatch(entry.filename):
            raise _damaged(path, entry.filename, "a member that no golden file has")
        entries[entry.filename] = entry
    del entries[INDEX], entries[SEAL]
    for name in sorted(set(members) | set(entries)):
        if name not in entries:
            raise _damaged(path, name, "the member is missing")
        if name not in members:
            raise _damaged(path, name, "the member is not in the index")
        if entries[name].file_size != members[name]["bytes"]:
            raise _damaged(path, name, f"{entries[name].file_size} bytes instead of {members[name]['bytes']}")
    return entries


def _require_room(path: Path, entries: dict[str, zipfile.ZipInfo], directory: Path) -> None:
    total = sum(entry.file_size for entry in entries.values())
    if total > LIMIT:
        raise RepositoryError(
            "The golden file says that it holds more than is read.",
            where=str(path),
            expected=f"at most {LIMIT >> 20} MiB",
            found=f"{total >> 20} MiB",
        )
    directory.mkdir(parents=True, exist_ok=True)
    if total > shutil.disk_usage(directory).free:
        raise RepositoryError(
            "There is no room to unpack the golden file.",
            where=str(directory),
            expected=f"{total >> 20} MiB",
            next_step="free some space, or name another place with TMPDIR",
        )


def _take_out(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, listed: dict[str, Any], target: Path) -> None:
    digest, left = hashlib.sha256(), listed["bytes"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        try:
            with archive.open(entry) as member:
                while left and (piece := member.read(min(_PIECE, left))):
                    digest.update(piece)
                    file.write(piece)
                    left -= len(piece)
                more = member.read(1)
        except _BROKEN as error:
            raise _damaged(path, entry.filename, str(error)) from error
    if left or more or digest.hexdigest() != listed["sha256"]:
        raise _damaged(path, entry.filename, "content of another SHA-256 than the index has for it")
