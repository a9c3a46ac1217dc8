"""The tables that a reader sees first: the stages merged, and what differs with the tolerance that it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tritonize.core.conclusion import places, reference_name
from tritonize.core.reports import Check, Finding, Report
from tritonize.report import tolerance_text
from tritonize.report.html import merged
from tritonize.report.html.tables import VERDICTS, Table, table, worst_element


def of_stages(report: Report, limit: int) -> Table:
    """The stage table in short: one row for the stages at which an output has the same error."""
    columns: dict[str, list[object]] = {name: [] for name in ("Stages", "Output", "Verdict", "Largest error", "Tolerance")}
    columns |= {name: [] for name in ("Compared", "Outside", "k", "SNR dB")}
    for group in sorted(merged.alike(merged.of(report)), key=lambda rows: rows[0].passed):
        first, tensors = group[0], [tensor for row in group for tensor in row.tensors]
        noise = sorted({row.snr for row in group if row.snr and row.snr != "equal"}, key=float)
        values = (
            merged.stages(row.stage for row in group),
            first.output,
            VERDICTS["passed" if first.passed else "failed"],
            "not comparable" if first.largest == math.inf else first.largest,
            f"rtol {tensors[0].rtol:g}, atol {tensors[0].atol:g}",
            len(tensors),
            sum(row.outside for row in group),
            max((row.k for row in group if row.k is not None), default=None),
            noise[0] if noise else "equal" if any(row.snr for row in group) else "",
        )
        for name, value in zip(columns, values, strict=True):
            columns[name].append(value)
    known = {name: values for name, values in columns.items() if any(value not in (None, "") for value in values)}
    rows = zip(*known.values(), strict=True)
    caption = f"Error against {reference_name(report)}; stages with the same error share a row"
    return table(caption, tuple(known), rows, limit=limit, verdict=2)


def of_findings(report: Report, limit: int) -> Table:
    """The findings; equal ones at several places share a row."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault((finding.stage, finding.what, finding.expected, finding.found), []).append(finding)
    rows = ((places(found), found[0].what, found[0].expected, found[0].found) for found in groups.values())
    return table("What is wrong", ("Where", "What", "Expected", "Found"), rows, limit=limit)


def of_differences(checks: Sequence[Check], limit: int) -> Table:
    """The outputs that differ; equal differences share a row."""
    groups: dict[tuple[str, str, str], list[Check]] = {}
    for check in checks:
        for tensor in check.tensors:
            if not tensor.passed:
                groups.setdefault((tensor.name, tensor.reason or "", worst_element(tensor)), []).append(check)
    rows = (
        (name, reason, worst, merged.stages(check.stage for check in found), len(found))
        for (name, reason, worst), found in groups.items()
    )
    head = ("Output", "Reason", "Worst element", "Stages", "Comparisons")
    return table("Outputs outside the tolerance", head, rows, limit=limit)


def of_tolerances(report: Report, limit: int) -> Table:
    """What the outputs that are outside their tolerance would need to pass."""
    rows = (
        (each.output, each.stage.heading, " ".join(line.strip() for line in list(tolerance_text.lines(each))[1:]))
        for each in report.tolerances
        if not each.passed
    )
    return table("The smallest tolerance that would pass", ("Output", "Stage", "Tolerance"), rows, limit=limit)
