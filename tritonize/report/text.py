"""A Report as text for a terminal of 80 columns, and as JSON. Reads nothing but the Report."""

from __future__ import annotations

import json
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from tritonize.core import error_location, printable
from tritonize.core.artifacts import Check, Finding, Report, TensorCheck, from_json, to_json
from tritonize.core.conclusion import conclude, counted, describe_gate
from tritonize.core.error_location import Location
from tritonize.core.results import Gate, Metrics
from tritonize.core.stages import StageName

WIDTH = 80
SHOWN = 8
"""Findings and failing tensors listed in the text; more are in the JSON."""
LISTED = 200
"""Answers of one stage and batch size that the JSON lists one by one: so many that passed, and so many that did not."""
_MARK = {"passed": "✓", "failed": "✗", "not run": "–"}
_VERDICT = {"passed": "PASSED", "failed": "FAILED", "not run": "NOT RUN"}


def as_json(report: Report) -> dict[str, object]:
    """The whole report as plain data: every kind of answer counted in `answers`, the first `LISTED` of each in `checks`."""
    listed = replace(report, checks=tuple(_listed(report.checks)))
    plain: dict[str, Any] = to_json(listed)
    for check, original in zip(plain["checks"], listed.checks, strict=True):
        check["passed"] = original.passed
    return plain | {"answers": summary(report.checks)}


def _listed(checks: Sequence[Check]) -> Iterator[Check]:
    """Of each stage and batch size the first answers that passed, and the first that did not: a report stays readable."""
    seen: Counter[tuple[StageName, int, bool]] = Counter()
    for check in checks:
        key = check.stage, check.batch_size, check.passed
        seen[key] += 1
        if seen[key] <= LISTED:
            yield check


class SummaryRow(TypedDict):
    """The answers of one stage, batch size and output, counted."""

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
    """Number of answers and largest difference per stage, batch size and output, over all answers."""
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
    """The whole report as JSON text."""
    return json.dumps(as_json(report), indent=2, ensure_ascii=False)


def as_text(report: Report) -> str:
    """The report for a person: the verdict first, then the numbers behind it."""
    return "".join(f"{printable.line(each)}\n" for each in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    version = f" version {report.version}" if report.version is not None else ""
    concluded = conclude(report)
    yield from _wrap(f"{_VERDICT[report.verdict]} {report.model}{version}: {concluded.sentence}")
    if report.location is not None:
        yield f"  {'published' if report.published else 'lies in'}: {report.location}"
    yield ""
    yield from _table(report)
    for name, note in concluded.not_run:
        yield from _wrap(f"{_MARK['not run']} {name}: not run{f': {note}' if note else ''}")
    yield from _failures(report.checks)
    yield from _gates(report.gates)
    yield from _findings(report.findings)
    if "location" in report.details:
        yield ""
        yield from error_location.lines(from_json(Location, report.details["location"]))
    if plans := report.details.get("plans"):
        yield ""
        for each in plans:
            yield from plan_lines(each)
    yield from _attempts(report.details.get("attempts", ()))
    if report.proved_by:
        yield ""
        proof = ", ".join(f"{name} {version}" for name, version in report.proved_by.items())
        yield from _wrap(f"Answered by {proof}.")
    for note in report.notes:
        yield from _wrap(note)


def plan_lines(known: Mapping[str, Any]) -> Iterator[str]:
    """What is known of a plan, for a person.

    Args:
        known: its metadata as plain data: of a report too, which knows no type of `plans`. Hence `Any`.
    """
    yield f"Plan for compute capability {known['compute_capability']}, of {known['module']} {known['version']}"
    yield f"  {known['plan_bytes'] / 2**20:.1f} MiB, TF32 {'on' if known['tf32'] else 'off'}, SHA-256 {known['plan_sha256'][:16]}…"
    for title, tensors in (("in", known["inputs"]), ("out", known["outputs"])):
        for tensor in tensors:
            yield f"  {title:<3} {tensor['name']} {tensor['dtype']} [{', '.join(map(str, tensor['shape']))}]"
    for number, shapes in enumerate(known["profiles"]):
        for name, each in shapes.items():
            yield f"  profile {number}: {name} {' .. '.join(str(list(each[key])) for key in ('min', 'opt', 'max'))}"


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _table(report: Report) -> Iterator[str]:
    """One row per stage and output, over all its samples and batch sizes; what each answer was is in the JSON."""
    rows: dict[tuple[StageName, str], list[tuple[int, TensorCheck]]] = {}
    for check in report.checks:
        for tensor in check.tensors:
            rows.setdefault((check.stage, tensor.name), []).append((check.batch_size, tensor))
    if not rows:
        return
    marks = {(row.stage, row.output): row.metrics for row in report.rows}
    told: dict[str, str] = {}  # what a kind's metrics said of an output last; it is not repeated
    exact = any(row.against == "fp64" for row in report.rows)
    yield f"  {'stage':<21}{'batch':>6}  {'output':<12}{'answers':>7}{'max abs':>10}{'SNR dB':>7}{'k':>8}{'bad':>5}"
    for (stage, name), answers in rows.items():
        passed = all(tensor.passed for _, tensor in answers)
        apart = any(incomparable(tensor) for _, tensor in answers)
        sizes = sorted({size for size, _ in answers})
        batch = "mixed" if stage is StageName.CONCURRENT else "–" if sizes == [0] else ",".join(map(str, sizes))
        shown = marks.get((stage, name)) if stage is not StageName.PYTORCH else None
        k = largest_k(report.gates, stage, name)
        mark, title = _MARK["passed" if passed else "failed"], stage.heading
        yield (
            f"{mark} {title:<21}{_short(batch, 6):>6}  {_short(name, 11):<12}"
            f"{len(answers):>7}{_largest([tensor for _, tensor in answers]):>10}{_snr(None if apart else shown):>7}"
            f"{_number(k):>8}{sum(not tensor.passed for _, tensor in answers):>5}"
        )
        if shown and (extra := _extra(shown)) and told.get(name) != extra:
            told[name] = extra
            yield f"    {extra}"
    if exact:
        yield from _wrap("  max abs and bad: against PyTorch. SNR and k: against PyTorch in float64;")
        yield from _wrap("  k is the error in units of PyTorch's own error in the type of the row: float32, fp16 or bf16.")


def _number(k: float | None) -> str:
    """In at most seven characters, so that columns stay apart."""
    if k is None:
        return "–"
    if not k or not math.isfinite(k) or 1e-3 <= k < 9999.5:
        return f"{k:.3g}"
    return f"{k:.1e}" if 1e-99 < k < 9.95e99 else f"{k:.0e}"


def _snr(marks: Metrics | None) -> str:
    if marks is None:
        return "–"
    return "equal" if marks.equal else "–" if marks.snr_db is None else f"{marks.snr_db:.1f}"


def largest_k(gates: Sequence[Gate], stage: StageName, output: str) -> float | None:
    """The k of a stage and output, over all groups of samples."""
    values = [gate.value for gate in gates if gate.gate == "noise floor" and (gate.stage, gate.output) == (stage, output)]
    return max((value for value in values if value is not None), default=None)


def _extra(marks: Metrics) -> str:
    """What says something about the output's kind."""
    shown = {
        "top-1": marks.top1,
        "top-5": marks.top5,
        "KL max": marks.kl_max,
        "Dice min": marks.dice_min,
        "IoU min": marks.iou_min,
        "unmatched": None if marks.unmatched_expected is None else marks.unmatched_expected + (marks.unmatched_found or 0),
    }
    return ", ".join(f"{name} {value:.6g}" for name, value in shown.items() if value is not None)


def _gates(gates: Sequence[Gate]) -> Iterator[str]:
    """The gates that failed, the first on the way first."""
    failed = [gate for gate in gates if gate.verdict == "failed" and gate.gate != "tolerance"]
    if failed:
        yield ""
        yield "Gates that failed:"
        for gate in failed[:SHOWN]:
            yield from _wrap(f"  ✗ {gate.output}: {describe_gate(gate)}")


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 2]}…"


