"""The HTML page of a benchmark: latency, throughput and times inside the server as charts with their tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonize.core.load_results import BenchReport, Load
from tritonize.report.html import page, tables
from tritonize.report.html import svg as svg_charts
from tritonize.report.html.figures import Figure
from tritonize.report.html.head import Head
from tritonize.report.html.page import Section
from tritonize.report.html.svg import Bar
from tritonize.report.html.tables import Table

_ROWS = 500


def render(report: BenchReport) -> str:
    """The page as one HTML file without references to others; the same report gives the same text."""
    sent, wrong = sum(each.sent for each in report.loads), sum(each.wrong for each in report.loads)
    errors = sum(each.errors for each in report.loads)
    outcome = f"{wrong:,} of {sent:,} responses were outside their tolerance, {errors:,} requests got an error"
    sentence = outcome if wrong or errors else f"{sent:,} requests were sent; every response is within its tolerance"
    if report.verdict == "not run":
        sentence = "The model ran for none of the requests of a load"
    elif report.verdict == "failed" and not wrong and not errors:
        sentence = "A rule of the golden set failed under load"
    top = Head(
        title=f"Benchmark of {report.model} version {report.version}",
        verdict=report.verdict,
        sentence=f"{sentence}.",
        facts=tuple(_facts(report)),
    )
    return page.filled(top, tuple(_sections(report)))


def _facts(report: BenchReport) -> Iterator[tuple[str, str]]:
    yield "Measured on", ", ".join(f"{name} {version}" for name, version in report.proved_by.items()) or "an unnamed server"
    yield "Protocol", report.transport
    yield "Compared", f"{report.compared} different responses; equal bytes count as one"
    for each in report.findings:
        yield "Failed", f"{each.where}: {each.what}{f' ({each.found})' if each.found else ''}"


def _sections(report: BenchReport) -> Iterator[Section]:
    figures = [_latency(report.loads), _throughput(report.loads)]
    if any(each.server for each in report.loads):
        figures.append(_inside([each for each in report.loads if each.server]))
    yield Section(
        anchor="loads",
        title="Loads",
        text=("Figures are of the last three windows of each load; ~ marks a load that was not stable.",),
        figures=tuple(figures),
    )
    if report.notes:
        yield Section(anchor="notes", title="Notes", text=report.notes)
    failed = [each for each in report.gates if each.verdict == "failed"]
    if failed:
        yield Section(anchor="rules", title="Rules that failed", tables=(tables.of_gates(failed, _ROWS),))
    if own := _perf_analyzer(report):
        yield Section(anchor="perf-analyzer", title="perf_analyzer", tables=(own,))


def _label(load: Load) -> str:
    return f"{'' if load.stable else '~ '}{load.label}{f', batch {load.batch_size}' if load.batch_size else ''}"


def _latency(loads: Sequence[Load]) -> Figure:
    rows, cells = [], []
    for each in loads:
        if each.latency is None:
            continue
        found = each.latency
        bad = bool(each.wrong or each.errors)
        text = f"{found.p50 * 1000:.2f} ms, p99 {found.p99 * 1000:.2f}"
        rows.append(Bar(label=_label(each), value=found.p50 * 1000, upper=found.p99 * 1000, text=text, bad=bad))
        values = (found.mean, found.p50, found.p90, found.p95, found.p99, found.largest)
        cells.append((_label(each), *(f"{value * 1000:.3f}" for value in values)))
    title = "Latency"
    about = "Median of a request in milliseconds, with a line to the 99th percentile."
    head = ("Load", "Mean ms", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "Largest ms")
    return _figure(title, about, rows, head=head, cells=cells)


def _throughput(loads: Sequence[Load]) -> Figure:
    rows = [Bar(label=_label(each), value=each.rate, text=f"{each.rate:.1f}/s") for each in loads]
    cells = [
        (_label(each), f"{each.rate:.2f}", f"{each.rate * max(1, each.batch_size):.2f}", each.sent, each.wrong, each.errors)
        for each in loads
    ]
    head = ("Load", "Requests/s", "Samples/s", "Sent", "Wrong", "Errors")
    return _figure("Throughput", "Requests per second that got a response.", rows, head=head, cells=cells)


def _inside(loads: Sequence[Load]) -> Figure:
    rows, cells = [], []
    for each in loads:
        own, usage = each.server, each.usage
        if own is None:
            continue
        computing, whole = own.compute * 1000, (own.queue + own.input + own.compute + own.output) * 1000
        rows.append(Bar(label=_label(each), value=whole, second=computing, text=f"{whole:.3f} ms, computing {computing:.3f}"))
        together = f"{own.inferences / own.executions:.2f}" if own.executions else "–"
        used = (f"{usage.cores:.2f}", f"{usage.memory / 2**20:.0f}") if usage else ("–", "–")
        times = (own.queue, own.input, own.compute, own.output)
        cells.append((_label(each), *(f"{value * 1000:.4f}" for value in times), together, own.hits, *used))
    about = "Mean time of a request inside the server, by its own statistics: the upper bar in all, the lower one computing."
    head = ("Load", "Queue ms", "Input ms", "Compute ms", "Output ms", "Items together", "From cache", "Cores", "MiB")
    return _figure("Inside the server", about, rows, head=head, cells=cells)


def _figure(title: str, about: str, rows: Sequence[Bar], *, head: Sequence[str], cells: Sequence[Sequence[object]]) -> Figure:
    svg = svg_charts.bars(rows, name=title, about=about)
    return Figure(title=title, text=about, svg=svg, table=tables.table(f"{title}, as numbers", head, cells, limit=_ROWS))


def _perf_analyzer(report: BenchReport) -> Table | None:
    found = report.details.get("perf_analyzer", ())
    if not found:
        return None
    head = ("Load", *found[0]["results"])
    rows = [(each["load"], *(f"{value:g}" for value in each["results"].values())) for each in found]
    return tables.table("What perf_analyzer measured; times in microseconds", head, rows, limit=_ROWS)
