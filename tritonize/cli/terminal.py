"""Print text that may contain names or messages from outside, such as models and servers."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from tritonize.core import printable


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text with its control characters escaped; line ends and tabs stay."""
    typer.echo(printable.text(text), err=err, nl=nl)


def say_lines(lines: Iterable[str]) -> None:
    """Print lines with all control characters escaped, line ends included."""
    typer.echo("\n".join(map(printable.line, lines)))
