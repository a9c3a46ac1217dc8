"""Workflow commands of GitHub Actions, which show a message beside the code and in the summary of a run.

Source: docs.github.com, *Workflow commands for GitHub Actions*.
"""

from __future__ import annotations

from typing import Literal

Level = Literal["error", "warning", "notice"]


def command(level: Level, message: str, *, title: str, place: dict[str, str | int | None] | None = None) -> str:
    """One line that GitHub Actions reads from the output of a step.

    Args:
        message: the text; a line break in it is kept.
        place: `file`, `line` and `col`; what is `None` is left out.
    """
    properties = {**(place or {}), "title": title}
    written = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items() if value is not None)
    return f"::{level} {written}::{_escaped(message)}"


def _escaped(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _escaped(value).replace(":", "%3A").replace(",", "%2C")
