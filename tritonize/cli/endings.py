"""Print reports at the end of a command: the table, then verdict, reason, next step and where the report is."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonize import repository
from tritonize.cli import global_options, step_summary, terminal
from tritonize.cli.terminal import Style, say
from tritonize.core import printable
from tritonize.core.wrapping import wrapped
from tritonize.report import brief, ending, overview, text

if TYPE_CHECKING:
    from tritonize.core.reports import Report
    from tritonize.report.ending import Ending

_STYLES = {
    **dict.fromkeys(("PASSED", "PASSED HERE", "UP TO DATE", "AGREE"), Style.GOOD),
    **dict.fromkeys(("FAILED", "DIFFER"), Style.BAD),
}


def print_reports(reports: Sequence[Report], *, as_json: bool) -> None:
    """Print reports on stdout, as text or as one JSON document, and write the summary of a GitHub Actions run."""
    command, verbose = global_options.split(sys.argv[1:]).command, terminal.verbosity() == "verbose"
    ends = [ending.ending(each, command, page=_page(each), verbose=verbose) for each in reports]
    step_summary.append(lambda: "\n".join(map(_summary, reports, ends)))
    if as_json:
        say(json.dumps({"reports": [text.as_json(each) for each in reports]}, indent=2, ensure_ascii=False))
        return
    for each, end in zip(reports, ends, strict=True):
        _print(each, end)
    if len(reports) > 1 and terminal.verbosity() != "quiet":
        say(f"\n{overview.overview(reports)}", nl=False)


def _summary(report: Report, end: Ending) -> str:
    from tritonize.report import github_summary

    return github_summary.of_report(report, end)


def _page(report: Report) -> Path | None:
    """The HTML report in the version's evidence; `None` for a command that writes none."""
    if report.location is None or report.command not in ("run", "build"):
        return None
    page = repository.evidence_of(report.location) / "report.html"
    return page if page.is_file() else None


def _print(report: Report, end: Ending) -> None:
    verbosity = terminal.verbosity()
    if verbosity == "quiet":
        verdict(end.verdict, end.line)
        return
    if end.reason:
        print_figures(report)
    say()
    verdict(end.verdict, end.line)
    if not end.reason:  # up to date
        say("\n".join(line for note in report.notes for line in wrapped(printable.line(note), first="  ")))
    if end.place is not None and report.command in ("run", "build"):
        say(f"{'Published' if end.published else 'Kept in'}: {end.place}")
    if end.next_step:
        say("\n".join(wrapped(printable.line(f"Next: {end.next_step}"))))
    if end.page is not None:
        say(f"Report: {end.page}\n  open it: {end.open_command}")


def print_figures(report: Report) -> None:
    """Print what the verdict follows from: in short, or with `--verbose` in full; nothing with `--quiet`."""
    verbosity = terminal.verbosity()
    lines = [] if verbosity == "quiet" else list(text.lines(report) if verbosity == "verbose" else brief.lines(report))
    lines = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]  # no two blank lines in a row
    if lines:
        say("".join(f"\n{printable.line(line)}" for line in lines))
        if verbosity == "normal" and (more := brief.more(report)):
            say(f"  {more}")


def verdict(word: str, line: str) -> None:
    """Print the line that starts with a verdict, with the verdict in its colour."""
    say(word, nl=False, style=_STYLES.get(word, Style.OPEN))
    say("\n".join(wrapped(printable.line(line))).removeprefix(word))
