"""A Report as text for a terminal of 80 columns, and as JSON. Reads nothing but the Report."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tritonize.artifacts import Check, Finding, Report, TensorCheck, to_json

WIDTH = 80
SHOWN = 8
"""Findings and failing tensors listed in the text; all are in the JSON."""
STAGE_NAMES = {
    "pytorch": "PyTorch batched",
    "source": "Source batched",
    "onnxruntime": "ONNX Runtime",
    "check": "B against A",
    "http": "Triton, HTTP",
    "grpc": "Triton, gRPC",
    "shm": "Triton, shared memory",
    "concurrent": "Triton, concurrent",
    "plan run": "The plan on a GPU",
}
_MARK = {"passed": "✓", "failed": "✗", "not run": "–"}
_VERDICT = {"passed": "PASSED", "failed": "FAILED", "not run": "NOT RUN"}


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain data."""
    plain: dict[str, Any] = to_json(report)
    for check, original in zip(plain["checks"], report.checks, strict=True):
        check["passed"] = original.passed
    return plain


def dumps(report: Report) -> str:
    """The whole report as JSON text."""
    return json.dumps(as_json(report), indent=2, ensure_ascii=False)


def as_text(report: Report) -> str:
    """The report for a person: the verdict first, then the numbers behind it."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    version = f" version {report.version}" if report.version is not None else ""
    yield f"{_VERDICT[report.verdict]}  {report.model}{version}"
    if report.location is not None:
        yield f"  {'published' if report.published else 'lies in'}: {report.location}"
    yield ""
    yield from _check_table(report.checks)
    for stage in report.stages:
        if stage.verdict == "not run":
            yield from _wrap(f"{_MARK['not run']} {STAGE_NAMES.get(stage.name, stage.name)}: not run: {stage.note}")
    yield from _failures(report.checks)
    yield from _findings(report.findings)
    yield from _attempts(report.details.get("attempts", ()))
    if report.proved_by:
        yield ""
        proof = ", ".join(f"{name} {version}" for name, version in report.proved_by.items())
        yield from _wrap(f"Answered by {proof}.")
    for note in report.notes:
        yield from _wrap(note)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _check_table(checks: Sequence[Check]) -> Iterator[str]:
    """One row per stage, batch size and output, over all its samples."""
    rows: dict[tuple[str, int, str], list[TensorCheck]] = {}
    for check in checks:
        # Concurrent clients mix batch sizes, so those answers are one row.
        size = -1 if check.stage == "concurrent" else check.batch_size
        for tensor in check.tensors:
            rows.setdefault((check.stage, size, tensor.name), []).append(tensor)
    if not rows:
        return
    yield f"  {'stage':<21}{'batch':>5}  {'output':<14}{'answers':>7}  {'max abs':>9}  {'mean abs':>9}  {'bad':>5}"
    for (stage, size, name), tensors in rows.items():
        passed = all(tensor.passed for tensor in tensors)
        batch = {-1: "mixed", 0: "–"}.get(size, str(size))
        bad = sum(not tensor.passed for tensor in tensors)
        yield (
            f"{_MARK['passed' if passed else 'failed']} {STAGE_NAMES.get(stage, stage):<21}{batch:>5}  {_short(name, 14):<14}"
            f"{len(tensors):>7}  {_largest(tensors, 'max_abs'):>9}  {_largest(tensors, 'mean_abs'):>9}  {bad:>5}"
        )


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 2]}…"


def _largest(tensors: Sequence[TensorCheck], field: str) -> str:
    values = [value for tensor in tensors if (value := getattr(tensor, field)) is not None]
    return f"{max(values):.2e}" if values else "–"


def _failures(checks: Sequence[Check]) -> Iterator[str]:
    failing = [(check, tensor) for check in checks for tensor in check.tensors if not tensor.passed]
    if not failing:
        return
    yield ""
    yield "What differs:"
    for check, tensor in failing[:SHOWN]:
        place = f"{STAGE_NAMES.get(check.stage, check.stage)}, batch {check.batch_size}, sample {check.samples[0]}"
        yield from _wrap(f"  ✗ {tensor.name} ({place}): {tensor.reason}")
        for worst in tensor.worst[:1]:
            yield f"      worst at {list(worst.index)}: expected {worst.expected:.7g}, found {worst.found:.7g}"
    if len(failing) > SHOWN:
        yield f"  … and {len(failing) - SHOWN} more in the JSON report"


def _attempts(attempts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
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
