"""Make the tables of a Report, as captions, heads and cells of text without HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonize.core.conclusion import reference_name
from tritonize.core.reports import Check, Report, TensorCheck
from tritonize.core.results import DRAWN, Gate, StageRow
from tritonize.core.stages import StageName, action
from tritonize.report.text import largest_k

_EMPTY = "–"
VERDICTS = {"passed": "✓ passed", "failed": "✗ failed", "not run": "– not run"}
_LARGE = 10**7
"""An integer of at least this size is written with three significant digits."""
_MAX_CELL = 2000
"""Largest number of characters of a cell; the JSON has the whole text."""
_ELSEWHERE = ("attempts",)
"""Details that have a table of their own."""
_MIXED = -1
"""In place of a batch size: batches of several sizes."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of texts; the first cell of each row is the row's head."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0
    """Rows that are only in the JSON."""


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int, verdict: int | None = None) -> Table:
    """A table of at most `limit` rows. If there are more, rows that failed come first; `verdict` is the index of that column."""
    cells = [tuple(_cell(value) for value in row) for row in rows]
    if verdict is not None and len(cells) > limit:
        cells.sort(key=lambda row: row[verdict] != VERDICTS["failed"])
    return Table(caption=caption, head=tuple(head), rows=tuple(cells[:limit]), left_out=max(0, len(cells) - limit))


def _cell(value: object) -> str:
    if value is None or value == "":
        return _EMPTY
    text = number(value) if isinstance(value, float) or (isinstance(value, int) and value >= _LARGE) else str(value)
    return text if len(text) <= _MAX_CELL else f"{text[: _MAX_CELL - 1]}…"


def number(value: float | None) -> str:
    """A measured number with three significant digits."""
    if value is None:
        return _EMPTY
    return f"{value:.3g}" if math.isfinite(value) else str(value)


def of_errors(report: Report, limit: int) -> Table:
    """The stage table: the error metrics of each output at every stage."""
    against = {"fp64": "float64", "fp32": "float32"}[report.rows[0].against] if report.rows else "float32"
    head = (
        "Stage",
        "Output",
        "Verdict",
        "k",
        "Max abs",
        "Mean abs",
        "RMSE",
        "Max rel",
        "SNR dB",
        "Max ULP",
        "Outside",
        "For its kind",
    )
    return table(
        f"Error against {reference_name(report, against)}, stage by stage",
        (*head, "Compared", "Kind"),
        (_error_row(report, row) for row in report.rows),
        limit=limit,
        verdict=2,
    )


def _error_row(report: Report, row: StageRow) -> tuple[object, ...]:
    metrics = row.metrics
    verdicts = [gate.verdict for gate in report.gates if (gate.stage, gate.output) == (row.stage, row.output)]
    worst = next((verdict for verdict in ("failed", "not run", "passed") if verdict in verdicts), None)
    kind_metrics = {
        "top-1": metrics.top1,
        "top-5": metrics.top5,
        "KL max": metrics.kl_max,
        "Dice min": metrics.dice_min,
        "IoU min": metrics.iou_min,
        "unmatched expected": metrics.unmatched_expected,
        "unmatched found": metrics.unmatched_found,
    }
    return (
        "PyTorch" if row.stage is StageName.PYTORCH else row.stage.heading,
        row.output,
        VERDICTS.get(worst or "", _EMPTY),
        largest_k(report.gates, row.stage, row.output),
        metrics.max_abs,
        metrics.mean_abs,
        metrics.rmse,
        metrics.max_rel,
        "equal" if metrics.equal else metrics.snr_db,
        metrics.max_ulp,
        metrics.mismatched,
        ", ".join(f"{name} {value:.4g}" for name, value in kind_metrics.items() if value is not None),
        metrics.answers,
        metrics.kind,
    )


def of_answers(report: Report, limit: int) -> Table:
    """The comparisons by rtol and atol: one row per stage, batch size and output, over all samples."""
    rows: dict[tuple[StageName, int, str], list[TensorCheck]] = {}
    for check in report.checks:
        size = _MIXED if check.stage is StageName.CONCURRENT else check.batch_size  # concurrent clients mix batch sizes
        for tensor in check.tensors:
            rows.setdefault((check.stage, size, tensor.name), []).append(tensor)
    head = ("Stage", "Batch", "Output", "Verdict", "Compared", "Outside", "Max abs", "Mean abs", "rtol", "atol")
    return table(
        f"Comparisons with {reference_name(report)}, by stage and batch size",
        head,
        (_answer_row(*key, tensors=tensors) for key, tensors in rows.items()),
        limit=limit,
        verdict=3,
    )


