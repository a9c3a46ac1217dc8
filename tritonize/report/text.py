"""Render a Report as text for a terminal of 80 columns, and as JSON. Both use the Report alone."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from tritonize.core import error_location, printable
from tritonize.core.artifacts import from_json, to_json
from tritonize.core.conclusion import conclude, excused, failed_stages
from tritonize.core.error_location import Location
from tritonize.core.reports import Check, Report, TensorCheck
from tritonize.core.results import Gate, Metrics, in_words
from tritonize.core.stages import StageName
from tritonize.core.wrapping import wrapped
from tritonize.report import tolerance_text
from tritonize.report.text_parts import (
    MARK,
    attempts,
    below_table,
    incomparable,
    largest_error,
    shortened,
)

MAX_CHECKS = 200
"""Checks of one stage and batch size that the JSON lists: up to this many that passed, and up to this many that failed."""


def as_json(report: Report) -> dict[str, object]:
    """The report as plain data. `answers` is the `summary` of all checks; `checks` lists at most `MAX_CHECKS` of a kind."""
    listed = replace(report, checks=tuple(_listed(report.checks)))
    plain: dict[str, Any] = to_json(listed)
    for plain_check, check in zip(plain["checks"], listed.checks, strict=True):
        plain_check["passed"] = check.passed
    return plain | {"answers": summary(report.checks), "tolerances": [tolerance_text.plain(each) for each in report.tolerances]}


def _listed(checks: Sequence[Check]) -> Iterator[Check]:
    """Yield the first checks that passed and the first that failed, for each stage and batch size, to limit the report's size."""
    counts: Counter[tuple[StageName, int, bool]] = Counter()
    for check in checks:
        key = check.stage, check.batch_size, check.passed
        counts[key] += 1
        if counts[key] <= MAX_CHECKS:
            yield check


class SummaryRow(TypedDict):
    """The comparisons of one output at one stage and batch size."""

    stage: StageName
    batch_size: int
    output: str
    rtol: float
    atol: float
    answers: int
    failed: int
    passed: bool
    max_abs: float


def summary(checks: Sequence[Check]) -> list[SummaryRow]:
    """Count the comparisons of each stage, batch size and output; `max_abs` is their largest |found - expected|."""
    rows: dict[tuple[StageName, int, str], SummaryRow] = {}
    for check in checks:
        for tensor in check.tensors:
            key = (check.stage, check.batch_size, tensor.name)
            row = rows.setdefault(
                key,
                {
                    "stage": key[0],
                    "batch_size": key[1],
                    "output": key[2],
                    "rtol": tensor.rtol,
                    "atol": tensor.atol,
                    "answers": 0,
                    "failed": 0,
                    "passed": True,
                    "max_abs": 0.0,
                },
            )
            row["answers"] += 1
            row["failed"] += not tensor.passed
            row["passed"] = row["passed"] and tensor.passed
            row["max_abs"] = max(row["max_abs"], tensor.max_abs or 0.0)
    return list(rows.values())


def dumps(report: Report) -> str:
    """`as_json` as text."""
    return json.dumps(as_json(report), indent=2, ensure_ascii=False)


def as_text(report: Report) -> str:
    """The report as text: the verdict, then the numbers that it follows from."""
    return "".join(f"{printable.line(line)}\n" for line in (*_head(report), *lines(report)))


def _head(report: Report) -> Iterator[str]:
    version = f" version {report.version}" if report.version is not None else ""
    yield from wrapped(f"{in_words(report.verdict).upper()} {report.model}{version}: {conclude(report).sentence}")
    if report.location is not None:
        yield f"  {'published' if report.published else 'lies in'}: {report.location}"
    yield ""


def lines(report: Report) -> Iterator[str]:
    """Yield the numbers that the verdict follows from, and the notes."""
    conclusion = conclude(report)
    yield from _table(report)
    yield from below_table(report)
    if "location" in report.details:
        yield ""
        yield from error_location.lines(from_json(Location, report.details["location"]))
    if plans := report.details.get("plans"):
        yield ""
        for plan in plans:
            yield from plan_lines(plan)
    yield from attempts(report.details.get("attempts", ()))
    if report.proved_by:
        yield ""
        runtimes = ", ".join(f"{name} {version}" for name, version in report.proved_by.items())
        yield from wrapped(f"Answered by {runtimes}.")
    for note in (each for each in report.notes if each != conclusion.sentence):
        yield from wrapped(note)


