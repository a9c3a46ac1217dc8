"""The summary of a command on the page of a GitHub Actions run, as Markdown: verdict, reason, table and next step."""

from __future__ import annotations

from collections.abc import Sequence

from tritonize.core.conclusion import conclude
from tritonize.core.errors import TritonizeError
from tritonize.core.load_results import BenchReport
from tritonize.core.markdown import code, escaped, sentence, table
from tritonize.core.reports import Report
from tritonize.report import brief
from tritonize.report.ending import Ending

MOST_ROWS = 20
"""Rows of a table."""
_MOST_REASONS = 5


def of_report(report: Report, end: Ending) -> str:
    """The summary of a run or a verification of one model."""
    lines = [f"### {escaped(f'{end.verdict} {end.subject}')}", ""]
    reasons = conclude(report).reasons
    if len(reasons) > 1:
        lines += [*(f"- {sentence(each)}" for each in reasons[:_MOST_REASONS]), ""]
        if len(reasons) > _MOST_REASONS:
            lines.insert(-1, f"- and {len(reasons) - _MOST_REASONS} more reasons in the report")
    elif end.reason:
        lines += [sentence(end.reason), ""]
    rows = sorted(brief.rows(report), key=lambda row: row.passed)
    if rows:
        cells = [
            (escaped(row.title), code(row.output), f"{len(row.tensors):,}", row.error, f"{row.outside:,}")
            for row in rows[:MOST_ROWS]
        ]
        lines += [*table(("Stage", "Output", "Compared", "Max abs error", "Outside"), cells, right=3), ""]
        if len(rows) > MOST_ROWS:
            lines += [f"{len(rows) - MOST_ROWS} more rows are in the report.", ""]
    return "\n".join([*lines, *_ends(end)])


def _ends(end: Ending) -> list[str]:
    lines = []
    if end.next_step:
        step = (
            sentence(end.next_step) if "`" in end.next_step or not end.next_step.startswith("tritonize ") else code(end.next_step)
        )
        lines += [f"Next: {step}", ""]
    if end.page is not None:
        lines += [f"Report: {code(str(end.page))}", ""]
    return lines


def of_bench(report: BenchReport) -> str:
    """The summary of a benchmark: one row per load."""
    title = f"{report.verdict.upper()} {report.model} version {report.version}: benchmark over {report.transport}"
    cells = [
        (
            escaped(load.label),
            str(load.batch_size or "–"),
            f"{load.rate:,.1f}",
            *([f"{1000 * each:.2f}" for each in (load.latency.p50, load.latency.p99)] if load.latency else ("–", "–")),
            f"{load.wrong:,}",
        )
        for load in report.loads[:MOST_ROWS]
    ]
    heads = ("Load", "Batch", "Requests/s", "p50, ms", "p99, ms", "Outside")
    findings = [f"- {escaped(f'{each.where}: {each.what}')}" for each in report.findings[:_MOST_REASONS]]
    return "\n".join([f"### {escaped(title)}", "", *findings, *([""] if findings else []), *table(heads, cells, right=5), ""])


def of_lines(title: str, lines: Sequence[str]) -> str:
    """A summary of a title and a list, for commands without a Report."""
    shown = [f"- {sentence(each)}" for each in lines[:MOST_ROWS]]
    if len(lines) > MOST_ROWS:
        shown.append(f"- and {len(lines) - MOST_ROWS} more")
    return "\n".join([f"### {escaped(title)}", "", *shown, ""])


def of_error(command: str, error: TritonizeError) -> str:
    """The summary of a command that ended with an error."""
    parts = {"Where": error.where, "Expected": error.expected, "Found": error.found, "Next": error.next_step}
    return of_lines(f"ERROR tritonize {command}", [error.what, *(f"{name}: {text}" for name, text in parts.items() if text)])
