"""Draw the times of the requests of a verification, by transport and batch size."""

from __future__ import annotations

from tritonize.core.reports import Report
from tritonize.core.stages import StageName
from tritonize.quality import latency as request_times
from tritonize.report.html import svg as svg_charts
from tritonize.report.html.figures import MAX_ROWS, Figure
from tritonize.report.html.svg import Bar
from tritonize.report.html.tables import table

MAX_BARS = 12
"""Bars of the chart; the table has all."""


def of(report: Report) -> Figure | None:
    """The time of a request by transport and batch size; `None` if no server ran."""
    measured = request_times.of(report.checks)
    if not measured:
        return None
    rows, cells = [], []
    for each in measured:
        label = _batch(each.stage, each.batch_size)
        rows.append(
            Bar(
                label=label,
                value=each.median_ms,
                upper=each.p95_ms,
                text=f"{_milliseconds(each.median_ms)} ms, p95 {_milliseconds(each.p95_ms)}",
            )
        )
        times = (each.median_ms, each.p95_ms, each.least_ms, each.most_ms)
        cells.append((label, each.requests, *(f"{value:.2f}" for value in times)))
    title = "Latency per transport"
    text = "Median of the requests of this proof, with a line to the 95th percentile. It is measured on the machine of the proof"
    text += " while responses are compared, so it is no benchmark of a deployment."
    if len(rows) > MAX_BARS:
        text += f" The first {MAX_BARS} of {len(rows)}; the table has all."
    svg = svg_charts.bars(rows[:MAX_BARS], name=title, about=text)
    head = ("Transport and batch size", "Requests", "Median ms", "p95 ms", "Least ms", "Most ms")
    return Figure(title=title, text=text, svg=svg, table=table(f"{title}, as numbers", head, cells, limit=MAX_ROWS))


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _batch(stage: StageName, size: int) -> str:
    return f"{stage.heading}, {f'batch {size}' if size else 'no batch'}"
