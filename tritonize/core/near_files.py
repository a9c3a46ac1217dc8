"""Find the file or folder that a person meant by a path that does not exist."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import suggestions
from tritonize.core.suggestions import Meant

MOST_ENTRIES = 5_000
"""Most entries of folders that a search below the current folder reads."""
_DEEPEST = 5
_LISTED, _FEW = 6, 3
_SKIPPED = {"node_modules", "__pycache__", "site-packages"}


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What there is instead of a path that does not exist."""

    found: str | None
    """What is in its place: the entries of its folder, or the folder that is missing. `None` if there is nothing to say."""
    meant: Meant | None


def missing(path: str | Path, *, suffixes: Collection[str] = (), folder: bool = False) -> Missing:
    """Say what there is in place of a path that does not exist.

    It looks into the path's folder, or its nearest existing parent, for similar names, and below the current folder for the same
    name. Names beginning with a dot are left out, links to folders are not followed, and the search is limited to `MOST_ENTRIES`.

    Args:
        path: the path, as the user wrote it.
        suffixes: the suffixes of files that would do, such as `.yaml`; all files if empty.
        folder: whether a folder is meant instead of a file.
    """
    wanted = Path(path)
    above, rest = _existing_parent(wanted)
    fits = _Fits(suffixes=frozenset(each.lower() for each in suffixes), folder=folder)
    near = [*_resolved(above, rest, fits), *_below(wanted, fits)]
    chosen = tuple(dict.fromkeys(_as_written(each, wanted) for each in near))[:3]
    meant = Meant(written=str(path), near=chosen) if chosen else None
    found = f"no folder {above / rest[0]}" if meant and len(rest) > 1 else _found(above, rest, fits)
    return Missing(found=found, meant=meant)


@dataclass(frozen=True, kw_only=True)
class _Fits:
    """Which entries of a folder would do."""

    suffixes: frozenset[str]
    folder: bool

    def __call__(self, entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith("."):
            return False
        if self.folder:
            return entry.is_dir()
        return entry.is_file() and (not self.suffixes or Path(entry.name).suffix.lower() in self.suffixes)


def _existing_parent(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the nearest existing folder above a path, and the parts of the path below it; at least one."""
    parts = path.parts
    for count in range(len(parts) - 1, -1, -1):
        above = Path(*parts[:count])
        if above.is_dir():
            return above, parts[count:]
    return Path(), parts


def _resolved(above: Path, rest: tuple[str, ...], fits: _Fits) -> Iterator[Path]:
    """Yield existing paths below a folder whose parts are near those that are written."""
    if not rest:
        return
    last = len(rest) == 1
    names = [entry.name for entry in _entries(above) if (fits(entry) if last else entry.is_dir())]
    for name in suggestions.near(rest[0], names):
        if last:
            yield above / name
        elif (exact := (above / name).joinpath(*rest[1:])).exists():
            yield exact
        else:
            yield from _resolved(above / name, rest[1:], fits)


def _below(wanted: Path, fits: _Fits) -> Iterator[Path]:
    """Yield paths below the current folder that have the wanted name, the nearest first."""
    waiting, read = deque([(Path(), 0)]), 0
    while waiting and read < MOST_ENTRIES:
        folder, depth = waiting.popleft()
        for entry in _entries(folder):
            read += 1
            if entry.name.casefold() == wanted.name.casefold() and fits(entry):
                yield folder / entry.name
            enters = depth < _DEEPEST and not entry.name.startswith(".") and entry.name not in _SKIPPED
            if enters and entry.is_dir(follow_symlinks=False):
                waiting.append((folder / entry.name, depth + 1))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder by name; empty if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _found(above: Path, rest: tuple[str, ...], fits: _Fits) -> str | None:
    where = "the current folder" if above == Path() else str(above)
    if len(rest) > 1:
        folders = [entry.name for entry in _entries(above) if entry.is_dir() and not entry.name.startswith(".")]
        return f"no folder {above / rest[0]}; {where} has {_listed(folders)}" if folders else f"no folder {above / rest[0]}"
    names = [entry.name for entry in _entries(above) if fits(entry)]
    if not names:
        few = fits.suffixes if len(fits.suffixes) <= _FEW else ()
        kind = "folder" if fits.folder else f"{' or '.join(sorted(few))} file".strip()
        return f"{where} has no {kind}" if few or fits.folder or not fits.suffixes else f"{where} has no such file"
    return f"{where} has {_listed(names)}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _as_written(found: Path, wanted: Path) -> str:
    """Return a path in the form in which the wanted one is written: absolute or relative."""
    return str(Path.cwd() / found) if wanted.is_absolute() else str(found)
