"""For test suites: `assert_proven` fails with the reasons of a report."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tritonize.core.conclusion import conclude
from tritonize.core.messages import testing as wording
from tritonize.core.reports import Report
from tritonize.core.results import PROVEN, Verdict

__all__ = ["assert_proven"]

REASONS = 10
"""Largest number of reasons of a report in a failure."""
_UNSERVED = ("build", "check")
"""Commands that compare no response of a server."""


def assert_proven(
    reports: Report | Iterable[Report], *, allow_quick: bool = False, allow_unproven: bool = False, allow_unserved: bool = False
) -> None:
    """Fail unless every report is of a proven version.

    >>> from tritonize import Report
    >>> from tritonize.testing import assert_proven
    >>> assert_proven(Report(command="run", model="heart", version=1, verdict="passed"))
    >>> assert_proven(Report(command="run", model="heart", version=1, verdict="passed quick"))
    Traceback (most recent call last):
        ...
    AssertionError: heart version 1: passed quick; allow_quick=True accepts a quick run, which is no full proof

    Args:
        reports: a report, or the reports that `run` or `verify` returned. None at all is a failure.
        allow_quick: accept quick runs.
        allow_unproven: accept versions that could not be proven on this machine (*not run*).
        allow_unserved: accept reports of `build` and `compare_models`, which start no server.

    Raises:
        AssertionError: a report has another verdict; its message has the reasons.
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    accepted: set[Verdict] = set(PROVEN)
    if allow_quick:
        accepted.add("passed quick")
    if allow_unproven:
        accepted.add("not run")
    given = (reports,) if isinstance(reports, Report) else tuple(reports)
    problems = [problem for each in given if (problem := _problem(each, accepted, unserved=allow_unserved))]
    if not given:
        problems = [wording.NO_REPORT.text()]
    if problems:
        raise AssertionError("\n".join(problems))


def _problem(report: Report, accepted: Collection[Verdict], *, unserved: bool) -> str:
    """Return why a report is no proof; empty if it is one."""
    version = f" version {report.version}" if report.version is not None else ""
    title = f"{report.model}{version}: {report.verdict}"
    if report.verdict == "passed quick" and report.verdict not in accepted:
        return f"{title}; {wording.QUICK.text()}"
    if report.verdict not in accepted:
        found = conclude(report)
        reasons = list(found.reasons) or [found.sentence]
        more = [f"… and {len(reasons) - REASONS} more"] if len(reasons) > REASONS else []
        place = [wording.PLACE.text(where=report.location)] if report.location is not None else []
        return "\n  ".join((title, *reasons[:REASONS], *more, *place))
    if report.command in _UNSERVED and not unserved:
        return f"{title}; {wording.UNSERVED.text(command=report.command)}"
    return ""
