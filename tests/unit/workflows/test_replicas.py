"""One report of several replicas: the worst verdict, the findings of all, a table, and who differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tritonize.core.errors import RepositoryError, ServerError, TritonizeError
from tritonize.core.reports import Finding, Report
from tritonize.report import text
from tritonize.workflows import replicas
from tritonize.workflows import verify as verify_workflow

URLS = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]


def report(verdict: str = "passed", *findings: Finding, version: str = "2.51.0", note: str = "n") -> Report:
    return Report(
        command="verify",
        model="m",
        version=1,
        verdict=verdict,  # type: ignore[arg-type]
        findings=findings,
        notes=(note,),
        proved_by={"tritonserver": version},
    )


def verified(monkeypatch: pytest.MonkeyPatch, *outcomes: Report | TritonizeError) -> Report:
    """The report of as many replicas."""
    by_url = dict(zip(URLS, outcomes, strict=False))

    def verify(request: verify_workflow.Request) -> tuple[Report, ...]:
        (url,) = request.urls
        outcome = by_url[url]
        if isinstance(outcome, TritonizeError):
            raise outcome
        return (outcome,)

    monkeypatch.setattr(verify_workflow, "verify", verify)
    said: list[str] = []
    request = verify_workflow.Request(repository=Path(), urls=URLS[: len(outcomes)], on_progress=said.append)
    (found,) = replicas.verify(request)
    assert len(said) == (len(outcomes) if len(outcomes) > 1 else 0)
    return found


def test_one_replica_is_reported_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = report()
    assert verified(monkeypatch, alone) is alone


def test_replicas_of_a_quick_version_are_no_full_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    found = verified(monkeypatch, report(), report("passed quick"))
    assert found.verdict == "passed quick"
    assert "✓ 127.0.0.1:2" in text.as_text(found)


def test_the_worst_replica_decides_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = verified(monkeypatch, report(), report("failed", Finding(where="m", what="other weights")), report())
    assert found.verdict == "failed"
    assert [each.where for each in found.findings] == ["replica 127.0.0.1:2: m"]
    assert [row["verdict"] for row in found.details["replicas"]] == ["passed", "failed", "passed"]
    assert "The replica 127.0.0.1:2 differs from the others: its verdict is 'failed', theirs is 'passed'." in found.notes
    lines = text.as_text(found).splitlines()
    assert sum(line.startswith(("✓ 127.0.0.1", "✗ 127.0.0.1")) for line in lines) == 3
    assert verified(monkeypatch, report("not run"), report()).verdict == "not run"


def test_an_unreachable_replica_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    found = verified(monkeypatch, ServerError("The server cannot be reached.", found="refused"), report())
    assert found.verdict == "failed"
    assert found.findings == (Finding(where="replica 127.0.0.1:1", what="The server cannot be reached.", found="refused"),)
    assert found.details["replicas"][0]["error"] == "The server cannot be reached."
    assert "✗ 127.0.0.1:1  The server cannot be reached." in text.as_text(found)


def test_another_version_of_triton_is_named_and_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = verified(monkeypatch, report(), report(version="2.50.0"), report())
    assert found.verdict == "passed"
    assert [each for each in found.notes if "2.50.0" in each and "127.0.0.1:2" in each]
    assert found.notes[0] == "n"  # once


@pytest.mark.parametrize("error", [ServerError("none"), RepositoryError("damaged")])
def test_an_error_of_every_replica_is_the_commands(monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    with pytest.raises(type(error)):
        verified(monkeypatch, error, error)
