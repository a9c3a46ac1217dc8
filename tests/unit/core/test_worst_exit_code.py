"""The exit code of several reports."""

from __future__ import annotations

import pytest

from tritonize.core import exit_codes
from tritonize.core.reports import Report
from tritonize.core.results import Verdict


@pytest.mark.parametrize(
    ("codes", "worst"),
    [((), 0), ((0, 0), 0), ((0, 3), 3), ((3, 1, 0), 1), ((1, 7, 3), 7), ((6, 8, 1), 8), ((7, 70), 70)],
)
def test_the_worst_code_is_that_of_the_command(codes: tuple[int, ...], worst: int) -> None:
    assert exit_codes.worst(codes) == exit_codes.worst(reversed(codes)) == worst


@pytest.mark.parametrize(
    ("verdict", "code", "unproven"),
    [("passed", 0, 0), ("passed here", 0, 0), ("passed quick", 0, 0), ("failed", 1, 1), ("not run", 3, 0), ("not proven", 3, 3)],
)
def test_each_verdict_has_one_code(verdict: Verdict, code: int, unproven: int) -> None:
    report = Report(command="verify", model="m", version=1, verdict=verdict)
    assert exit_codes.of(report) == code
    assert exit_codes.of(report, allow_unproven=True) == unproven
