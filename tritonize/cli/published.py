"""Find the version directories that a command reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def directories(repository: Path, models: Sequence[str], version: int | None) -> dict[str, Path]:
    """The directory of one version of each model.

    Args:
        repository: the model repository.
        models: names of the models; all models if empty.
        version: the version; the newest if `None`.

    Raises:
        UsageError: the repository, a model or a version does not exist.
    """
    from tritonize import repository as repositories

    known = repositories.models(repository)
    unknown = [name for name in models if name not in known]
    if unknown:
        raise repositories.no_model(unknown, known, where=str(repository))
    directories = {}
    for name in models or known:
        present = repositories.versions(repository, name)
        wanted = version if version is not None else max(present, default=None)
        if wanted is None or wanted not in present:
            raise repositories.no_version(repository / name, present, wanted)
        directories[name] = repository / name / str(wanted)
    return directories


def has_display() -> bool:
    """Whether a graphical browser can open here. Without a display, Python would start a text browser in the terminal."""
    from tritonize.core import environment

    return bool(environment.DISPLAY.value() or environment.WAYLAND.value())
