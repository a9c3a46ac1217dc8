"""The results of a benchmark as text, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tritonize.core.artifacts import to_json
from tritonize.core.load_results import BenchReport, Load
from tritonize.core.wrapping import wrapped

_MARK = {"passed": "PASSED", "failed": "FAILED", "not run": "NOT RUN", "passed here": "PASSED"}
_MOST_LISTED = 8


def lines(report: BenchReport) -> Iterator[str]:
    """Yield the lines of the whole report."""
    yield from (verdict(report), "", *figures(report, whole=True))


def verdict(report: BenchReport) -> str:
    """`PASSED  heart version 1: 11,790 requests, all within tolerance`."""
    sent = sum(each.sent for each in report.loads)
    wrong = sum(each.wrong for each in report.loads)
    outcome = f"{wrong:,} outside their tolerance" if wrong else "all within tolerance"
    if not wrong and report.verdict == "failed":
        outcome = "see below"
    return f"{_MARK[report.verdict]}  {report.model} version {report.version}: {sent:,} requests, {outcome}"


def figures(report: BenchReport, *, whole: bool) -> Iterator[str]:
    """Yield the latency of each load, what is wrong and the notes.

    Args:
        whole: also the server's own times, and what the figures mean.
    """
    names = ", ".join(f"{name} {version}" for name, version in report.proved_by.items())
    yield from wrapped(f"Measured over {report.transport} on {names or 'an unnamed server'}.")
    yield f"  {'load':<12}{'batch':>6}{'requests/s':>12}  {'mean':>8}{'p50':>8}{'p90':>8}{'p95':>8}{'p99':>8}  ms"
    for each in report.loads:
        yield _latency(each)
    if whole:
        yield from _server(report.loads)
        yield ""
    for finding in report.findings[:_MOST_LISTED]:
        yield from wrapped(f"✗ {finding.where}: {finding.what}{f': {finding.found}' if finding.found else ''}")
    failed = [each for each in report.gates if each.verdict == "failed"]
    for gate in failed[:_MOST_LISTED]:
        value = "" if gate.value is None else f" {gate.value:.3g}, limit {gate.limit or 0:g}"
        yield from wrapped(f"✗ output {gate.output}: {gate.gate}{value}")
    for row in report.details.get("perf_analyzer", ()):
        yield from wrapped(f"perf_analyzer, {row['load']}: {_analyzed(row['results'])}")
    if whole:
        yield from _meaning(report)
    for note in report.notes:
        yield from wrapped(note)


def _meaning(report: BenchReport) -> Iterator[str]:
    if any(each.server for each in report.loads):
        yield from wrapped("together: items that the model computed in one execution, on average.")
    yield from wrapped(
        f"{report.compared:,} different responses were compared with the golden set; equal bytes count as one. Figures are of the "
        "last three windows of each load."
    )
    if any(each.kind == "rate" for each in report.loads):
        yield from wrapped(f"Latency at a rate counts from the time at which a request was due ({report.arrivals} arrivals).")


def as_json(report: BenchReport) -> dict[str, object]:
    """The report as plain data; every load has its requests per second besides."""
    plain: dict[str, object] = to_json(report)
    plain["loads"] = [{**to_json(each), "requests_per_second": each.rate} for each in report.loads]
    return {"bench": plain}


def _latency(load: Load) -> str:
    mark = "✗" if load.wrong or load.errors or load.latency is None else "✓" if load.stable else "~"
    start = f"{mark} {load.label:<12}{load.batch_size or '–':>6}{load.rate:>12,.1f}  "
    if load.latency is None:
        return f"{start}no response"
    found = load.latency
    figures = "".join(f"{_milliseconds(each):>8}" for each in (found.mean, found.p50, found.p90, found.p95, found.p99))
    return f"{start}{figures}"


def _server(loads: Sequence[Load]) -> Iterator[str]:
    """The table of what the server said of itself and used."""
    if not any(each.server or each.usage for each in loads):
        return
    yield ""
    times = f"{'queue':>8}{'input':>8}{'compute':>9}{'output':>8}"
    yield f"  {'server, ms':<12}{'batch':>6}{times}{'together':>10}{'cores':>8}{'MiB':>8}"
    for each in loads:
        line = f"  {each.label:<12}{each.batch_size or '–':>6}"
        if each.server:
            own = each.server
            line += f"{_milliseconds(own.queue):>8}{_milliseconds(own.input):>8}{_milliseconds(own.compute):>9}"
            line += f"{_milliseconds(own.output):>8}{_together(each):>10}"
        else:
            line += f"{'–':>8}{'–':>8}{'–':>9}{'–':>8}{'–':>10}"
        if each.usage:
            line += f"{each.usage.cores:>8.2f}{each.usage.memory / 2**20:>8.0f}"
        yield line.rstrip()


def _analyzed(results: Mapping[str, float]) -> str:
    """The figures of perf_analyzer that have a counterpart here; its times are in microseconds."""
    times = {name.partition(" ")[0]: value / 1000 for name, value in results.items() if name.endswith(" latency")}
    figures = ", ".join(f"{name} {value:.2f} ms" for name, value in times.items())
    return f"{results.get('Inferences/Second', 0):.1f} samples/s, {figures}"


def _together(load: Load) -> str:
    """Items that the model computed in one execution, on average."""
    own = load.server
    return f"{own.inferences / own.executions:.1f}" if own and own.executions else "–"


def _milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.2f}" if value < 1000 else f"{value:.0f}"
