"""Make text safe to print: escape characters that move the cursor, change colours or reverse the writing direction."""

from __future__ import annotations

import re

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def text(given: str) -> str:
    r"""Escape every control character except line ends and tabs, such as `\u001b`. In JSON, the escape means the same character.

    Tensor names, error texts of models and responses of servers are untrusted: an escape sequence in them could hide or forge a
    verdict. A lone surrogate, as in a file name that is not UTF-8, cannot be encoded at all.
    """
    return _HIDDEN.sub(_spelled, given)


def line(given: str) -> str:
    """Escape line ends and tabs too, so that a name cannot forge a line of its own."""
    return text(given).replace("\n", "\\n").replace("\t", "\\t")


def _spelled(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
