"""Text and JSON files that somebody else may have written: regular files, of a bounded size, not nested without end."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

LIMIT = 2**25
"""Bytes of a file. As JSON it takes at most about twenty times as many in memory."""
DEPTH = 100
"""Lists and mappings inside each other."""


def content(path: Path, *, limit: int = LIMIT) -> bytes:
    """A whole file.

    Raises:
        OSError: it cannot be read, is no regular file, such as a pipe, which might never end, or is larger than `limit` bytes.
    """
    with opened(path) as file:
        found = file.read(limit + 1)
    if len(found) > limit:
        raise OSError(f"it is larger than {limit / 2**20:g} MiB")
    return found


def opened(path: Path) -> IO[bytes]:
    """A regular file for reading; a pipe that nobody writes to would block. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
    return os.fdopen(descriptor, "rb")


def text(path: Path, *, limit: int = LIMIT) -> str:
    """A whole file of UTF-8. Raises OSError, ValueError; see `content`."""
    return content(path, limit=limit).decode("utf-8")


def json_of(path: Path, *, limit: int = LIMIT) -> Any:
    """What a JSON file holds. Raises OSError, ValueError; see `content` and `parsed`."""
    return parsed(content(path, limit=limit))


def parsed(text_or_bytes: str | bytes) -> Any:
    """What JSON text holds. Raises ValueError: it is no JSON, or lists and mappings lie more than `DEPTH` deep."""
    try:
        found = json.loads(text_or_bytes)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level: list[Any] = [found]
    for _ in range(DEPTH + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return found
    raise ValueError(f"it is nested more than {DEPTH} deep")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
