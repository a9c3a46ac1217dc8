"""What a server serves: a private folder that holds just that, as links, so that nothing else of a repository can be loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tritonize.core import bounded_files
from tritonize.core.errors import UsageError
from tritonize.core.messages import server as wording

_STEP = re.compile(r"""\bmodel_name\s*:\s*["']([^"'\n]+)["']""")


def lay_out(folder: Path, entries: Mapping[str, Path]) -> Path:
    """Fill an empty folder with links.

    Args:
        folder: where the entries go.
        entries: what each leads to, a file or a folder, by its path relative to the folder, such as `heart/1`.
    """
    for relative, source in entries.items():
        place = folder / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source.absolute())
    return folder


def of_models(repository: Path, models: Sequence[str] | None) -> dict[str, Path]:
    """The folders of the named models, and of those that an ensemble among them consists of; of all models by default.

    Raises:
        UsageError: a model is not there by its name.
    """
    if models is None:
        return {each.name: each for each in sorted(repository.iterdir()) if each.is_dir()}
    found: dict[str, Path] = {}
    open_ends = list(models)
    while open_ends:
        name = open_ends.pop()
        if name in ("", ".", "..") or "/" in name or name.encode(errors="ignore").decode() != name:  # Triton's answers are UTF-8
            raise UsageError.of(wording.NO_MODEL_NAME, where=str(repository), found=name)
        directory = repository / name
        if name not in found and directory.is_dir():  # the server is asked for the others too, and says that it has none
            found[name] = directory
            open_ends += _steps(directory)
    return found


def _steps(directory: Path) -> list[str]:
    """The models that an ensemble's configuration names."""
    try:
        text = bounded_files.text(directory / "config.pbtxt")
    except (OSError, ValueError):  # the server will say what is wrong with it
        return []
    return _STEP.findall(text)
