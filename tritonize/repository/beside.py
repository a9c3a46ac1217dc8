"""The files beside a model's versions, which all versions share: configuration, labels, and those in folders.

Triton reads named variants of the configuration from `configs/`, inputs for its warmup from `warmup/`, and states from
`initial_state/`. A manifest lists every file under its path inside the model's directory, such as `warmup/image.bin`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from tritonize.core.reports import Finding
from tritonize.repository import file_hashes

CONFIG = "config.pbtxt"
VARIANTS = "configs"
"""Folder of the configurations that `tritonserver --model-config-name` chooses from."""
WARMUP = "warmup"
"""Folder of the inputs that a configuration's `model_warmup` names."""
NO_FILE = {"link": "is a symbolic link, and links are not followed", "other": "is not a regular file"}


def walk(directory: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield every entry of a model's directory that is not in a version: name in the directory, path, and the kind.

    The kind is `file`, `link` or `other`. Links are not followed, and folders are not entries.
    """
    for path in sorted(directory.iterdir()):
        if path.is_symlink():
            yield path.name, path, "link"
        elif not path.is_dir():
            yield path.name, path, "file" if path.is_file() else "other"
        elif not is_version(path):
            for inner, kind in file_hashes.walk(path):
                yield inner.relative_to(directory).as_posix(), inner, kind


def files(directory: Path) -> dict[str, Path]:
    """Return the regular files among these entries: name in the directory to path."""
    return {name: path for name, path, kind in walk(directory) if kind == "file"}


def unlisted(directory: Path, listed: Collection[str]) -> Iterator[Finding]:
    """Find files and folders beside the versions that no version's manifest lists; Triton may read them.

    A folder of such files, or an empty one, is one finding.

    Args:
        directory: the model's directory.
        listed: the paths that the manifests list.
    """
    folders = {name.partition("/")[0] for name in listed}
    inside_folders = {path.name for path in directory.iterdir() if path.is_dir() and not path.is_symlink() and not is_version(path)}
    unknown = inside_folders - folders
    for name, _, kind in walk(directory):
        folder, inside, _ = name.partition("/")
        if inside and folder in unknown:
            continue
        if kind == "other" or (kind == "link" and name not in listed):
            yield Finding(where=f"{directory.name}/{name}", what=NO_FILE[kind])
        elif name not in listed:
            yield Finding(where=f"{directory.name}/{name}", what="no version's manifest lists the file")
    for folder in sorted(unknown):
        yield Finding(where=f"{directory.name}/{folder}", what="the folder is not a version, and no manifest lists it")


def is_shared(name: str) -> bool:
    """Return whether a path inside a model's directory is that of a file beside the versions."""
    first, *inner = name.split("/")
    return {"", ".", ".."}.isdisjoint((first, *inner)) and not (inner and _is_number(first))


def is_config(name: str) -> bool:
    """Return whether a path inside a model's directory is that of a configuration: the usual one, or a named variant."""
    return name == CONFIG or (name.startswith(f"{VARIANTS}/") and name.endswith(".pbtxt") and name.count("/") == 1)


def variant(name: str) -> str:
    """Return the path of a named variant inside a model's directory."""
    return f"{VARIANTS}/{name}.pbtxt"


def is_version(entry: Path) -> bool:
    """Return whether Triton treats an entry as a version: a directory with a number from 0, without leading zeros, as its name."""
    return _is_number(entry.name) and entry.is_dir()


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and (name == "0" or not name.startswith("0"))
