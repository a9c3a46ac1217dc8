"""The folder that a server serves: private, with links to the selected models, so that the server can load nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tritonize.core import bounded_files
from tritonize.core.errors import UsageError
from tritonize.core.messages import server as messages

_STEP = re.compile(r"""\bmodel_name\s*:\s*["']([^"'\n]+)["']""")


def link_entries(folder: Path, entries: Mapping[str, Path]) -> Path:
    """Fill an empty folder with symlinks.

    Args:
        folder: the folder that receives the links.
        entries: path relative to `folder`, such as `heart/1`, to the file or folder that the link points to.
    """
    for relative, source in entries.items():
        place = folder / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source.absolute())
    return folder


def model_folders(repository: Path, models: Sequence[str] | None) -> dict[str, Path]:
    """The folders of the named models and of the steps of ensembles among them, by model name.

    Args:
        repository: the model repository.
        models: names of models (all).

    Raises:
        UsageError: a name cannot be the name of a model.
    """
    if models is None:
        return {each.name: each for each in sorted(repository.iterdir()) if each.is_dir()}
    folders: dict[str, Path] = {}
    pending = list(models)
    while pending:
        name = pending.pop()
        if name in ("", ".", "..") or "/" in name or name.encode(errors="ignore").decode() != name:  # Triton requires UTF-8
            raise UsageError.of(messages.NO_MODEL_NAME, where=str(repository), found=name)
        directory = repository / name
        if name not in folders and directory.is_dir():  # a missing model is reported later, from the server's index
            folders[name] = directory
            pending += _steps(directory)
    return folders


def _steps(directory: Path) -> list[str]:
    """The models that an ensemble's configuration names."""
    try:
        text = bounded_files.text(directory / "config.pbtxt")
    except (OSError, ValueError):  # the server reports what is wrong with it
        return []
    return _STEP.findall(text)
