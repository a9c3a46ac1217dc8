"""Write and read a ZIP file with the SHA-256 of every member in `index.json`, and the SHA-256 of that index in `index.sha256`.

Any ZIP tool opens the file. The digests reveal damage but not forgery: anyone who can write the file can write new digests.
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

from tritonize.core import bounded_files, near_files
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import golden as wording

INDEX = "index.json"
INDEX_DIGEST = "index.sha256"
LIMIT = 4 * 2**30
"""Largest total size of all members in bytes."""
_INDEX_BYTES = 2**26
_CHUNK_BYTES = 2**20
_READ_ERRORS = (
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
"""Exceptions that `zipfile` raises for a damaged file."""


class Writer:
    """Writes the members one by one, then the index."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members: dict[str, dict[str, object]] = {}

    def add(self, name: str, chunks: Iterable[bytes | memoryview], *, compress: bool = True) -> None:
        """Write a member, chunk by chunk."""
        digest, size = hashlib.sha256(), 0
        with self._archive.open(_entry(name, compress), "w", force_zip64=True) as member:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                member.write(chunk)
        self._members[name] = {"sha256": digest.hexdigest(), "bytes": size}

    def finish(self) -> None:
        """Write the index and its digest, after all other members."""
        index = json.dumps({"schema": 1, "members": self._members}, indent=1).encode()
        self._archive.writestr(_entry(INDEX, True), index)
        self._archive.writestr(_entry(INDEX_DIGEST, False), hashlib.sha256(index).hexdigest())


def _entry(name: str, compress: bool) -> zipfile.ZipInfo:
    """Return an entry without a timestamp, so that the same content gives the same file."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    entry.external_attr = 0o644 << 16
    return entry


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write an archive that appears under its name, complete and flushed to disk, only if the context ends without an error.

    Raises:
        UsageError: the file already exists.
    """
    if path.exists():
        raise UsageError.of(wording.FILE_EXISTS, where=str(path))
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with staged.open("xb") as file:
            with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
                writer = Writer(archive)
                yield writer
                writer.finish()
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def unpack(path: Path, directory: Path, *, allowed: re.Pattern[str]) -> None:
    """Unpack every member into a folder and check it against the index.

    Args:
        path: the archive.
        directory: the folder for the members, under their names.
        allowed: pattern for the whole name of a member; it must not match a path outside `directory`.

    Raises:
        UsageError: the file does not exist.
        RepositoryError: the file is not such an archive, or is truncated, changed, or larger than `LIMIT`; the error names the
            member.
    """
    if not path.is_file():
        instead = near_files.missing(path, suffixes=(path.suffix,))
        raise UsageError.of(wording.FILE_MISSING, where=str(path), found=instead.found, meant=instead.meant)
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
        except _READ_ERRORS as error:
            raise RepositoryError.of(wording.NOT_AN_ARCHIVE, where=str(path), found=str(error)) from error
        members = _index(path, archive)
        entries = _entries(path, archive, members, allowed=allowed)
        _require_disk_space(path, entries, directory)
        for name, entry in entries.items():
            _extract(path, archive, entry, listed=members[name], target=directory / name)


def _damaged(path: Path, member: str, found: str) -> RepositoryError:
    return RepositoryError.of(wording.GOLDEN_FILE_DAMAGED, where=f"{path}: {member}", found=found)


def _index(path: Path, archive: zipfile.ZipFile) -> dict[str, dict[str, object]]:
    """Return the `sha256` and `bytes` of every member, by name."""
    content = _read(path, archive, INDEX)
    digest = _read(path, archive, INDEX_DIGEST).decode("ascii", "replace").strip()
    if hashlib.sha256(content).hexdigest() != digest:
        raise _damaged(path, INDEX, f"the index has another SHA-256 than {INDEX_DIGEST} says")
    try:
        index = bounded_files.parsed(content)
        members = {
            str(name): {"sha256": str(member["sha256"]), "bytes": int(member["bytes"])} for name, member in index["members"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _damaged(path, INDEX, repr(error)[:1000]) from error
    if index.get("schema") != 1:
        raise RepositoryError.of(wording.OTHER_SCHEMA, where=str(path), expected="schema 1", found=f"schema {index.get('schema')}")
    return members


def _read(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a small member as a whole."""
    try:
        with archive.open(name) as member:
            content = member.read(_INDEX_BYTES + 1)
    except (KeyError, *_READ_ERRORS) as error:
        raise _damaged(path, name, str(error).strip("'\"")) from error
    if len(content) > _INDEX_BYTES:
        raise _damaged(path, name, f"more than {_INDEX_BYTES >> 20} MiB")
    return content


def _entries(
    path: Path, archive: zipfile.ZipFile, members: dict[str, dict[str, object]], *, allowed: re.Pattern[str]
) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name; they must be exactly those that the index lists, each once, under allowed names."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        if entry.filename in entries:
            raise _damaged(path, entry.filename, "the member occurs twice")
        if entry.filename not in (INDEX, INDEX_DIGEST) and not allowed.fullmatch(entry.filename):
            raise _damaged(path, entry.filename, "a golden file has no member of this name")
        entries[entry.filename] = entry
    del entries[INDEX], entries[INDEX_DIGEST]
    for name in sorted(set(members) | set(entries)):
        if name not in entries:
            raise _damaged(path, name, "the member is missing")
        if name not in members:
            raise _damaged(path, name, "the member is not in the index")
        if entries[name].file_size != members[name]["bytes"]:
            raise _damaged(path, name, f"{entries[name].file_size} bytes instead of {members[name]['bytes']}")
    return entries


def _require_disk_space(path: Path, entries: dict[str, zipfile.ZipInfo], directory: Path) -> None:
    total = sum(entry.file_size for entry in entries.values())
    if total > LIMIT:
        raise RepositoryError.of(
            wording.TOO_LARGE, where=str(path), expected=f"at most {LIMIT >> 20} MiB", found=f"{total >> 20} MiB"
        )
    directory.mkdir(parents=True, exist_ok=True)
    if total > shutil.disk_usage(directory).free:
        raise RepositoryError.of(wording.NO_ROOM, where=str(directory), expected=f"{total >> 20} MiB")


def _extract(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, listed: dict[str, Any], target: Path) -> None:
    digest, left = hashlib.sha256(), listed["bytes"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        try:
            with archive.open(entry) as member:
                while left and (chunk := member.read(min(_CHUNK_BYTES, left))):
                    digest.update(chunk)
                    file.write(chunk)
                    left -= len(chunk)
                surplus = member.read(1)
        except _READ_ERRORS as error:
            raise _damaged(path, entry.filename, str(error)) from error
    if left or surplus or digest.hexdigest() != listed["sha256"]:
        raise _damaged(path, entry.filename, "the content has another SHA-256 than the index says")