def _answer_row(stage: StageName, size: int, name: str, *, tensors: Sequence[TensorCheck]) -> tuple[object, ...]:
    bad = sum(not tensor.passed for tensor in tensors)
    batch = {_MIXED: "mixed", 0: "none"}.get(size, str(size))
    verdict = VERDICTS["failed" if bad else "passed"]
    largest, mean = (
        max((value for tensor in tensors if (value := getattr(tensor, field)) is not None), default=None)
        for field in ("max_abs", "mean_abs")
    )
    return stage.heading, batch, name, verdict, len(tensors), bad, largest, mean, tensors[0].rtol, tensors[0].atol


def worst_element(tensor: TensorCheck) -> str:
    """The element that is furthest outside the tolerance."""
    if not tensor.worst:
        return ""
    worst = tensor.worst[0]
    return f"{list(worst.index)}: expected {worst.expected:.7g}, found {worst.found:.7g}"


def of_failures(checks: Sequence[Check], limit: int) -> Table:
    """Every output that differs, with its worst element."""
    rows = []
    for check in checks:
        for tensor in check.tensors:
            if not tensor.passed:
                samples = ", ".join(map(str, check.samples))
                rows.append((tensor.name, check.stage.heading, check.batch_size, samples, tensor.reason, worst_element(tensor)))
    return table(
        "Every comparison outside the tolerance",
        ("Output", "Stage", "Batch", "Samples", "Reason", "Worst element"),
        rows,
        limit=limit,
    )


def of_gates(gates: Sequence[Gate], limit: int) -> Table:
    """The gates, with value and limit."""
    head = ("Rule", "Verdict", "Stage", "Output", "Samples", "Value", "Limit", "Worst sample", "Note")
    return table(
        "Rules of the outputs",
        head,
        (
            (g.gate, VERDICTS[g.verdict], g.stage.heading, g.output, _group(g.group), g.value, g.limit, g.sample, g.note)
            for g in gates
        ),
        limit=limit,
        verdict=1,
    )


def _group(name: str) -> str:
    return name if name in ("all", DRAWN) else f"edge case {name}"


def of_floors(report: Report, limit: int) -> Table:
    """PyTorch's own error against float64, by output and group of samples."""
    head = ("Output", "Samples", "Noise", "Largest value", "Unit", "k is measured in", "Noisiest sample")
    rows = ((f.output, _group(f.group), f.noise, f.scale, f.unit, f.denominator, f.sample) for f in report.floors)
    return table("Noise floor: PyTorch against itself in float64", head, rows, limit=limit)


def of_findings(report: Report, limit: int) -> Table:
    """The findings: differences that are not in a tensor."""
    rows = ((f.where, f.what, f.expected, f.found) for f in report.findings)
    return table("Every finding", ("Where", "What", "Expected", "Found"), rows, limit=limit)


def of_stages(report: Report, limit: int) -> Table:
    """The stages of the run, with their time and memory."""
    head = ("Stage", "Verdict", "Seconds", "Of these in libraries", "Peak memory MiB", "Note")
    rows = (
        (
            action(s.name),
            VERDICTS[s.verdict],
            f"{s.seconds:.2f}",
            f"{s.library_seconds:.2f}",
            s.peak_memory // 2**20 or None,
            s.note,
        )
        for s in report.stages
    )
    return table("Stages of the run", head, rows, limit=limit, verdict=1)


def of_attempts(report: Report, limit: int) -> Table:
    """The export strategies that were tried."""
    rows = (
        (a["strategy"], a["outcome"], f"{a['seconds']:.1f}", a.get("reason"), a.get("where"), a.get("next_step"))
        for a in report.details.get("attempts", ())
    )
    return table(
        "Export strategies that were tried", ("Strategy", "Outcome", "Seconds", "Reason", "Where", "Next"), rows, limit=limit
    )


def of_versions(report: Report, limit: int) -> Table:
    """The versions of all tools."""
    rows = [*((name, version, "served") for name, version in report.proved_by.items())]
    rows += [(name, version, "used") for name, version in report.versions.items()]
    return table("Versions", ("Name", "Version", "Role"), rows, limit=limit)


def of_details(report: Report, limit: int) -> Table:
    """All other details of the report: source, ONNX file, target, hashes."""
    others = {name: value for name, value in report.details.items() if name not in _ELSEWHERE}
    return table("Source, model file and target", ("What", "Value"), _flat("", others), limit=limit)


def _flat(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        for place, inner in enumerate(value):
            yield from _flat(f"{path}.{place}", inner)
    elif isinstance(value, list | tuple):
        yield path, ", ".join(map(str, value))
    else:
        yield path, value