def incomparable(tensor: TensorCheck) -> bool:
    """Whether an answer failed without figures: by its shape or type. Figures of the other answers say nothing of it."""
    return not tensor.passed and tensor.max_abs is None


def _largest(tensors: Sequence[TensorCheck]) -> str:
    if any(incomparable(tensor) for tensor in tensors):
        return "–"
    values = [tensor.max_abs for tensor in tensors if tensor.max_abs is not None]
    return f"{max(values):.2e}" if values else "–"


def _failures(checks: Sequence[Check]) -> Iterator[str]:
    """The answers that differ; what is the same at several places is listed once, with the first place and how many more."""
    alike: dict[tuple[str, str, str], list[Check]] = {}
    for check in checks:
        for tensor in check.tensors:
            if not tensor.passed:
                alike.setdefault((tensor.name, tensor.reason or "", _worst(tensor)), []).append(check)
    if not alike:
        return
    yield ""
    yield "What differs:"
    for (name, reason, worst), places in list(alike.items())[:SHOWN]:
        first = places[0]
        size = f"batch {first.batch_size}" if first.batch_size else "no batch"
        place = f"{first.stage.heading}, {size}, sample {first.samples[0]}"
        if len(places) > 1:
            place += f", and {counted(len(places) - 1, 'more answer')}"
        yield from _wrap(f"  ✗ {name} ({place}): {reason}")
        if worst:
            yield from _wrap(f"      {worst}")
    if len(alike) > SHOWN:
        rest = sum(len(places) for places in list(alike.values())[SHOWN:])
        yield f"  … and {counted(rest, 'more answer')} in the JSON report"


def _worst(tensor: TensorCheck) -> str:
    if not tensor.worst:
        return ""
    worst = tensor.worst[0]
    return f"worst at {list(worst.index)}: expected {worst.expected:.7g}, found {worst.found:.7g}"


def _attempts(attempts: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """The export strategies, where more than one was tried."""
    if len(attempts) < 2:
        return
    yield ""
    yield "Export strategies tried:"
    for attempt in attempts:
        mark = _MARK["passed" if attempt["outcome"] == "right" else "failed"]
        place = f" at {attempt['where']}" if attempt["where"] else ""
        why = f": {attempt['reason']}{place}" if attempt["reason"] else ""
        yield from _wrap(f"  {mark} {attempt['strategy']} ({attempt['seconds']:.1f} s), {attempt['outcome']}{why}")


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        return
    yield ""
    yield "What is wrong:"
    for finding in findings[:SHOWN]:
        yield from _wrap(f"  ✗ {finding.where}: {finding.what}")
        if finding.expected is not None:
            yield f"      expected {finding.expected}"
        if finding.found is not None:
            yield from textwrap.wrap(f"found    {finding.found}", WIDTH, initial_indent="      ", subsequent_indent="        ")
    if len(findings) > SHOWN:
        yield f"  … and {len(findings) - SHOWN} more in the JSON report"
