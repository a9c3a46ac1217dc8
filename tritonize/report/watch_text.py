"""A round of a repeated verification as one line, and as a JSON document for programs and webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tritonize.core import printable
from tritonize.core.conclusion import counted
from tritonize.core.results import in_words
from tritonize.core.watch_rounds import Change, Round, Row

MOST_ROWS = 100
"""Rows in one document."""


def line(done: Round, change: Change | None) -> str:
    """The time, the verdict and the figures or the first reason; on a change, also the verdict before."""
    was = f" (was {in_words(change.before).upper()})" if change and change.before != done.verdict else ""
    return printable.line(f"{_time(done)} {in_words(done.verdict).upper()}{was} {_reason(done) or _figures(done)}")


def document(done: Round, change: Change | None) -> dict[str, object]:
    """The round as plain data."""
    before = {(each.row.model, each.row.replica): each.before for each in change.rows} if change else {}
    rows = sorted(done.rows, key=lambda row: (row.model, row.replica) not in before)  # those that changed come first
    return {
        "time": _time(done),
        "round": done.number,
        "verdict": done.verdict,
        "before": change.before if change else done.verdict,
        "exit_code": done.exit_code,
        "seconds": round(done.seconds, 3),
        "requests": done.requests,
        "models": [_row(row, before.get((row.model, row.replica), row.verdict)) for row in rows[:MOST_ROWS]],
        "left_out": max(0, len(rows) - MOST_ROWS),
    }


def _time(done: Round) -> str:
    return done.began.isoformat(timespec="seconds").replace("+00:00", "Z")


def _row(row: Row, before: str) -> dict[str, Any]:
    return {
        "model": row.model,
        "version": row.version,
        "replica": row.replica,
        "verdict": row.verdict,
        "before": before,
        "why": row.why,
        "responses": row.responses,
        "noise_floor_ratio": largest(row.ratios),
        "max_error": largest(row.errors),
        "mean_latency_s": {transport: _mean(values) for transport, values in row.latencies_s.items()},
    }


def largest(values: Mapping[str, float]) -> float | None:
    """The largest value of all outputs; `None` without any."""
    return max(values.values(), default=None)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _figures(done: Round) -> str:
    replicas = {row.replica for row in done.rows}
    models = {row.model for row in done.rows}
    names = ", ".join(sorted(models)) if len(models) <= 3 else f"{len(models)} models"
    on = f" on {len(replicas)} replicas" if len(replicas) > 1 else ""
    parts = [counted(sum(row.responses for row in done.rows), "response"), f"{done.seconds:.1f} s"]
    ratios = [value for row in done.rows if (value := largest(row.ratios)) is not None]
    errors = [value for row in done.rows if (value := largest(row.errors)) is not None]
    parts += [f"k {max(ratios):.3g}"] if ratios else []
    parts += [f"max error {max(errors):.2g}"] if errors else []
    return f"{names}{on}: {', '.join(parts)}"


def _reason(done: Round) -> str:
    """The worst row's reason, and how many more rows did not pass; empty if all passed."""
    bad = [row for row in done.judged if row.why]
    first = next((row for row in bad if row.verdict == done.verdict), None)
    if first is None:
        return ""
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"{first.model} on {first.replica}: {first.why}{more}"
