"""The summary on the page of a GitHub Actions run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import invoke
from tritonize.cli import endings, step_summary
from tritonize.core import markdown
from tritonize.core.reports import Check, Finding, Report
from tritonize.core.stages import StageName
from tritonize.quality.comparison import compare

EVIL = "</code><script>|x|\n# [a](http://b) `c` **d** ![e](f) @g \x1b[31m"


def check(name: str, error: float, stage: StageName = StageName.HTTP) -> Check:
    expected = np.zeros((1, 3), np.float32)
    tensors = compare({name: expected}, {name: expected + np.float32(error)}, {})
    return Check(stage=stage, batch_size=1, samples=(0,), tensors=tensors)


PASSED = Report(command="verify", model="heart", version=7, verdict="passed", checks=(check("scores", 1e-7),))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "summary.md"
    path.write_text("what an earlier step wrote\n")
    monkeypatch.setenv(step_summary.VARIABLE, str(path))
    return path


def test_verdict_reason_table_and_next_step_are_appended(file: Path) -> None:
    endings.print_reports([PASSED, replace(PASSED, verdict="failed", checks=(check("scores", 1.0),))], as_json=True)
    text = file.read_text()
    assert text.startswith(
        "what an earlier step wrote\n### PASSED heart version 7\n\n1 comparison, all within tolerance\n\n| Stage |"
    )
    assert "| Triton, HTTP | <code>scores</code> | 1 | 1.00e-07 | 0 |" in text
    assert "### FAILED heart version 7" in text
    assert "\nNext: " in text.partition("### FAILED")[2]


def test_names_from_outside_add_no_markup(file: Path) -> None:
    found = replace(
        PASSED,
        model=EVIL,
        verdict="failed",
        checks=(check(EVIL, 1.0),),
        findings=(Finding(where=EVIL, what=EVIL),),
        notes=(f"Next: {EVIL}",),
    )
    endings.print_reports([found], as_json=False)
    text = file.read_text()
    assert "<script" not in text
    assert "\x1b" not in text
    for line in text.splitlines():
        assert "](http" not in line.replace("\\]\\(http", "")
        assert not line.startswith("# ")
    (row,) = [line for line in text.splitlines() if "Triton, HTTP" in line and line.startswith("|")]
    assert row.replace("\\|", "").count("|") == 6


def test_the_summary_is_bounded_and_a_full_file_is_left_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = replace(PASSED, checks=tuple(check(f"output_{number}_{'x' * 500}", 1e-7) for number in range(40)))
    endings.print_reports([many] * 10, as_json=False)
    assert file.stat().st_size < 70_000
    assert "Cut, since it is too long." in file.read_text()
    file.write_bytes(b"x" * (step_summary.MOST_BYTES - 10))
    endings.print_reports([PASSED], as_json=False)
    assert file.stat().st_size == step_summary.MOST_BYTES - 10
    assert "has no room" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(step_summary.VARIABLE, str(tmp_path))
    endings.print_reports([PASSED], as_json=False)
    printed = capsys.readouterr()
    assert "PASSED heart" in printed.out
    assert printed.err.startswith("Warning: no summary was written")


def test_an_error_and_lint_have_a_summary(file: Path, tmp_path: Path) -> None:
    assert invoke("verify", "nowhere", cwd=tmp_path).returncode != 0
    (tmp_path / "repository" / "net").mkdir(parents=True)
    assert invoke("lint", "repository", cwd=tmp_path).returncode == 1
    assert invoke("list", "nowhere", cwd=tmp_path).returncode != 0
    first, second = file.read_text().split("### ")[1:]
    assert first.startswith("ERROR tritonize verify\n\n- There is no such model repository.")
    assert second.startswith("FAILED tritonize lint\\: ")
    assert "TR" in second


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("run `a b` now", "run <code>a b</code> now"),
        ("a ` b", "a \\` b"),
        ("<b> & *c*", "&lt;b&gt; &amp; \\*c\\*"),
        ("http://x_y", "http\\://x\\_y"),
    ],
)
def test_a_sentence_in_markdown(given: str, shown: str) -> None:
    assert markdown.sentence(given) == shown
