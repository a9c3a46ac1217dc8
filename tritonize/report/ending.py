"""How a command ends for one Report: verdict, one reason, one next step, and where the report is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.conclusion import conclude
from tritonize.core.messages import repository as repository_wording
from tritonize.core.messages import verdict as wording
from tritonize.core.reports import Report
from tritonize.core.results import PASSED, in_words

_NEXT = "Next: "


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The last lines of a command about one model."""

    verdict: str
    """`PASSED`, `FAILED`, `NOT RUN`, …"""
    subject: str
    """The model, with its version if it has one."""
    reason: str
    """One sentence; empty for a model that is up to date."""
    next_step: str
    """A command, or a sentence with commands in backticks; empty if there is nothing to do."""
    place: Path | None
    """The version's directory."""
    published: bool
    page: Path | None
    """The HTML report that the command wrote."""
    open_command: str
    """The command that opens `page`; empty without one."""
    served: str = ""
    """That another version stays the one served; empty if this one is."""

    @property
    def line(self) -> str:
        """`PASSED heart version 1: 44 comparisons, all within tolerance`."""
        said = "; ".join(filter(None, (self.reason, self.served)))
        return f"{self.verdict} {self.subject}{f': {said}' if said else ''}"


def ending(report: Report, command: Sequence[str], *, page: Path | None, verbose: bool = False) -> Ending:
    """How a command ends for a report.

    Args:
        command: the command's name and its arguments, for a next step that repeats it.
        page: the HTML report that the command wrote.
        verbose: whether it prints all that it knows.
    """
    version = f" version {report.version}" if report.version is not None else ""
    up_to_date = bool(report.details.get("up_to_date"))
    page = None if page is None else _short(page)
    pinned = report.details.get("pinned")
    return Ending(
        verdict="UP TO DATE" if up_to_date else in_words(report.verdict).upper(),
        subject=f"{report.model}{version}",
        reason="" if up_to_date else conclude(report).sentence,
        next_step=_next_step(report, command, hint="" if page or verbose else wording.NEXT_VERBOSE.text()),
        place=None if report.location is None else _short(report.location),
        published=report.published,
        page=page,
        open_command=f"tritonize report {shlex.quote(str(page.parent.parent))}" if page else "",
        served=repository_wording.STILL_SERVED.text(pinned=pinned) if pinned is not None else "",
    )


def _short(path: Path) -> Path:
    """The path from the current folder, if it lies below it."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else Path(relative)


def _next_step(report: Report, command: Sequence[str], *, hint: str) -> str:
    if report.verdict in PASSED:
        return _after_success(report, command)
    if found := conclude(report).next_step:
        return found
    return next((note.removeprefix(_NEXT) for note in report.notes if note.startswith(_NEXT)), hint)


def _after_success(report: Report, command: Sequence[str]) -> str:
    if report.verdict == "passed quick" and "--quick" in command:  # the full proof
        return shlex.join(["tritonize", *(word for word in command if word not in ("--quick", "--json"))])
    if report.verdict == "passed quick" and report.command == "verify":
        return wording.NEXT_FULL_PROOF.text()
    here = report.command == "run" or (report.command == "verify" and not _of_a_running_server(command))
    if report.published and report.location is not None and report.command == "run" and report.details.get("pinned") is not None:
        place = str(_short(report.location.parent.parent))
        return shlex.join(["tritonize", "promote", place, report.model, str(report.version)])
    if report.published and report.location is not None and here:
        return shlex.join(["tritonize", "serve", str(_short(report.location.parent.parent))])
    if report.command == "build" and len(command) > 1 and command[0] == "build":
        return shlex.join(["tritonize", "run", *(word for word in command[1:] if word != "--json")])
    return ""


def _of_a_running_server(command: Sequence[str]) -> bool:
    return any(word.partition("=")[0] in ("--url", "--golden") for word in command)
