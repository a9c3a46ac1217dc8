"""Verify every replica of a deployment, and make one report of them: its verdict is the worst of the replicas'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from tritonize.core import deadline
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, ServerError, UsageError
from tritonize.core.messages import server as wording
from tritonize.core.reports import Finding, Report
from tritonize.core.results import WORST_FIRST
from tritonize.triton import replicas as grouping
from tritonize.triton.replicas import Replica
from tritonize.workflows import golden as golden_workflow
from tritonize.workflows import verify as verify_workflow


class Row(TypedDict):
    """What one replica answers, as plain data for reports."""

    replica: str
    verdict: str
    server: str
    """Triton's version there."""
    comparisons: int
    failed: int
    max_abs: float
    """Largest |found - expected| of all comparisons."""
    error: str
    """Why there are no comparisons; empty if there are."""


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """The reports of one replica, or why it has none."""

    replica: Replica
    reports: tuple[Report, ...] = ()
    error: ServerError | InferenceError | UsageError | None = None

    def report(self, model: str) -> Report | None:
        return next((each for each in self.reports if each.model == model), None)


def verify(request: verify_workflow.Request) -> tuple[Report, ...]:
    """Verify the versions on every replica; see `verify_workflow.verify`."""
    return _each(
        request.urls,
        request.connection,
        lambda replica: verify_workflow.verify(replace(request, urls=replica.urls, connection=replica.options)),
        on_progress=request.on_progress,
    )


def verify_golden(request: golden_workflow.Request, *, on_progress: Callable[[str], None] | None = None) -> Report:
    """Verify every replica with a golden file; see `golden_workflow.verify`."""
    return _each(
        request.urls,
        request.connection,
        lambda replica: (golden_workflow.verify(replace(request, urls=replica.urls, connection=replica.options)),),
        on_progress=on_progress,
    )[0]


def _each(
    urls: Sequence[str],
    options: ConnectionOptions,
    ask: Callable[[Replica], tuple[Report, ...]],
    *,
    on_progress: Callable[[str], None] | None,
) -> tuple[Report, ...]:
    found = grouping.replicas(urls, options)
    if len(found) < 2:
        return ask(found[0] if found else Replica(name="", urls=(), options=options))
    outcomes = []
    for number, replica in enumerate(found, 1):
        if on_progress is not None:
            on_progress(f"replica {number} of {len(found)}: {replica.name}")
        try:
            outcomes.append(_Outcome(replica=replica, reports=ask(replica)))
        except (ServerError, InferenceError, UsageError) as error:
            if deadline.left() <= 0:
                raise
            outcomes.append(_Outcome(replica=replica, error=error))
    errors = [each.error for each in outcomes if each.error is not None]
    if len(errors) == len(outcomes):
        raise errors[0]
    models = dict.fromkeys(report.model for each in outcomes for report in each.reports)
    return tuple(_combined(model, outcomes) for model in models)


def _combined(model: str, outcomes: Sequence[_Outcome]) -> Report:
    """The report of the worst replica, with the findings of all and a table of them."""
    reports = [report for each in outcomes if (report := each.report(model)) is not None]
    base = min(reports, key=lambda report: WORST_FIRST.index(report.verdict))
    missing = any(each.report(model) is None for each in outcomes)
    rows = [_row(each, model) for each in outcomes]
    return replace(
        base,
        verdict="failed" if missing else base.verdict,
        findings=tuple(finding for each in outcomes for finding in _findings(each, model)),
        notes=(*dict.fromkeys(note for report in reports for note in report.notes), *_differing(rows)),
        details={**base.details, "replicas": rows},
    )


def _findings(outcome: _Outcome, model: str) -> Iterator[Finding]:
    """The findings of one replica, which name it."""
    report, error = outcome.report(model), outcome.error
    if report is not None:
        yield from (replace(each, where=f"replica {outcome.replica.name}: {each.where}") for each in report.findings)
    elif error is not None:
        yield Finding(where=f"replica {outcome.replica.name}", what=error.what, expected=error.expected, found=error.found)


def _row(outcome: _Outcome, model: str) -> Row:
    report = outcome.report(model)
    tensors = [tensor for check in report.checks for tensor in check.tensors] if report else []
    return Row(
        replica=outcome.replica.name,
        verdict=report.verdict if report else "failed",
        server=report.proved_by.get("tritonserver", "") if report else "",
        comparisons=len(tensors),
        failed=sum(not each.passed for each in tensors),
        max_abs=max((each.max_abs or 0.0 for each in tensors), default=0.0),
        error=outcome.error.what if outcome.error else "",
    )


def _differing(rows: Sequence[Row]) -> Iterator[str]:
    """Name the replicas that answer otherwise than most."""
    compared = [row for row in rows if not row["error"]]
    columns = (("verdict", [row["verdict"] for row in compared]), ("version of Triton", [row["server"] for row in compared]))
    for name, values in columns:
        usual = max(values, key=values.count)
        for row, value in zip(compared, values, strict=True):
            if value != usual:
                yield wording.REPLICA_DIFFERS.text(replica=row["replica"], name=name, found=value, usual=usual)
