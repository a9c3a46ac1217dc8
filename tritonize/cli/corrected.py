"""Correct a name in the command line that was typed, so that the command can be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tritonize.core.suggestions import Meant


def command(meant: Meant, words: Sequence[str]) -> str | None:
    """Return the command with the nearest existing name in place of the wrong one; `None` if the name is not in the command.

    Args:
        meant: the name as it was written, and the existing names.
        words: the arguments of the program.
    """
    right = meant.near[0]
    corrected = [_corrected(word, meant.written, right) for word in words]
    if sum(new != word for new, word in zip(corrected, words, strict=True)) != 1:
        return None
    return f"tritonize {shlex.join(corrected)}"


def _corrected(word: str, wrong: str, right: str) -> str:
    if word == wrong:
        return right
    option, equals, value = word.partition("=")
    return f"{option}={right}" if equals and option.startswith("--") and value == wrong else word
