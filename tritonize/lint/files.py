"""Look at files of a repository that may be anybody's: nothing raises for a name or an entry that the filesystem refuses."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

ENTRIES_LIMIT = 100_000
"""Most entries of one directory that are looked at."""
_NAMES = 10


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a directory."""

    name: str
    kind: str
    """`directory`, `file`, `other`, `missing` (a link to nothing) or `unreadable`."""
    outside: bool
    """Whether it is a link that leads out of the repository."""


def entries(directory: Path, root: Path) -> list[Entry]:
    """The entries of a directory, sorted by name.

    Args:
        directory: the directory to list.
        root: the repository, without symbolic links in its path.

    Raises:
        OSError: the directory cannot be read.
    """
    found = []
    with os.scandir(directory) as scanned:
        for number, each in enumerate(scanned):
            if number >= ENTRIES_LIMIT:
                raise OSError(f"it has more than {ENTRIES_LIMIT:,} entries")
            path = Path(each.path)
            found.append(Entry(name=each.name, kind=_kind(path), outside=each.is_symlink() and leads_outside(path, root)))
    return sorted(found, key=lambda each: each.name)


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "missing"
    except (OSError, ValueError):
        return "unreadable"
    return "directory" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def is_file(path: Path) -> bool:
    """Whether a path leads to a regular file; also false for a name that no file can have."""
    return _kind(path) == "file"


def is_directory(path: Path) -> bool:
    """Whether a path leads to a directory."""
    return _kind(path) == "directory"


def exists(path: Path) -> bool:
    """Whether a path leads to anything."""
    return _kind(path) in ("file", "directory", "other")


def size(path: Path) -> int:
    """Bytes of a file; 0 if it cannot be told."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def leads_outside(path: Path, root: Path) -> bool:
    """Whether a path leads out of the repository once all links are followed; also if that cannot be told."""
    try:
        return not Path(os.path.realpath(path)).is_relative_to(root)
    except OSError:
        return True
    except ValueError:  # a name with a zero byte, which leads nowhere
        return False


def listed(names: Collection[str]) -> str:
    """Names in a sentence, in quotes; the first ten and the number of the others."""
    text = ", ".join(map(repr, itertools.islice(names, _NAMES)))
    return (f"{text} and {len(names) - _NAMES:,} more" if len(names) > _NAMES else text) or "none"
