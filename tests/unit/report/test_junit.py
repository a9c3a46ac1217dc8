"""Reports for continuous integration: JUnit XML and the annotations of GitHub Actions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.support import report_samples
from tritonize.core.reports import Finding, Report, Stage
from tritonize.core.stages import StageName
from tritonize.report import github, junit


def suite_of(report: Report) -> ET.Element:
    (suite,) = ET.fromstring(junit.document([report]))
    cases = list(suite)
    assert int(suite.attrib["tests"]) == len(cases)
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[attribute]) == sum(case.find(kind) is not None for case in cases)
    return suite


def test_what_passed_has_no_failure_and_no_annotation(tmp_path: Path) -> None:
    report, _ = report_samples.classifier(tmp_path)
    assert report.verdict == "passed"
    suite = suite_of(report)
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")
    assert suite[-1].attrib["name"] == "verdict"
    assert list(github.lines([report])) == []


def test_a_wrong_model_fails_with_its_reason(tmp_path: Path) -> None:
    report, _ = report_samples.classifier(tmp_path, wrong=True)
    report = replace(report, stages=(*report.stages, Stage(name=StageName.HTTP, verdict="failed", seconds=1.5, note="9 responses")))
    suite = suite_of(report)
    failed = {case.attrib["name"]: case.find("failure") for case in suite if case.find("failure") is not None}
    assert "verdict" in failed
    verdict = failed["verdict"]
    assert verdict is not None
    assert "outside the tolerance" in verdict.attrib["message"]
    assert len((verdict.text or "").splitlines()) <= junit.MOST_LINES + 1
    (line,) = github.lines([report])
    assert line.startswith("::error title=FAILED ")
    assert "\n" not in line


def test_what_was_not_run_is_no_success(tmp_path: Path) -> None:
    report, _ = report_samples.classifier(tmp_path)
    for verdict in ("not run", "not proven"):
        suite = suite_of(replace(report, verdict=verdict, notes=("no evidence",)))
        assert suite.attrib["errors"] == "1"
        (line,) = github.lines([replace(report, verdict=verdict, notes=("no evidence",))])
        assert line.startswith(f"::warning title={verdict.upper()} ")


def test_hostile_names_stay_inside_their_element_and_line(tmp_path: Path) -> None:
    report, _ = report_samples.classifier(tmp_path)
    name = 'm"]]><x>\x1b[31m\n::error::forged'
    hostile = replace(report, model=name, verdict="failed", findings=(Finding(where=name, what=name, expected=name, found=name),))
    suite = suite_of(hostile)
    assert [each.tag for each in suite] == ["testcase"] * len(suite)
    assert "\x1b" not in ET.tostring(suite, encoding="unicode")
    (line,) = github.lines([hostile])
    assert "\n" not in line
    assert line.startswith("::error title=FAILED m")
    assert ":" not in line.removeprefix("::error ").split("::")[0]
