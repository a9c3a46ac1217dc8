"""Text as a terminal may show it: what would move the cursor, change colours or turn the writing around is spelled out."""

from __future__ import annotations

import re

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def text(given: str) -> str:
    r"""The text with every control character but line ends and tabs as `\u001b`, which is the same character in JSON.

    Names of tensors, messages of models and answers of servers are somebody else's: an escape sequence in them could hide or
    forge a verdict. A lone surrogate, as in a file name that is no UTF-8, could not even be written.
    """
    return _HIDDEN.sub(_spelled, given)


def line(given: str) -> str:
    """The same for what has to stay one line: a name with a line end in it could forge the next one."""
    return text(given).replace("\n", "\\n").replace("\t", "\\t")


def _spelled(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"
