"""The version directories that a command is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def directories(repository: Path, models: Sequence[str], version: int | None) -> dict[str, Path]:
    """The directory of one version of each model: the named version, or the newest; of the named models, or of all.

    Raises:
        UsageError: there is no such repository, model or version.
    """
    from tritonize import repository as repositories
    from tritonize.core.errors import UsageError

    known = repositories.models(repository)
    unknown = [name for name in models if name not in known]
    if unknown:
        raise UsageError("The repository has no such model.", found=", ".join(unknown), expected=", ".join(known))
    found = {}
    for name in models or known:
        present = repositories.versions(repository, name)
        wanted = version if version is not None else max(present, default=None)
        if wanted is None or wanted not in present:
            raise UsageError(
                f"The model {name!r} has no such version.",
                where=str(repository / name),
                expected=", ".join(map(str, present)) or "at least one version",
                found=str(wanted),
            )
        found[name] = repository / name / str(wanted)
    return found


def has_display() -> bool:
    """Whether a browser could show something here; without a display Python would start one in the terminal."""
    import os

    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
