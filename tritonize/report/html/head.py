"""The head of the page: the verdict, what to do, what was compared with what, the error against its limit, and one picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # Any: JSON data, as a Report has it

from tritonize.core.conclusion import Conclusion, counted, excused, left_out_reasons
from tritonize.core.figures import Figures
from tritonize.core.reports import Report
from tritonize.core.results import Metrics, Verdict
from tritonize.core.stages import StageName
from tritonize.report.html import merged
from tritonize.report.html import svg as svg_charts
from tritonize.report.html.figures import Figure
from tritonize.report.html.merged import Compared
from tritonize.report.html.slice_panes import SliceFigure
from tritonize.report.html.svg import Bar, Limit
from tritonize.report.html.tables import number, table

MAX_OUTPUTS = 6
"""Outputs in the drawing of the errors; the table of the stages has all."""
_MAX_REASONS = 3
"""Further reasons of a failure that the head lists."""
_HASH = 12
"""Characters of a SHA-256 in the head; the details have all."""
_KINDS = {
    "torchscript": "TorchScript",
    "exported_program": "an ExportedProgram",
    "factory": "a Python factory",
    "onnx": "an ONNX file",
    "python": "a Python function",
}
K = (
    "The *noise-floor ratio (k)* is the largest error against PyTorch in float64, divided by the error that PyTorch itself has in "
    "the precision of the model. At k = 1 the served model is as exact as PyTorch."
).replace("*", "")


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the first screen of a page shows."""

    title: str
    verdict: Verdict
    sentence: str
    next_step: str = ""
    further: tuple[str, ...] = ()
    """Reasons of a failure after the first, which is the sentence."""
    facts: tuple[tuple[str, str], ...] = ()
    drawing: Figure | None = None
    slices: SliceFigure | None = None
    picture: Figure | None = None
    """Beside the drawing, if there are no slices."""


def further(conclusion: Conclusion) -> Iterator[str]:
    """Yield the reasons of a failure that follow the first."""
    reasons = conclusion.reasons[1:]
    yield from reasons[:_MAX_REASONS]
    if len(reasons) > _MAX_REASONS:
        yield f"{len(reasons) - _MAX_REASONS} more, see below"


def facts(report: Report, conclusion: Conclusion, figures: Figures) -> Iterator[tuple[str, str]]:
    """Yield the list of facts: source, samples, machine, server, comparisons, and what did not run."""
    yield from _source(report.details.get("source") or {})
    yield from _samples(report.details.get("samples") or {})
    measured = report.details.get("measured") or {}
    if measured:
        yield "Measured", f"{_date(measured['at'])} on {measured['machine']}"
    if report.proved_by:
        yield "Proved by", ", ".join(f"{name} {version}" for name, version in report.proved_by.items())
    else:
        yield "Proved by", "no server ran: this does not prove what a server returns"
    yield "Comparisons", f"{conclusion.comparisons} compared, {conclusion.outside} of them outside the tolerance"
    if agreement := _agreement(report, figures.stage):
        yield "Agreement", agreement
    for name, note in conclusion.not_run:
        yield "Not run", f"{name}: {note}" if note else name
    for text in excused(report.gates):
        yield "Summation", text
    for reason in left_out_reasons(report):
        yield "Left out", reason.replace(": left out: ", ": ", 1)
    if report.location is not None:
        yield ("Published as" if report.published else "Lies in"), str(report.location)


