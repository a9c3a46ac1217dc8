"""Versions that quick runs published: a note wherever they are served, copied or deployed, and their verdict when verified."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tritonize import repository
from tritonize.core.errors import RepositoryError
from tritonize.core.messages import verdict as wording
from tritonize.core.results import PASSED, Verdict


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
