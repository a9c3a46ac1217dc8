"""Print text that may contain names or messages from outside, such as models and servers, as the terminal can show it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from enum import Enum
from typing import Literal, TextIO

import typer

from tritonize.core import printable, wrapping

NARROWEST, WIDEST = 80, 200
"""Columns that text is made for: a narrower terminal wraps it, and longer lines are hard to read."""


Verbosity = Literal["quiet", "normal", "verbose"]

_verbosity: Verbosity = "normal"


def set_verbosity(verbosity: Verbosity) -> None:
    """Set how much commands print; the options `--quiet` and `--verbose` call this."""
    global _verbosity
    _verbosity = verbosity


def verbosity() -> Verbosity:
    """How much commands print."""
    return _verbosity


class Style(Enum):
    """How a text looks, where colours are shown."""

    GOOD = typer.colors.GREEN
    BAD = typer.colors.RED
    OPEN = typer.colors.YELLOW
    HEADING = None
    """Bold, in the terminal's own colour."""


def _stream(*, err: bool) -> TextIO:
    return sys.stderr if err else sys.stdout


def columns(*, err: bool = False) -> int:
    """The columns of the terminal that a stream goes to; 80 for a file or a pipe. The variable COLUMNS overrides the terminal."""
    stream = _stream(err=err)
    if not stream.isatty():
        return NARROWEST
    given = os.environ.get("COLUMNS", "")
    try:
        return (int(given) if given.isdecimal() else 0) or os.get_terminal_size(stream.fileno()).columns or NARROWEST
    except OSError:
        return NARROWEST


def width(*, err: bool = False) -> int:
    """The columns that text is wrapped at, from 80 to 200."""
    return min(max(columns(err=err), NARROWEST), WIDEST)


def coloured(*, err: bool = False) -> bool:
    """Whether to print colours: on a terminal, unless NO_COLOR is set or TERM is `dumb`; FORCE_COLOR prints them anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "") not in ("", "0"):
        return True
    return _stream(err=err).isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def live(*, err: bool = True) -> bool:
    """Whether a line may be erased and written again: on a terminal that can do it, and not in a CI job (variable CI)."""
    in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    return _stream(err=err).isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown") and not in_ci


def say(text: str = "", *, err: bool = False, nl: bool = True, style: Style | None = None) -> None:
    """Print text with its control characters escaped; line ends and tabs stay."""
    shown, colours = printable.text(text), coloured(err=err)
    if style is not None and colours:
        shown = typer.style(shown, fg=style.value, bold=True)
    typer.echo(shown, err=err, nl=nl, color=colours)


def say_wrapped(text: str, *, err: bool = False) -> None:
    """Print a paragraph, wrapped at the width of its stream."""
    with wrapping.at(width(err=err)):
        say("\n".join(wrapping.wrapped(printable.line(text))), err=err)


def heading(text: str) -> str:
    """The heading of a section of a help, which stands out on a terminal."""
    return typer.style(text, bold=True, fg=typer.colors.GREEN) if coloured() else text


def say_lines(lines: Iterable[str]) -> None:
    """Print lines with all control characters escaped, line ends included."""
    typer.echo("\n".join(map(printable.line, lines)))


def erase_line() -> None:
    """Erase the last line of stderr, where `live` is true."""
    typer.echo("\r\x1b[K", err=True, nl=False, color=True)
