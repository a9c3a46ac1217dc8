"""A Report as tables of text: captions, heads and cells, nothing of HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonize.core.artifacts import Check, Report, TensorCheck
from tritonize.core.conclusion import reference_name
from tritonize.core.results import DRAWN, Gate, StageRow
from tritonize.core.stages import StageName
from tritonize.report.text import largest_k

NOTHING = "–"
WORDS = {"passed": "✓ passed", "failed": "✗ failed", "not run": "– not run"}
_MANY = 10**7
"""A whole number from here on is written in three digits."""
CELL = 2000
"""Characters of a cell; the JSON has all of it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The first cell of a row is its head."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0
    """Rows that are only in the JSON."""


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int, verdict: int | None = None) -> Table:
    """A table of at most `limit` rows. Of more, failed ones come first, by the column of the verdict."""
    cells = [tuple(_cell(value) for value in row) for row in rows]
    if verdict is not None and len(cells) > limit:
        cells.sort(key=lambda row: row[verdict] != WORDS["failed"])
    return Table(caption=caption, head=tuple(head), rows=tuple(cells[:limit]), left_out=max(0, len(cells) - limit))


def _cell(value: object) -> str:
    if value is None or value == "":
        return NOTHING
    text = number(value) if isinstance(value, float) or (isinstance(value, int) and value >= _MANY) else str(value)
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def number(value: float | None) -> str:
    """A number of a measurement, in three digits."""
    if value is None:
        return NOTHING
    return f"{value:.3g}" if math.isfinite(value) else str(value)


def of_errors(report: Report, limit: int) -> Table:
    """The stage table: how far each output is from PyTorch at every stage."""
    against = {"fp64": "float64", "fp32": "float32"}[report.rows[0].against] if report.rows else "float32"
    head = ("Stage", "Output", "Verdict", "k", "Max abs", "Mean abs", "RMSE", "Max rel", "SNR dB", "Max ULP", "Bad", "For its kind")
    return table(
        f"Error against {reference_name(report, against)}, stage by stage",
        (*head, "Answers", "Kind"),
        (_error_row(report, row) for row in report.rows),
        limit=limit,
        verdict=2,
    )


def _error_row(report: Report, row: StageRow) -> tuple[object, ...]:
    marks = row.metrics
    mine = [gate.verdict for gate in report.gates if (gate.stage, gate.output) == (row.stage, row.output)]
    verdict = next((word for word in ("failed", "not run", "passed") if word in mine), None)
    named = {
        "top-1": marks.top1,
        "top-5": marks.top5,
        "KL max": marks.kl_max,
        "Dice min": marks.dice_min,
        "IoU min": marks.iou_min,
        "unmatched expected": marks.unmatched_expected,
        "unmatched found": marks.unmatched_found,
    }
    return (
        "PyTorch" if row.stage is StageName.PYTORCH else row.stage.heading,
        row.output,
        WORDS.get(verdict or "", NOTHING),
        largest_k(report.gates, row.stage, row.output),
        marks.max_abs,
        marks.mean_abs,
        marks.rmse,
        marks.max_rel,
        "equal" if marks.equal else marks.snr_db,
        marks.max_ulp,
        marks.mismatched,
        ", ".join(f"{name} {value:.4g}" for name, value in named.items() if value is not None),
        marks.answers,
        marks.kind,
    )


def of_answers(report: Report, limit: int) -> Table:
    """One row per stage, batch size and output, over all its samples: what the tolerance was asked about."""
    rows: dict[tuple[StageName, int, str], list[TensorCheck]] = {}
    for check in report.checks:
        size = -1 if check.stage is StageName.CONCURRENT else check.batch_size  # concurrent clients mix batch sizes
        for tensor in check.tensors:
            rows.setdefault((check.stage, size, tensor.name), []).append(tensor)
    head = ("Stage", "Batch", "Output", "Verdict", "Answers", "Bad", "Max abs", "Mean abs", "rtol", "atol")
    return table(
        f"Answers against {reference_name(report)}, by tolerance",
        head,
        (_answer_row(*key, tensors=tensors) for key, tensors in rows.items()),
        limit=limit,
        verdict=3,
    )


def _answer_row(stage: StageName, size: int, name: str, *, tensors: Sequence[TensorCheck]) -> tuple[object, ...]:
    bad = sum(not tensor.passed for tensor in tensors)
    batch = {-1: "mixed", 0: "none"}.get(size, str(size))
    verdict = WORDS["failed" if bad else "passed"]
    largest, mean = (
        max((value for each in tensors if (value := getattr(each, part)) is not None), default=None)
        for part in ("max_abs", "mean_abs")
    )
    return stage.heading, batch, name, verdict, len(tensors), bad, largest, mean, tensors[0].rtol, tensors[0].atol


def of_failures(checks: Sequence[Check], limit: int) -> Table:
    """Every answer that differs, with its worst element."""
    rows = []
    for check in checks:
        for tensor in check.tensors:
            if not tensor.passed:
                worst = tensor.worst[0] if tensor.worst else None
                samples = ", ".join(map(str, check.samples))
                place = "" if worst is None else f"{list(worst.index)}: expected {worst.expected:.7g}, found {worst.found:.7g}"
                rows.append((tensor.name, check.stage.heading, check.batch_size, samples, tensor.reason, place))
    return table("Answers that differ", ("Output", "Stage", "Batch", "Samples", "Reason", "Worst element"), rows, limit=limit)


def of_gates(gates: Sequence[Gate], limit: int) -> Table:
    """Every rule that an output had to keep."""
    head = ("Rule", "Verdict", "Stage", "Output", "Samples", "Value", "Limit", "Worst sample", "Note")
    return table(
        "Rules that the outputs had to keep",
        head,
        ((g.gate, WORDS[g.verdict], g.stage.heading, g.output, _group(g.group), g.value, g.limit, g.sample, g.note) for g in gates),
        limit=limit,
        verdict=1,
    )


def _group(name: str) -> str:
    return name if name in ("all", DRAWN) else f"edge case {name}"


def of_floors(report: Report, limit: int) -> Table:
    """How far PyTorch itself is from float64."""
    head = ("Output", "Samples", "Noise", "Largest answer", "Unit", "k is measured in", "Noisiest sample")
    rows = ((f.output, _group(f.group), f.noise, f.scale, f.unit, f.denominator, f.sample) for f in report.floors)
    return table("Noise floor: PyTorch against itself in float64", head, rows, limit=limit)


def of_findings(report: Report, limit: int) -> Table:
    """What differs and is no tensor."""
    rows = ((f.where, f.what, f.expected, f.found) for f in report.findings)
    return table("What is wrong", ("Where", "What", "Expected", "Found"), rows, limit=limit)


def of_stages(report: Report, limit: int) -> Table:
    """What the run cost."""
    head = ("Stage", "Verdict", "Seconds", "Of these in libraries", "Peak memory MiB", "Note")
    rows = (
        (s.name, WORDS[s.verdict], f"{s.seconds:.2f}", f"{s.library_seconds:.2f}", s.peak_memory // 2**20 or None, s.note)
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
    """Every tool that took part."""
    rows = [*((name, version, "answered") for name, version in report.proved_by.items())]
    rows += [(name, version, "took part") for name, version in report.versions.items()]
    return table("Versions", ("Name", "Version", "Role"), rows, limit=limit)


def of_details(report: Report, limit: int) -> Table:
    """Source, ONNX file, target and whatever else the run noted, hashes among it."""
    rest = {name: value for name, value in report.details.items() if name != "attempts"}
    return table("Source, model file and target", ("What", "Value"), _flat("", rest), limit=limit)


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
