"""What GitHub Actions shows of Reports: one annotation for each model that did not pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonize.core import github_commands, printable
from tritonize.core.conclusion import conclude
from tritonize.core.reports import Report
from tritonize.core.results import PASSED, in_words

MOST_REASONS = 5
"""Reasons in one annotation."""


def lines(reports: Sequence[Report]) -> Iterator[str]:
    """Yield a workflow command for each report: an error for a failed one, a warning for what was not run or not proven."""
    for report in reports:
        if report.verdict in PASSED:
            continue
        conclusion = conclude(report)
        reasons = conclusion.reasons[:MOST_REASONS] or (conclusion.sentence,)
        version = f" version {report.version}" if report.version is not None else ""
        title = f"{in_words(report.verdict).upper()} {printable.line(report.model)}{version}"
        text = "\n".join(printable.line(reason) for reason in reasons)
        yield github_commands.command("error" if report.verdict == "failed" else "warning", text, title=title)
