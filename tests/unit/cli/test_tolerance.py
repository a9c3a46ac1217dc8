"""`tritonize tolerance` of a version, from its report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.golden_sets import question
from tritonize.cli.app import app
from tritonize.core.reports import Report
from tritonize.core.stages import StageName
from tritonize.quality import gates
from tritonize.quality.batch_checks import check_outputs
from tritonize.quality.tracker import ErrorTracker
from tritonize.report import text
from tritonize.spec.schema import Tolerance


@pytest.fixture(name="failed")
def _failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a staged version whose output differs by 1e-6, ten times PyTorch's own error."""
    monkeypatch.chdir(tmp_path)
    golden = question(1, tolerance=Tolerance(rtol=0.0, atol=1e-7))
    expected, tracker = golden.expected_outputs((0,)), ErrorTracker(golden)
    found = {"y": expected["y"] + expected["y"].dtype.type(1e-6)}
    check = check_outputs(golden, StageName.ONNXRUNTIME, (0,), expected=expected, found=found, tracker=tracker)
    advice = gates.judge(tracker, [check]).tolerances
    evidence = tmp_path / "repository" / "heart" / "1" / "evidence"
    evidence.mkdir(parents=True)
    (evidence.parents[1] / "config.pbtxt").write_text('name: "heart"\n')
    report = Report(command="build", model="heart", version=1, verdict="failed", checks=(check,), tolerances=advice)
    (evidence / "report.json").write_text(text.dumps(report))
    return evidence.parent


def test_a_staged_version_that_failed(failed: Path) -> None:
    result = CliRunner().invoke(app, ["tolerance", str(failed)])
    assert result.exit_code == 1
    assert "✗ y at ONNX Runtime, now rtol 0, atol 1e-07" in result.stdout
    assert "To accept these differences, write in the spec:" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_version_in_a_repository_as_json(failed: Path) -> None:
    result = CliRunner().invoke(app, ["tolerance", str(failed.parents[1]), "heart", "--json"])
    assert result.exit_code == 1
    (model,) = json.loads(result.stdout)["models"]
    (output,) = model["outputs"]
    assert (model["model"], output["output"], output["concerns"]) == ("heart", "y", [])
    assert 1e-6 < output["least_atol"] <= output["suggested_atol"] < 1.3e-6


@pytest.mark.parametrize(
    "arguments",
    [
        ["repository"],
        ["repository/heart"],
        ["repository/heart/"],
        ["repository/heart/1"],
        ["repository/heart/1/evidence"],
        ["repository/heart/1/evidence/report.json"],
        ["repository", "heart"],
    ],
)
def test_every_path_of_a_version_is_accepted(arguments: list[str], failed: Path) -> None:
    result = CliRunner().invoke(app, ["tolerance", *arguments])
    assert result.exit_code == 1, result.output
    assert result.stdout.startswith("heart version 1\n  ✗ y at ONNX Runtime")


@pytest.mark.parametrize(("folder", "argument"), [("heart", "."), ("heart/1/evidence", "report.json"), ("heart/1/evidence", "..")])
def test_a_path_from_inside_the_repository(folder: str, argument: str, failed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(failed.parents[1] / folder)
    assert CliRunner().invoke(app, ["tolerance", argument]).stdout.startswith("heart version 1\n")


def test_the_version_that_is_served_is_preferred_and_named(failed: Path) -> None:
    shutil.copytree(failed, failed.parent / "2")
    config = failed.parent / "config.pbtxt"
    chosen = ["tolerance", "repository/heart"]
    assert json.loads(CliRunner().invoke(app, [*chosen, "--json"]).stdout)["models"][0]["path"] == "repository/heart/2"
    config.write_text('name: "heart"\nversion_policy { specific { versions: [1] } }\n')
    assert CliRunner().invoke(app, chosen).stdout.startswith("heart version 1 (the newest is version 2)\n")
    result = CliRunner().invoke(app, [*chosen, "--version", "3"])
    assert getattr(result.exception, "code", None) == "repository-no-version"


def test_a_report_of_an_earlier_release_has_none(failed: Path) -> None:
    path = failed / "evidence" / "report.json"
    plain = json.loads(path.read_text())
    del plain["tolerances"]
    path.write_text(json.dumps(plain))
    result = CliRunner().invoke(app, ["tolerance", str(failed)])
    assert getattr(result.exception, "code", None) == "tolerance-no-report"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["spec.yaml", "--version", "3"], "tolerance-version-of-source"), (["heart", "--opset", "17"], "tolerance-flags-of-report")],
)
def test_flags_that_would_have_no_effect_are_errors(arguments: list[str], code: str) -> None:
    result = CliRunner().invoke(app, ["tolerance", *arguments])
    assert getattr(result.exception, "code", None) == code
