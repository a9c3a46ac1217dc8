"""Versions of quick runs: a note where they are served, copied or deployed, their verdict, and what they may not replace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tritonize import repository
from tritonize.core.errors import RepositoryError
from tritonize.core.messages import verdict as wording
from tritonize.core.results import PASSED, PROVEN, Verdict
from tritonize.triton import model_config
from tritonize.triton.protocol import ModelConfig
from tritonize.workflows import checked_copy


def verdict(found: Verdict, known: Mapping[str, object]) -> Verdict:
    """The verdict of a verification: no full proof if the version's evidence is that of a quick run.

    Args:
        found: the verdict of the comparisons.
        known: the version's manifest, or what a golden file says of its origin.
    """
    return "passed quick" if found in PASSED and ("quick" in known or known.get("verdict") == "passed quick") else found


def notes(place: Path, model: str, versions: Sequence[int]) -> tuple[str, ...]:
    """A sentence for each of the versions that a quick run published."""
    found: list[str] = []
    for version in versions:
        with contextlib.suppress(RepositoryError):  # without evidence, or damaged, which is reported elsewhere
            found += note(model, version, repository.read_manifest(place / model / str(version)))
    return tuple(found)


def note(model: str, version: int, known: Mapping[str, object]) -> Iterator[str]:
    """Yield a sentence if a manifest says that a quick run published its version."""
    if (quick := known.get("quick")) is not None:
        listed = quick.get("left_out") if isinstance(quick, dict) else None
        left_out = ", ".join(map(str, listed)) if isinstance(listed, list) else wording.A_PART.text()
        yield wording.QUICK_VERSION.text(model=model, version=version, left_out=left_out)


def replaced(place: Path, model: str, version: int, *, config: ModelConfig) -> int | None:
    """The version with a full proof that clients get now, and would no longer get if a new version were published.

    Args:
        version: the new version.
        config: its configuration.

    Returns:
        `None` if no such version is served, or if the repository would not serve the new one.
    """
    served = checked_copy.served_versions(place, model)
    if not served or repository.pinned(place / model) is not None or not model_config.versions_served(config, [version]):
        return None
    with contextlib.suppress(RepositoryError):  # without evidence, or damaged: no proof to protect
        return max(served) if repository.read_manifest(place / model / str(max(served))).get("verdict") in PROVEN else None
    return None
