"""Read text and JSON files from untrusted sources: regular files only, with limits on size and nesting depth."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any  # Any: JSON data of any shape

LIMIT = 2**25
"""Largest file in bytes. Parsed JSON takes at most about 20 times as much memory."""
DEPTH = 100
"""Maximum nesting depth of lists and mappings."""


def content(path: Path, *, limit: int = LIMIT) -> bytes:
    """The content of a file.

    Raises:
        OSError: the file cannot be read, is not a regular file (a pipe might never end), or is larger than `limit` bytes.
    """
    with opened(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(f"it is larger than {limit / 2**20:g} MiB")
    return content


def opened(path: Path) -> IO[bytes]:
    """Open a regular file for reading; opening a pipe without a writer would block. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")
    return os.fdopen(descriptor, "rb")


def text(path: Path, *, limit: int = LIMIT) -> str:
    """The content of a UTF-8 file. Raises OSError, ValueError; see `content`."""
    return content(path, limit=limit).decode("utf-8")


def json_of(path: Path, *, limit: int = LIMIT) -> Any:
    """The value in a JSON file. Raises OSError, ValueError; see `content` and `parsed`."""
    return parsed(content(path, limit=limit))


def parsed(text_or_bytes: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError if it is not valid JSON or is nested more than `DEPTH` deep."""
    try:
        value = json.loads(text_or_bytes)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level: list[object] = [value]
    for _ in range(DEPTH + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return value
    raise ValueError(f"it is nested more than {DEPTH} deep")


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
