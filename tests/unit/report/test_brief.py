"""The short form of a report on a terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tritonize.core import wrapping
from tritonize.core.messages import repository
from tritonize.core.reports import Check, Report
from tritonize.core.stages import StageName
from tritonize.quality.comparison import compare
from tritonize.report import brief, ending

EXPECTED = np.zeros((1, 3), np.float32)
SERVER = (StageName.HTTP, StageName.GRPC, StageName.SHM, StageName.AGAIN)


def check(stage: StageName, error: float, output: str = "scores") -> Check:
    return Check(
        stage=stage, batch_size=1, samples=(0,), tensors=compare({output: EXPECTED}, {output: EXPECTED + np.float32(error)}, {})
    )


def report(*checks: Check, **fields: object) -> Report:
    known: dict[str, object] = {"command": "run", "model": "heart", "version": 7, "verdict": "passed", "checks": checks}
    return Report(**{**known, **fields})  # type: ignore[arg-type]


def text(found: Report) -> list[str]:
    return list(brief.lines(found))


def test_transports_that_agree_to_the_last_digit_shown_are_one_row() -> None:
    found = report(check(StageName.ONNXRUNTIME, 1e-7), *(check(stage, 1e-7) for stage in SERVER))
    assert text(found) == [
        "  stage                                     output  compared  max error  outside",
        "✓ ONNX Runtime                              scores         1   1.00e-07        0",
        "✓ Triton: HTTP, gRPC, shared memory,        scores         4   1.00e-07        0",
        "    repeated",
    ]


def test_a_transport_that_differs_has_a_row_of_its_own() -> None:
    found = report(
        check(StageName.HTTP, 1e-7), check(StageName.GRPC, 2e-7), check(StageName.SHM, 1e-7), check(StageName.AGAIN, 1.0)
    )
    rows = brief.rows(found)
    assert [(row.title, row.error, row.outside) for row in rows] == [
        ("Triton: HTTP, shared memory", "1.00e-07", 0),
        ("Triton, gRPC", "2.00e-07", 0),
        ("Triton, repeated", "1.00e+00", 1),
    ]


def test_what_failed_is_shown_first_in_a_long_table() -> None:
    many = [check(StageName.HTTP, 1e-7, f"output_{number}") for number in range(30)]
    found = text(report(*many, check(StageName.HTTP, 1.0, "wrong"), verdict="failed"))
    assert found[1].startswith("✗ Triton, HTTP  wrong")
    assert found[1 + brief.MAX_ROWS] == "  … and 7 more rows: --verbose"


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_no_line_is_longer_than_the_terminal(columns: int) -> None:
    found = report(*(check(stage, error) for stage in SERVER for error in (1e-7, 1.0)), notes=("a note " * 40,), verdict="failed")
    with wrapping.at(columns):
        lines = text(found)
    assert max(map(len, lines)) <= columns
    assert max(map(len, lines)) > columns - 20


def test_statistics_and_notes_are_left_to_verbose_unless_it_failed() -> None:
    found = report(check(StageName.HTTP, 1e-7), notes=("Most of the budget is spent.", "No target was declared."))
    assert "budget" not in " ".join(text(found))
    assert brief.more(found) == "--verbose adds 2 notes."
    assert "budget" in " ".join(text(replace(found, verdict="failed")))


def test_what_is_true_of_every_repository_is_left_to_verbose_even_if_it_failed() -> None:
    found = report(check(StageName.HTTP, 1.0, "wrong"), notes=(repository.SUMS.text(), "a note"), verdict="failed")
    assert "a note" in " ".join(text(found))
    assert "forgery" not in " ".join(text(found))


def test_the_ending_of_a_published_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "my models" / "heart" / "7"
    found = report(check(StageName.HTTP, 1e-7), location=place, published=True)
    end = ending.ending(found, ["run", "heart.yaml"], page=place / "evidence" / "report.html")
    assert end.line == "PASSED heart version 7: 1 comparison, all within tolerance"
    assert end.next_step == "tritonize serve 'my models'"
    assert (str(end.page), end.open_command) == (
        "my models/heart/7/evidence/report.html",
        "tritonize report 'my models/heart/7'",
    )


def test_the_next_step_after_build_is_the_same_run() -> None:
    found = report(check(StageName.ONNXRUNTIME, 1e-7), command="build", version=None)
    assert ending.ending(found, ["build", "a b.yaml", "--json", "-m", "heart"], page=None).next_step == (
        "tritonize run 'a b.yaml' -m heart"
    )


def test_a_failure_without_a_report_points_at_verbose() -> None:
    found = report(check(StageName.CHECK, 1.0), command="check", verdict="failed", version=None, checks=(), details={})
    assert "--verbose" in ending.ending(found, ["check"], page=None).next_step
    assert ending.ending(found, ["check"], page=None, verbose=True).next_step == ""


def test_a_failed_check_is_not_blamed_on_a_server() -> None:
    found = report(check(StageName.CHECK, 1.0), command="check", verdict="failed", version=None)
    assert "server" not in ending.ending(found, ["check"], page=None).next_step
    assert "--atol" in ending.ending(found, ["check"], page=None).next_step
