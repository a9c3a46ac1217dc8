"""What a person sees while a command works: one line per stage on stderr, a spinner only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from tritonize.cli.terminal import say
from tritonize.core.errors import EXIT_DIFFERS, UnprovenError
from tritonize.core.stages import action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritonize.core.artifacts import Report, Stage
    from tritonize.core.stages import Label

WIDTH = 80
_MARKS = {"passed": ("✓", typer.colors.GREEN), "failed": ("✗", typer.colors.RED), "not run": ("–", typer.colors.YELLOW)}


class Display:
    """Listens to a run."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()

    def on_stage(self, name: Label, stage: Stage | None) -> None:
        """A stage began (`None`) or ended."""
        title = action(name)
        if stage is None:
            self._transient(f"… {title}")
            return
        mark, colour = _MARKS[stage.verdict]
        line = f" {title:<22}{stage.seconds:>7.1f} s  {stage.note}"
        self.clear()
        typer.secho(mark, fg=colour, nl=False, err=True)
        say(line if len(line) < WIDTH else f"{line[: WIDTH - 2]}…", err=True)

    def on_progress(self, text: str) -> None:
        """What a long step is doing now."""
        if self._terminal:
            self._transient(f"… {text}")
        else:
            say(text, err=True)

    def _transient(self, text: str) -> None:
        if self._terminal:
            self.clear()
            say(text[: WIDTH - 1], err=True, nl=False)

    def clear(self) -> None:
        """Remove the unfinished line."""
        if self._terminal:
            typer.echo("\r\x1b[K", err=True, nl=False)


@contextmanager
def display() -> Iterator[Display]:
    """A display whose unfinished line is gone at the end, also after an error."""
    shown = Display()
    try:
        yield shown
    finally:
        shown.clear()


def finish(reports: Sequence[Report], *, as_json: bool, allow_unproven: bool = False) -> None:
    """Print the reports on stdout; leave with exit code 1 where one did not pass, 3 where a proof could not run."""
    from tritonize.report import text as report_text

    if as_json:
        import json

        say(json.dumps({"reports": [report_text.as_json(each) for each in reports]}, indent=2, ensure_ascii=False))
    else:
        for each in reports:
            say(f"\n{report_text.as_text(each)}", nl=False)
    errors = [each.details["error"]["exit_code"] for each in reports if "error" in each.details]
    if errors:
        raise typer.Exit(errors[0])
    if any(each.verdict == "failed" for each in reports):
        raise typer.Exit(EXIT_DIFFERS)
    if any(each.verdict == "not run" for each in reports) and not allow_unproven:
        raise typer.Exit(UnprovenError.exit_code)
