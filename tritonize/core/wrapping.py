"""Wrap text for the width of the output, so that paths and commands can be copied: neither is broken.

The width is 80 columns, as in a file. The command line sets it to the terminal's while it prints.
"""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Iterator

PLAIN = 80
"""Columns of a file, and of a terminal whose width is not known."""

_COMMAND = re.compile(r"`[^`]*`|(?<=: )(?:tritonize|pip|curl) .*$", re.MULTILINE)
"""A command in a sentence: in backticks, or at the end after a colon."""

_width = PLAIN


@contextlib.contextmanager
def at(columns: int) -> Iterator[None]:
    """Wrap at so many columns during the block."""
    global _width
    before, _width = _width, columns
    try:
        yield
    finally:
        _width = before


def width() -> int:
    """The columns at which text is wrapped."""
    return _width


def wrapped(text: str, *, first: str = "", rest: str = "  ") -> list[str]:
    """The lines of a text; none for an empty one. A word, a path or a command that is longer than a line is one line.

    Args:
        first: indent of the first line.
        rest: indent of the others.
    """
    kept = _COMMAND.sub(lambda found: found[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(
        kept, _width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]


def cut(line: str, columns: int | None = None) -> str:
    """A line of at most so many columns, cut between words; a word that takes most of it, such as a path, stays whole."""
    columns = columns or _width
    if len(line) <= columns:
        return line
    words = line[: columns - 1].rpartition(" ")[0].rstrip(" ,;:")
    if len(words) > columns // 2:
        return f"{words} …"
    end = line.find(" ", columns)
    return line if end < 0 else f"{line[:end]} …"
