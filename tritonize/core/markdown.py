"""Text for GitHub-flavoured Markdown. Names and messages from outside cannot add markup, links or images."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from tritonize.core import printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#!|~@:])")


def escaped(text: str) -> str:
    """A text as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", html.escape(printable.line(text), quote=False))


def code(text: str) -> str:
    """A path, a name or a command as code. HTML, since Markdown's own form cannot hold every character."""
    return f"<code>{escaped(text)}</code>"


def sentence(text: str) -> str:
    """A sentence whose commands in backticks become code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a single backtick belongs to the text
        return escaped(text)
    return "".join(code(part) if place % 2 else escaped(part) for place, part in enumerate(parts))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0) -> list[str]:
    """The lines of a table; the cells are escaped already.

    Args:
        right: number of columns at the end that are aligned to the right.
    """
    marks = ["---"] * (len(heads) - right) + ["---:"] * right
    return [_row(heads), _row(marks), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
