"""The one place that prints what is not ours alone."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from tritonize.core import printable


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print, without the control characters that names and messages may hold."""
    typer.echo(printable.text(text), err=err, nl=nl)


def say_lines(lines: Iterable[str]) -> None:
    """Print lines, each of which stays one."""
    typer.echo("\n".join(map(printable.line, lines)))
