"""Progress of a running command on stderr: one line per finished stage and, on a terminal, a line for the current step."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from tritonize.cli.terminal import say
from tritonize.core.stages import action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritonize.core.artifacts import Report, Stage
    from tritonize.core.stages import Label

WIDTH = 80
_MARKS = {"passed": ("✓", typer.colors.GREEN), "failed": ("✗", typer.colors.RED), "not run": ("–", typer.colors.YELLOW)}


class Display:
    """Prints the stages and the progress of a run."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()

    def on_stage(self, name: Label, stage: Stage | None) -> None:
        """Print a stage that begins (`stage` is `None`) or has ended."""
        title = action(name)
        if stage is None:
            self._transient(f"… {title}")
            return
        mark, colour = _MARKS[stage.verdict]
        line = f" {title:<22}{stage.seconds:>7.1f} s  {stage.note}"
        self.clear()
        typer.secho(mark, fg=colour, nl=False, err=True)
        say(_fitted(line), err=True)

    def on_model(self, name: str) -> None:
        """Print the name of the model that the next stages are of."""
        self.clear()
        say(name, err=True)

    def on_progress(self, text: str) -> None:
        """Print the current step of a long stage."""
        if self._terminal:
            self._transient(f"… {text}")
        else:
            say(text, err=True)

    def _transient(self, text: str) -> None:
        if self._terminal:
            self.clear()
            say(text[: WIDTH - 1], err=True, nl=False)

    def clear(self) -> None:
        """Erase the line of the current step."""
        if self._terminal:
            typer.echo("\r\x1b[K", err=True, nl=False)


def _fitted(line: str) -> str:
    """A line that fits the width beside the mark, cut between words where one does not take most of it."""
    if len(line) < WIDTH:
        return line
    cut = line[: WIDTH - 2]
    words = cut.rpartition(" ")[0] if line[len(cut)] != " " else cut
    return f"{words.rstrip(' ,;:')} …" if len(words) > WIDTH // 2 else f"{cut}…"


@contextmanager
def display() -> Iterator[Display]:
    """A display that erases its current line at the end, also after an error."""
    created = Display()
    try:
        yield created
    finally:
        created.clear()


def _up_to_date(report: Report) -> str | None:
    """The text about a model that was not run, since it is up to date; `None` for any other report."""
    from textwrap import fill

    if not report.details.get("up_to_date"):
        return None
    notes = "".join(fill(f"  {note}", WIDTH, subsequent_indent="  ", break_on_hyphens=False) + "\n" for note in report.notes)
    return f"UP TO DATE {report.model} version {report.version}\n  published: {report.location}\n{notes}"


def finish(reports: Sequence[Report], *, as_json: bool, allow_unproven: bool = False, only_proven: bool = False) -> None:
    """Print the reports on stdout and set the exit code.

    Args:
        as_json: print one JSON document.
        allow_unproven: exit with 0 although a required check could not run.
        only_proven: leave models without evidence out of the exit code, unless no other is left.

    Raises:
        typer.Exit: the worst exit code of the reports, if it is not 0 (`core/exit_codes.py`).
    """
    from tritonize.core import exit_codes
    from tritonize.report import text as report_text

    if as_json:
        import json

        say(json.dumps({"reports": [report_text.as_json(each) for each in reports]}, indent=2, ensure_ascii=False))
    else:
        for each in reports:
            say(f"\n{_up_to_date(each) or report_text.as_text(each)}", nl=False)
        if any(each.verdict == "not proven" for each in reports) and len(reports) > 1:
            from tritonize.report import overview

            say(f"\n{overview.overview(reports)}", nl=False)
    judged = [each for each in reports if not only_proven or each.verdict != "not proven"] or reports
    code = exit_codes.worst(exit_codes.of(each, allow_unproven=allow_unproven) for each in judged)
    if code:
        raise typer.Exit(code)
