"""Names that Kubernetes accepts, derived from names of models: a model's name may have any length and any letters."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

LONGEST = 40
"""Longest name of a deployment: it leaves room for suffixes below the 52 characters of a CronJob's name."""
LONGEST_JOB = 52
"""Longest name of a CronJob: Kubernetes appends 11 characters for each of its Jobs."""
_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_DIGITS = 8


def is_label(name: str, longest: int = LONGEST) -> bool:
    """Whether a name is valid for every object: a DNS label (RFC 1035), which begins with a letter as a Service's name must."""
    return len(name) <= longest and _LABEL.fullmatch(name) is not None


def labels(names: Iterable[str], longest: int = LONGEST) -> dict[str, str]:
    """Return a DNS label for each name; different names have different labels.

    A name that is a label keeps it. Any other gets a part of its SHA-256, because `a_b` and `a.b` would otherwise be the same.
    """
    unique = sorted(set(names))
    found = {name: name for name in unique if is_label(name, longest)}
    taken = set(found.values())
    for name in unique:
        if name not in found:
            found[name] = _derived(name, taken, longest)
            taken.add(found[name])
    return found


def _derived(name: str, taken: set[str], longest: int) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not plain[:1].isalpha():
        plain = f"m-{plain}"
    for digits in range(_DIGITS, len(digest)):
        label = f"{plain[: longest - digits - 1].strip('-')}-{digest[:digits]}"
        if label not in taken:
            return label
    raise AssertionError(f"no label for {name!r}")
