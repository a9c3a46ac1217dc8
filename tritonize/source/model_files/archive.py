"""Read a ZIP archive strictly: either this reader sees the same archive as PyTorch's (miniz), or it refuses the file.

Two readers can see two different archives in one file if it has duplicate names, names that differ only in case (miniz ignores
case), a second directory after the first, or a local header that disagrees with the directory. All of these are refused, so that
the checked contents are the loaded contents. PyTorch's writer creates none of them.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from tritonize.core.errors import UsageError
from tritonize.core.messages import security

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 0x0001 | 0x0020 | 0x0040 | 0x2000
_IN_64 = 0xFFFFFFFF
_NAME = re.compile(r"[^\x00-\x1f\x7f\\:]+")
_MAX_MEMBERS = 1_000_000
_MAX_DIRECTORY = 256 * 2**20
_MAX_DEFLATED = 256 * 2**20
"""Limit on the uncompressed bytes of all compressed members; or four times the file, if more. PyTorch compresses only code."""
_MAX_READ = 512 * 2**20
_CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class Member:
    """One entry of the archive."""

    name: str
    """Path below the archive's top folder, such as `models/model.json`."""
    offset: int
    """Position of the local header, in bytes."""
    size: int
    """Uncompressed bytes."""
    packed: int
    """Bytes in the file."""
    method: int
    checksum: int
    raw: bytes
    """The whole name as the file stores it."""