def plan_lines(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that describe a plan.

    Args:
        metadata: the plan's metadata as plain data. A Report has it in this form too, since `report` does not import `plans`.
    """
    yield f"Plan for compute capability {metadata['compute_capability']}, of {metadata['module']} {metadata['version']}"
    tf32 = "on" if metadata["tf32"] else "off"
    yield f"  {metadata['plan_bytes'] / 2**20:.1f} MiB, TF32 {tf32}, SHA-256 {metadata['plan_sha256'][:16]}…"
    for title, tensors in (("in", metadata["inputs"]), ("out", metadata["outputs"])):
        for tensor in tensors:
            yield f"  {title:<3} {tensor['name']} {tensor['dtype']} [{', '.join(map(str, tensor['shape']))}]"
    for number, shapes in enumerate(metadata["profiles"]):
        for name, sizes in shapes.items():
            yield f"  profile {number}: {name} {' .. '.join(str(list(sizes[key])) for key in ('min', 'opt', 'max'))}"


def _table(report: Report) -> Iterator[str]:
    """Yield one row per stage and output, over all samples and batch sizes. The JSON has the single comparisons."""
    rows: dict[tuple[StageName, str], list[tuple[int, TensorCheck]]] = {}
    for check in report.checks:
        for tensor in check.tensors:
            rows.setdefault((check.stage, tensor.name), []).append((check.batch_size, tensor))
    if not rows:
        return
    metrics_of = {(row.stage, row.output): row.metrics for row in report.rows}
    previous: dict[str, str] = {}  # the last line of metrics of each output, which is not repeated
    against_fp64 = any(row.against == "fp64" for row in report.rows)
    yield f"  {'stage':<21}{'batch':>6}  {'output':<12}{'answers':>7}{'max abs':>10}{'SNR dB':>7}{'k':>8}{'bad':>5}"
    for (stage, name), compared in rows.items():
        tensors = [tensor for _, tensor in compared]
        passed = stage not in failed_stages(report) and all(tensor.passed for tensor in tensors)
        sizes = sorted({size for size, _ in compared})
        listed = ",".join(map(str, sizes)) if len(sizes) < 4 and sizes[-1] < 100 else f"{sizes[0]}-{sizes[-1]}"
        batch = "mixed" if stage is StageName.CONCURRENT else "–" if sizes == [0] else listed
        metrics = metrics_of.get((stage, name)) if stage is not StageName.PYTORCH else None
        snr = "–" if any(map(incomparable, tensors)) else _snr(metrics)
        k = largest_k(report.gates, stage, name)
        star = "*" if any(gate.excused and (gate.stage, gate.output) == (stage, name) for gate in report.gates) else ""
        mark, title = MARK["passed" if passed else "failed"], stage.heading
        yield (
            f"{mark} {title:<21}{batch:>6}  {shortened(name, 11):<12}"
            f"{len(tensors):>7}{largest_error(tensors):>10}{snr:>7}"
            f"{_number(k) + star:>8}{sum(not tensor.passed for tensor in tensors):>5}"
        )
        if metrics and (line := _kind_metrics(metrics)) and previous.get(name) != line:
            previous[name] = line
            yield f"    {line}"
    if against_fp64:
        yield from wrapped("  max abs and bad: against PyTorch. SNR and k: against PyTorch in float64;")
        yield from wrapped("  k is the error in units of PyTorch's own error in the type of the row: float32, fp16 or bf16.")
    for text in excused(report.gates):
        yield from wrapped(f"  * {text}", rest="    ")


def _number(k: float | None) -> str:
    """Format k in at most seven characters, because its column has eight."""
    if k is None:
        return "–"
    if not k or not math.isfinite(k) or 1e-3 <= k < 9999.5:
        return f"{k:.3g}"
    return f"{k:.1e}" if 1e-99 < k < 9.95e99 else f"{k:.0e}"


def _snr(metrics: Metrics | None) -> str:
    if metrics is None:
        return "–"
    return "equal" if metrics.equal else "–" if metrics.snr_db is None else f"{metrics.snr_db:.1f}"


def largest_k(gates: Sequence[Gate], stage: StageName, output: str) -> float | None:
    """The largest noise-floor ratio (k) of an output at a stage, over all groups of samples; `None` if none was computed.

    It has the part in it that ONNX Runtime's measured summation error explains, see `conclusion.excused`.
    """
    values = [
        gate.value if gate.whole is None else gate.whole
        for gate in gates
        if gate.gate == "noise floor" and (gate.stage, gate.output) == (stage, output)
    ]
    return max((value for value in values if value is not None), default=None)


def _kind_metrics(metrics: Metrics) -> str:
    """The metrics that belong to the output's kind."""
    values = {
        "top-1": metrics.top1,
        "top-5": metrics.top5,
        "KL max": metrics.kl_max,
        "Dice min": metrics.dice_min,
        "IoU min": metrics.iou_min,
        "unmatched": None if metrics.unmatched_expected is None else metrics.unmatched_expected + (metrics.unmatched_found or 0),
    }
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items() if value is not None)