def _source(source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not source:
        return
    hashes = tuple((source.get("sha256") or {}).values())
    text = f"`{source.get('location')}`"
    if kind := _KINDS.get(str(source.get("kind"))):
        text += f", {kind}"
    if hashes:
        text += f", SHA-256 `{str(hashes[0])[:_HASH]}…`"
        text += f" and {counted(len(hashes) - 1, 'more file')}" if len(hashes) > 1 else ""
    yield "Source", text


def _samples(samples: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not samples:
        return
    count = counted(int(samples["count"]), "sample")
    text = f"{count} of random noise ({samples['origin']})" if samples.get("random") else f"{count} {samples['origin']}"
    if edges := int(samples.get("edge_cases") or 0):
        text += f", and {counted(edges, 'edge case')}"
    yield "Samples", f"{text}. No real input was compared" if samples.get("random") else text


def _date(at: str) -> str:
    """`2026-11-30 16:33 UTC` of an ISO 8601 time in UTC."""
    return f"{at[:16].replace('T', ' ')} UTC"


def _agreement(report: Report, stage: StageName | None) -> str:
    """What the outputs' kinds say about the stage nearest to the client."""
    several = len({row.output for row in report.rows}) > 1
    found = ((row.output, ", ".join(_of_kind(row.metrics))) for row in report.rows if row.stage == stage)
    named = [f"{output}: {text}" if several else text for output, text in found if text]
    return "; ".join(named[:MAX_OUTPUTS])


def _of_kind(metrics: Metrics) -> Iterator[str]:
    if metrics.top1 is not None:
        yield f"the same highest class in {100 * metrics.top1:.4g} % of the rows"
    if metrics.dice_min is not None:
        yield f"smallest Dice {metrics.dice_min:.6g}"
    if metrics.unmatched_expected is not None:
        yield f"{metrics.unmatched_expected + (metrics.unmatched_found or 0)} unmatched detections"


def errors(report: Report) -> Figure | None:
    """The largest error of each output, and its k, as a part of what is allowed; `None` if nothing was compared."""
    found = _by_nearness(report)
    if not found:
        return None
    bars = [bar for name, worst, k in found[:MAX_OUTPUTS] for bar in (_error_bar(name, worst), _k_bar(name, k)) if bar]
    title = "Error against its limit"
    text = "A bar that ends left of the line is within its limit. The scale is logarithmic."
    if any(k for _, _, k in found):
        text += f" {K}"
    if len(found) > MAX_OUTPUTS:
        text += f" The {MAX_OUTPUTS} of {len(found)} outputs that are nearest to their limit."
    svg = svg_charts.bars(bars, name=title, about=text, log=True, limit=Limit(low=1.0, high=1.0))
    cells = [(bar.label, bar.text, "outside" if bar.bad else "within") for bar in bars]
    numbers = table(f"{title}, as numbers", ("Output", "Error and limit", "Verdict"), cells, limit=2 * MAX_OUTPUTS)
    return Figure(title=title, text=text, svg=svg, table=numbers)


def nearest(report: Report) -> list[str]:
    """The outputs, that which is nearest to its limit first."""
    return [name for name, _, _ in _by_nearness(report)]


def _by_nearness(report: Report) -> list[tuple[str, Compared, tuple[float, float, bool] | None]]:
    rows = merged.of(report)
    outputs = {name: [row for row in rows if row.output == name] for name in dict.fromkeys(row.output for row in rows)}
    return sorted(((name, _worst(each), _k(report, name)) for name, each in outputs.items()), key=_spent, reverse=True)


def _worst(rows: Sequence[Compared]) -> Compared:
    """The comparison of an output that uses most of its tolerance; a failed one first."""
    return max(rows, key=lambda row: (not row.passed, row.outside > 0, _share(row)))


def _share(row: Compared) -> float:
    """The largest error as a part of the tolerance: above 1 if it failed, at most 1 if it passed."""
    error, limit = row.largest or 0.0, row.limit
    if limit is None:
        return math.inf if error else 0.0
    passed_by_rtol = row.outside == 0 and error > limit.line
    return error / (max(error, limit.high) if passed_by_rtol else limit.line)


def _k(report: Report, output: str) -> tuple[float, float, bool] | None:
    """The noise-floor ratio of an output that is nearest to its limit: the ratio, the limit, and whether it failed."""
    gates = [gate for gate in report.gates if gate.gate == "noise floor" and gate.output == output]
    known = [(gate.value, gate.limit, gate.verdict == "failed") for gate in gates if gate.value is not None and gate.limit]
    return max(known, key=lambda each: each[0] / each[1], default=None)


def _spent(found: tuple[str, Compared, tuple[float, float, bool] | None]) -> tuple[bool, float]:
    _, worst, k = found
    return not worst.passed or bool(k and k[2]), max(_share(worst), k[0] / k[1] if k else 0.0)


def _error_bar(name: str, row: Compared) -> Bar:
    share, tensor = _share(row), row.tensors[0]
    if row.largest == math.inf:
        text = "not comparable"
    elif row.limit is None:
        text = f"{number(row.largest)}, none allowed"
    else:
        text = f"{number(row.largest)} of {number(row.limit.line)}"
    limit = f"rtol {tensor.rtol:g}, atol {tensor.atol:g}" if row.limit else "every difference fails"
    return Bar(label=f"{name}: largest error ({limit})", value=share, text=text, bad=row.outside > 0)


def _k_bar(name: str, k: tuple[float, float, bool] | None) -> Bar | None:
    if k is None:
        return None
    ratio, limit, failed = k
    return Bar(label=f"{name}: noise-floor ratio (k)", value=ratio / limit, text=f"{number(ratio)} of {limit:g}", bad=failed)