class Archive:
    """The members of an archive by name. They are all below one top folder."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self._length = file.seek(0, 2)
        self.members = self._named(self._directory())
        self._require_plain_layout()

    def refuse(self, reason: str, member: str | None = None) -> NoReturn:
        """Refuse the file as ambiguous.

        Raises:
            UsageError: always; `reason` says what is ambiguous.
        """
        where = f"{self.path}: {member}" if member else str(self.path)
        raise UsageError.of(security.ARCHIVE_AMBIGUOUS, where=where, found=reason)

    def read(self, name: str) -> bytes:
        """The contents of a member, checked against its size and checksum.

        Raises:
            UsageError: the member is damaged, or larger than the limit.
        """
        member = self.members[name]
        if member.size > _MAX_READ:
            raise UsageError.of(security.ARCHIVE_EXPANDS, where=f"{self.path}: {name}", found=f"{member.size:,} bytes")
        self._file.seek(self._payload(member))
        packed = self._file.read(member.packed)
        if member.method == _STORED:
            data = packed
        else:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size + 1)
            except zlib.error as error:
                self.refuse(f"a damaged member ({error})", name)
        if len(data) != member.size or zlib.crc32(data) != member.checksum:
            self.refuse("a member whose size or checksum differs from the directory", name)
        return data

    def _read_at(self, offset: int, count: int) -> bytes:
        if offset < 0 or offset + count > self._length:
            self.refuse("a directory that points outside the file")
        self._file.seek(offset)
        return self._file.read(count)

    def _end(self) -> tuple[int, int, int, int]:
        """Number of entries, size and offset of the directory, and the offset of the end record behind it."""
        end_at = self._length - _END.size
        mark, disk, first, here, entries, size, offset, comment = _END.unpack(self._read_at(end_at, _END.size))
        if mark != b"PK\x05\x06" or comment or disk or first or here != entries:
            self.refuse("an archive that does not end with its directory")
        locator_at = end_at - _LOCATOR64.size
        if locator_at < 0 or self._read_at(locator_at, 4) != b"PK\x06\x07":
            return entries, size, offset, end_at
        _, _, end64_at, _ = _LOCATOR64.unpack(self._read_at(locator_at, _LOCATOR64.size))
        if end64_at != locator_at - _END64.size:
            self.refuse("two directories")
        fields = _END64.unpack(self._read_at(end64_at, _END64.size))
        entries64, size64, offset64 = fields[7:10]
        for short, long, limit in ((entries, entries64, 0xFFFF), (size, size64, _IN_64), (offset, offset64, _IN_64)):
            if fields[0] != b"PK\x06\x06" or fields[6] != entries64 or short not in (long, limit):
                self.refuse("two directories that disagree")
        return entries64, size64, offset64, end64_at

    def _directory(self) -> Iterator[Member]:
        entries, size, offset, end = self._end()
        if offset + size != end or entries > _MAX_MEMBERS or size > _MAX_DIRECTORY:
            self.refuse("a directory that is not where its end record says, or is too large")
        self._directory_at = offset
        data, at = self._read_at(offset, size), 0
        for _ in range(entries):
            if at + _CENTRAL.size > size:
                self.refuse("a truncated directory")
            fields = _CENTRAL.unpack_from(data, at)
            mark, flags, method, checksum = fields[0], fields[3], fields[4], fields[7]
            lengths = fields[10:13]
            start = at + _CENTRAL.size
            raw = data[start : start + lengths[0]]
            extra = data[start + lengths[0] : start + lengths[0] + lengths[1]]
            at = start + sum(lengths)
            name = raw.decode(errors="replace")
            if mark != b"PK\x01\x02" or at > size or flags & _ENCRYPTED or method not in (_STORED, _DEFLATED) or fields[13]:
                self.refuse("a member that is encrypted, on another disk or compressed with another method", name)
            full, packed, header = self._sizes_and_offset(extra, fields[9], fields[8], offset=fields[16], name=name)
            yield Member(name=name, offset=header, size=full, packed=packed, method=method, checksum=checksum, raw=raw)
        if at != size:
            self.refuse("a directory with more bytes than its entries have")

    def _sizes_and_offset(self, extra: bytes, size: int, packed: int, *, offset: int, name: str) -> tuple[int, int, int]:
        """Uncompressed size, packed size and offset, from the extra field if they need 64 bits."""
        values, at, wide = [size, packed, offset], 0, b""
        while at + 4 <= len(extra):
            kind, length = struct.unpack_from("<2H", extra, at)
            if kind == 1:
                if wide:
                    self.refuse("a member with two sizes", name)
                wide = extra[at + 4 : at + 4 + length]
            at += 4 + length
        for index, value in enumerate(values):
            if value == _IN_64 and wide:
                if len(wide) < 8:
                    self.refuse("a member without a size", name)
                (values[index],), wide = struct.unpack_from("<Q", wide), wide[8:]
        return values[0], values[1], values[2]

    def _named(self, members: Iterator[Member]) -> dict[str, Member]:
        """The members by name below the top folder. Names that two readers can understand differently are refused."""
        named: dict[str, Member] = {}
        lower: set[str] = set()
        folders: set[str] = set()
        for member in members:
            folder, slash, name = member.name.partition("/")
            parts = name.rstrip("/").split("/")
            if not _NAME.fullmatch(member.name) or not slash or any(part in ("", ".", "..") for part in parts if name):
                self.refuse("a name that is invalid or leads out of the archive", member.name)
            folders.add(folder)
            if len(folders) > 1:
                self.refuse("two top folders; PyTorch reads one", member.name)
            if name.lower() in lower:
                self.refuse("two members of one name; PyTorch ignores case", member.name)
            lower.add(name.lower())
            named[name] = Member(**{**vars(member), "name": name})
        return named

    def _payload(self, member: Member) -> int:
        """The offset of a member's contents. The local header must agree with the directory."""
        fields = _LOCAL.unpack(self._read_at(member.offset, _LOCAL.size))
        name_length, extra_length = fields[9:11]
        raw = self._read_at(member.offset + _LOCAL.size, name_length)
        sizes = {(fields[7], member.packed), (fields[8], member.size)}
        agrees = all(local in (0, _IN_64, central) for local, central in sizes)
        if fields[0] != b"PK\x03\x04" or raw != member.raw or fields[3] != member.method or not agrees:
            self.refuse("a member whose local header differs from the directory", member.name)
        return int(member.offset + _LOCAL.size + name_length + extra_length)

    def _require_plain_layout(self) -> None:
        """Require that members do not overlap, and that their uncompressed size is within the limit."""
        end = 0
        expanded = 0
        for member in sorted(self.members.values(), key=lambda each: each.offset):
            if member.offset < end:
                self.refuse("members that overlap", member.name)
            end = self._payload(member) + member.packed
            if end > self._directory_at or (member.method == _STORED and member.packed != member.size):
                self.refuse("a member that is longer than the space for it", member.name)
            expanded += member.size if member.method == _DEFLATED else 0
        if expanded > max(_MAX_DEFLATED, 4 * self._length):
            found = f"{expanded:,} bytes from a file of {self._length:,}"
            raise UsageError.of(security.ARCHIVE_EXPANDS, where=str(self.path), found=found)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an archive.

    Raises:
        UsageError: the file is ambiguous, is not an archive, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield Archive(path, file)
    except OSError as error:
        raise UsageError.of(security.MODEL_UNREADABLE, where=str(path), found=error.strerror or str(error)) from error
