"""Find the name that a person meant: files, models, keys, flags and values all follow the same rules."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_CUTOFF = 0.7
"""Smallest similarity at which a name is suggested, from 0 to 1: `tolerence` and `tolerance` have 0.89, `shape` and `scale` 0.6."""
_CLOSE = 0.1
"""Names are suggested together if their similarity differs by at most this."""
_SWAPPED, _PREFIX, _WORDS = 0.95, 0.9, 0.85
_SHORTEST = 3
"""Fewest letters of a prefix or of a word by which a longer name is found."""


@dataclass(frozen=True, kw_only=True)
class Meant:
    """A name that does not exist, and the existing names that may be meant by it."""

    written: str
    near: tuple[str, ...]
    """The best first; never empty."""

    def __str__(self) -> str:
        return " or ".join(self.near)


def meant(written: str, known: Iterable[str]) -> Meant | None:
    """Return the known names that may be meant; `None` if none is near."""
    found = near(written, known)
    return Meant(written=written, near=tuple(found)) if found else None


def near(written: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the known names that are most like the written one, the best first; empty if none is near.

    Case and the separators `-`, `_`, `.` and space do not count. A name is near if one of the two starts with the other, if it has
    all words of the written one, or if few letters differ.
    """
    plain = _plain(written)
    if not plain:
        return []
    matcher = difflib.SequenceMatcher(a="", b=plain, autojunk=False)
    scores = {}
    for name in known:
        score = _likeness(matcher, written, name)
        if score >= _CUTOFF:
            scores[name] = score
    best = max(scores.values(), default=0.0)
    # A name that is the same but for its form, or for a letter of twenty, stands alone.
    least = best if best in (1.0, _SWAPPED) else best - _CLOSE
    return [name for name, score in sorted(scores.items(), key=lambda item: -item[1]) if score >= least][:most]


def same(one: str, other: str) -> bool:
    """Return whether two names differ at most in case and separators: `dynamicBatching` and `dynamic_batching`."""
    return _plain(one) == _plain(other)


def hint(written: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?`, or a list of the known names if none is near."""
    names = list(known)
    found = near(written, names)
    return f"did you mean {' or '.join(map(repr, found))}?" if found else f"known: {', '.join(names)}"


def abbreviated(written: str, known: Iterable[str]) -> list[str]:
    """Return the known names whose letters include those of the written one in the same order: `ort` for `onnxruntime`."""
    pattern = re.compile("".join(rf"{re.escape(letter)}.*" for letter in _plain(written)) or "$.")
    return [name for name in known if pattern.match(_plain(name))]


def _likeness(matcher: difflib.SequenceMatcher[str], written: str, name: str) -> float:
    plain, words = _plain(name), set(_words(written))
    written = _plain(written)
    if plain == written:
        return 1.0
    shorter, longer = sorted((plain, written), key=len)
    whole = len(shorter) >= _SHORTEST and (shorter == written or 2 * len(shorter) >= len(longer))
    score = _PREFIX if whole and longer.startswith(shorter) else 0.0
    if len(written) > _SHORTEST and words <= set(_words(name)):
        score = max(score, _WORDS)
    matcher.set_seq1(plain)
    if matcher.real_quick_ratio() < _CUTOFF or matcher.quick_ratio() < _CUTOFF:
        return score
    if len(plain) > _SHORTEST and sorted(plain) == sorted(written):  # letters changed places, which difflib counts twice
        score = max(score, _SWAPPED)
    return max(score, min(matcher.ratio(), _SWAPPED))


def _plain(name: str) -> str:
    return re.sub(r"[-_.\s]", "", unicodedata.normalize("NFKC", name).casefold())


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[-_.\s]+", unicodedata.normalize("NFKC", name).casefold()) if word]
