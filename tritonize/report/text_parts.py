"""Parts of a Report as text: what differs, the gates that failed, findings, and export strategies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tritonize.core.conclusion import conclude, counted, default_ranges, failed_gates, left_out_reasons
from tritonize.core.reports import Check, Finding, Report, TensorCheck
from tritonize.core.results import Gate
from tritonize.core.wrapping import wrapped
from tritonize.report import canary_text, replica_table, tolerance_text

MAX_ROWS = 8
"""Gates, findings and outputs that differ in the text; the JSON has all of them."""
MARK = {"passed": "✓", "failed": "✗", "not run": "–"}


def below_table(report: Report, *, most: int = MAX_ROWS) -> Iterator[str]:
    """Yield what did not run or was left out, the replicas, the baseline, and what is wrong.

    Args:
        most: outputs that differ.
    """
    for name, note in conclude(report).not_run:
        yield from wrapped(f"{MARK['not run']} {name}: not run{f': {note}' if note else ''}")
    for text in (*left_out_reasons(report), *default_ranges(report)):
        yield from wrapped(f"{MARK['not run']} {text}")
    yield from replica_table.lines(report.details.get("replicas", ()))
    yield from canary_text.lines(report.details.get("baseline"))
    yield from (*differences(report.checks, most=most), *tolerance_text.after_failure(report.tolerances))
    yield from gates_that_failed(report.gates)
    yield from findings(report.findings)


def gates_that_failed(gates: Sequence[Gate]) -> Iterator[str]:
    """Yield the gates that failed, except the tolerance, which the table shows."""
    failed = list(failed_gates(gates))
    if failed:
        yield ""
        yield "Gates that failed:"
        for text in failed[:MAX_ROWS]:
            yield from wrapped(f"  ✗ {text}")


def differences(checks: Sequence[Check], *, most: int = MAX_ROWS) -> Iterator[str]:
    """Yield the outputs that differ. Equal differences take one entry, with the first place and the number of the others."""
    groups: dict[tuple[str, str, str], list[Check]] = {}
    for check in checks:
        for tensor in check.tensors:
            if not tensor.passed:
                groups.setdefault((tensor.name, tensor.reason or "", _worst(tensor)), []).append(check)
    if not groups:
        return
    yield from ("", "What differs:")
    for (name, reason, worst), checks_alike in list(groups.items())[:most]:
        first = checks_alike[0]
        size = f"batch {first.batch_size}" if first.batch_size else "no batch"
        place = f"{first.stage.heading}, {size}, sample {first.samples[0]}"
        if len(checks_alike) > 1:
            place += f", and {counted(len(checks_alike) - 1, 'more answer')}"
        yield from wrapped(f"  ✗ {name} ({place}): {reason}")
        if worst:
            yield from wrapped(f"      {worst}")
    if len(groups) > most:
        rest = sum(map(len, list(groups.values())[most:]))
        yield f"  … and {counted(rest, 'more answer')} in the JSON report"


def _worst(tensor: TensorCheck) -> str:
    if not tensor.worst:
        return ""
    worst = tensor.worst[0]
    return f"worst at {list(worst.index)}: expected {worst.expected:.7g}, found {worst.found:.7g}"


def findings(found: Sequence[Finding]) -> Iterator[str]:
    """Yield what is wrong besides the outputs."""
    if not found:
        return
    yield from ("", "What is wrong:")
    for finding in found[:MAX_ROWS]:
        yield from wrapped(f"  ✗ {finding.where}: {finding.what}")
        if finding.expected is not None:
            yield f"      expected {finding.expected}"
        if finding.found is not None:
            yield from wrapped(f"found    {finding.found}", first="      ", rest="        ")
    if len(found) > MAX_ROWS:
        yield f"  … and {len(found) - MAX_ROWS} more in the JSON report"


def attempts(tried: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the export strategies if more than one was tried."""
    if len(tried) < 2:
        return
    yield from ("", "Export strategies tried:")
    for attempt in tried:
        mark = MARK["passed" if attempt["outcome"] == "right" else "failed"]
        place = f" at {attempt['where']}" if attempt["where"] else ""
        why = f": {attempt['reason']}{place}" if attempt["reason"] else ""
        yield from wrapped(f"  {mark} {attempt['strategy']} ({attempt['seconds']:.1f} s), {attempt['outcome']}{why}")


def incomparable(tensor: TensorCheck) -> bool:
    """Whether the output failed by its shape or type, and so has no error values. Those of other batches do not stand for it."""
    return not tensor.passed and tensor.max_abs is None


def largest_error(tensors: Sequence[TensorCheck]) -> str:
    """The largest |found - expected| as text; `–` if one has none."""
    if any(incomparable(tensor) for tensor in tensors):
        return "–"
    values = [tensor.max_abs for tensor in tensors if tensor.max_abs is not None]
    return f"{max(values):.2e}" if values else "–"


def shortened(name: str, width: int) -> str:
    """A name in a column of a table; the JSON has the whole one."""
    return name if len(name) <= width else f"{name[: width - 2]}…"
