"""A report as a small HTML fragment for a notebook: bounded, escaped, without scripts and without styles of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

ROWS = 20
"""Largest number of rows of a table."""
LONGEST = 200
"""Largest number of characters of a text."""
_COLOURS = {"passed": "#1a7f37", "passed here": "#1a7f37", "failed": "#cf222e"}
_OTHER = "#9a6700"


def fragment(title: str, verdict: str, lines: Sequence[str], *, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the HTML of a verdict, some lines of text and a table. All texts are escaped and cut.

    Args:
        title: what the verdict is about.
        verdict: shown in its colour.
        lines: further texts, at most `ROWS`.
        header: the titles of the table's columns.
        rows: its rows, at most `ROWS`; no table without any.
    """
    colour = _COLOURS.get(verdict, _OTHER)
    parts = [f'<div><strong style="color:{colour}">{_text(verdict.upper())}</strong> {_text(title)}']
    parts += [f"<div>{_text(line)}</div>" for line in _most(lines)]
    if rows:
        cells = "".join(f"<th>{_text(each)}</th>" for each in header)
        parts.append(f"<table><thead><tr>{cells}</tr></thead><tbody>")
        parts += [f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows[:ROWS]]
        parts.append("</tbody></table>")
        if len(rows) > ROWS:
            parts.append(f"<div>… and {len(rows) - ROWS} more rows</div>")
    return "".join((*parts, "</div>"))


def _most(lines: Sequence[str]) -> list[str]:
    more = [f"… and {len(lines) - ROWS} more"] if len(lines) > ROWS else []
    return [*lines[:ROWS], *more]


def _text(text: str) -> str:
    return escape(cut(text, LONGEST))


def cut(text: str, longest: int) -> str:
    """Return a text of at most so many characters: of a longer one the start and the end."""
    if len(text) <= longest:
        return text
    start = longest * 2 // 3
    return f"{text[:start]}…{text[len(text) - (longest - start - 1) :]}"
