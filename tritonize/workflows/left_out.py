"""What the proof of a published version left out, and what a verification leaves out of that proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any  # Any: JSON data of a manifest, which may come from elsewhere

from pydantic import ValidationError

from tritonize.core.artifacts import from_json
from tritonize.core.messages import verdict as wording
from tritonize.core.results import LeftOut
from tritonize.quality.golden_set import GoldenSet
from tritonize.triton.weight import PROFILES, ProfileName


def proven(manifest: Mapping[str, Any]) -> tuple[LeftOut, ...]:
    """What the proof left out, by the version's manifest; empty for a version of an earlier release."""
    try:
        return from_json(tuple[LeftOut, ...], manifest.get("left_out", []))
    except ValidationError:  # written by somebody else
        return ()


def of_verification(golden: GoldenSet, *, samples: int, profile: ProfileName) -> Iterator[LeftOut]:
    """What a verification leaves out.

    Args:
        golden: the samples that it sends.
        samples: the number of samples, with edge cases, that the version was proven with; 0 if unknown.
        profile: how many requests it sends.
    """
    kept = golden.samples.files.count
    if kept < samples:
        name = wording.SAMPLES_NOT_KEPT.text(count=f"{samples - kept:,}", total=f"{samples:,}")
        yield LeftOut(part="samples", name=name, why=wording.NOT_KEPT.text())
    if PROFILES[profile].leaves_out:
        yield LeftOut(part="requests", name=wording.MOST_REQUESTS.text(), why=wording.BY_PROFILE.text(profile=profile))


def samples_of(manifest: Mapping[str, Any]) -> int:
    """The number of samples, with edge cases, that a version was proven with; 0 if its manifest does not say."""
    found = manifest.get("samples")
    numbers = [found.get(key) for key in ("count", "edge_cases")] if isinstance(found, dict) else []
    return sum(each for each in numbers if isinstance(each, int))
