"""Write Reports as JUnit XML, which continuous integration shows as tests: one suite per model, one case per stage and finding.

Source: the elements that Jenkins, GitLab and GitHub's reporters read (testmoapp/junitxml on GitHub describes them).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from tritonize.core import printable
from tritonize.core.conclusion import conclude, describe_gate
from tritonize.core.reports import Check, Report, Stage
from tritonize.core.results import in_words
from tritonize.core.stages import heading

MOST_LINES = 20
"""Lines of a failure's text."""


def document(reports: Sequence[Report]) -> bytes:
    """The reports as one XML document in UTF-8.

    The last case of a suite is the verdict. It is an error if the model is *not run* or *not proven*, since a skipped case
    would count as good.
    """
    root = ET.Element("testsuites", name="tritonize")
    for report in reports:
        root.append(_suite(report))
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _suite(report: Report) -> ET.Element:
    name = f"{report.model} version {report.version}" if report.version is not None else report.model
    suite = ET.Element("testsuite", name=printable.line(name))
    suite.extend(_case(report, heading(stage.name), seconds=stage.seconds, result=_stage(report, stage)) for stage in report.stages)
    for finding in report.findings:
        detail = [f"{name}: {text}" for name, text in (("expected", finding.expected), ("found", finding.found)) if text]
        suite.append(_case(report, finding.where, result=_result("failure", finding.what, detail)))
    # Readers of JUnit know no pass that is less than one, so the name says it.
    name = "verdict" if report.verdict != "passed quick" else f"verdict: {in_words(report.verdict)}"
    suite.append(_case(report, name, result=_verdict(report)))
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    suite.set("tests", str(len(suite)))
    for attribute, kind in kinds.items():
        suite.set(attribute, str(sum(case.find(kind) is not None for case in suite)))
    suite.set("time", f"{sum(stage.seconds for stage in report.stages):.3f}")
    return suite


def _case(report: Report, name: str, *, seconds: float = 0.0, result: ET.Element | None) -> ET.Element:
    case = ET.Element("testcase", name=printable.line(name), classname=printable.line(report.model), time=f"{seconds:.3f}")
    if result is not None:
        case.append(result)
    return case


def _stage(report: Report, stage: Stage) -> ET.Element | None:
    """What did not pass; the verdict says whether a stage that was not run matters."""
    if stage.verdict == "failed":
        wrong = [check for check in report.checks if not check.passed and check.stage == stage.name]
        return _result("failure", stage.note, list(_lines(wrong)))
    return _result("skipped", stage.note, ()) if stage.verdict == "not run" else None


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        for tensor in check.tensors:
            if not tensor.passed:
                yield f"batch size {check.batch_size}, samples {', '.join(map(str, check.samples))}: {tensor.name}: {tensor.reason}"


def _verdict(report: Report) -> ET.Element | None:
    conclusion = conclude(report)
    if report.verdict == "failed":
        gates = [f"{gate.output}: {describe_gate(gate)}" for gate in report.gates if gate.verdict == "failed"]
        return _result("failure", conclusion.sentence, [*conclusion.reasons, *gates])
    if report.verdict in ("not run", "not proven"):
        return _result("error", f"{report.verdict}: {conclusion.sentence}", ())
    return None


def _result(kind: str, message: str, lines: Sequence[str]) -> ET.Element:
    """An element whose text has at most `MOST_LINES` lines."""
    result = ET.Element(kind, message=printable.line(message))
    shown = [printable.line(line) for line in lines[:MOST_LINES]]
    more = [f"… and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    result.text = "\n".join([*shown, *more]) or None
    return result
