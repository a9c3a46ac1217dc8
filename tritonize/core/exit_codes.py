"""The exit code of a command with several results: that of the worst. This is the only place that orders them."""

from __future__ import annotations

from collections.abc import Iterable

from tritonize.core.artifacts import Report
from tritonize.core.errors import EXIT_DIFFERS, EXIT_OK, UnprovenError


def of(report: Report, *, allow_unproven: bool = False) -> int:
    """The exit code of one report.

    Args:
        report: the result for one model.
        allow_unproven: whether a required check that could not run counts as passed.
    """
    if "error" in report.details:
        return int(report.details["error"]["exit_code"])
    if report.verdict == "failed":
        return EXIT_DIFFERS
    if report.verdict == "not proven" or (report.verdict == "not run" and not allow_unproven):
        return UnprovenError.exit_code
    return EXIT_OK


def worst(codes: Iterable[int]) -> int:
    """The worst of some exit codes: an error (the largest code), then a difference (1), then what could not run (3); else 0."""
    ranks = {EXIT_OK: 0, UnprovenError.exit_code: 1, EXIT_DIFFERS: 2}
    return max(codes, key=lambda code: (ranks.get(code, len(ranks)), code), default=EXIT_OK)
