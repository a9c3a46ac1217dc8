"""`tritonize.testing.assert_proven`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonize.core.reports import Finding, Report
from tritonize.core.results import Verdict
from tritonize.testing import REASONS, assert_proven


def report(verdict: Verdict, **fields) -> Report:
    return Report(**{"command": "run", "model": "heart", "version": 3, "verdict": verdict, **fields})


@pytest.mark.parametrize("verdict", ["passed", "passed here"])
def test_a_proof_passes_alone_and_among_others(verdict: Verdict) -> None:
    assert_proven(report(verdict))
    assert_proven((report(verdict), report("passed", command="verify")))


def test_a_failure_has_the_reasons_and_where_the_report_lies() -> None:
    findings = tuple(Finding(where=f"file {number}", what="it changed") for number in range(REASONS + 2))
    with pytest.raises(AssertionError) as caught:
        assert_proven([report("passed"), report("failed", findings=findings, location=Path("staged/heart/3"))])
    lines = str(caught.value).splitlines()
    assert lines[0] == "heart version 3: failed"
    assert lines[1] == "  file 0: it changed"
    assert lines[-2:] == ["  … and 2 more", "  report: staged/heart/3/evidence/report.html"]


@pytest.mark.parametrize(
    ("verdict", "allowed"), [("passed quick", "allow_quick"), ("not run", "allow_unproven"), ("not proven", None)]
)
def test_less_than_a_proof_is_accepted_only_where_it_is_allowed(verdict: Verdict, allowed: str | None) -> None:
    with pytest.raises(AssertionError, match=f"heart version 3: {verdict}"):
        assert_proven(report(verdict))
    if allowed:
        assert_proven(report(verdict), **{allowed: True})


@pytest.mark.parametrize("command", ["build", "check"])
def test_a_comparison_without_a_server_is_no_proof(command: str) -> None:
    with pytest.raises(AssertionError, match="no response of a server"):
        assert_proven(report("passed", command=command))
    assert_proven(report("passed", command=command), allow_unserved=True)
    with pytest.raises(AssertionError, match="failed"):
        assert_proven(report("failed", command=command), allow_unserved=True)


def test_no_report_is_a_failure() -> None:
    with pytest.raises(AssertionError, match="no report"):
        assert_proven(())
