"""Append a summary to the page of a GitHub Actions run: to the file that the variable GITHUB_STEP_SUMMARY names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tritonize.cli.terminal import say
from tritonize.core import printable

VARIABLE = "GITHUB_STEP_SUMMARY"
MOST_BYTES = 1 << 20
"""GitHub refuses a larger file of one step, with all that earlier commands wrote (docs.github.com, *Workflow commands*)."""
_MOST_OF_ONE = 64 << 10


def append(summary: Callable[[], str]) -> None:
    """Append a summary, if the variable is set. A file that cannot be written is a warning: the command's result stays.

    Args:
        summary: makes the Markdown; it is called only if there is a file for it.
    """
    place = os.environ.get(VARIABLE)
    if not place:
        return
    try:
        data = f"{printable.text(summary())}\n".encode()
        if len(data) > _MOST_OF_ONE:
            data = data[:_MOST_OF_ONE].rpartition(b"\n")[0] + b"\n\nCut, since it is too long.\n\n"
        path = Path(place)
        if (path.stat().st_size if path.exists() else 0) + len(data) > MOST_BYTES:
            say(f"Warning: {VARIABLE} has no room for a summary of this command.", err=True)
            return
        with path.open("ab") as file:
            file.write(data)
    except OSError as error:
        say(f"Warning: no summary was written to {VARIABLE}: {error.strerror or error}", err=True)
