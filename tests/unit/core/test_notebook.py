"""How a Report looks in a console and in a notebook."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from tests.support import report_samples
from tritonize.core import notebook
from tritonize.core.reports import Finding, Report
from tritonize.core.results import LeftOut

HOSTILE = "<script>alert(1)</script>&\"'"


class Tags(HTMLParser):
    """Collects the tags and their attributes, and requires that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_representation_fits_a_line(tmp_path: Path) -> None:
    report, _ = report_samples.classifier(tmp_path)
    expected = f"<Report of run, {report.model} version {report.version}: {report.verdict}, {len(report.checks)} comparisons>"
    assert repr(report) == expected
    edge = LeftOut(part="edge case", name="ones", why="output y is not finite")
    assert repr(replace(report, left_out=(edge, edge))) == f"{expected[:-1]}, 2 left out>"
    assert "left out: ones (edge case): output y is not finite" in replace(report, left_out=(edge,))._repr_html_()
    long = Report(command="verify", model="m" * 220, version=123456, verdict="passed quick")
    assert len(repr(long)) <= 79
    assert "\n" not in repr(Report(command="run", model="a\nb", version=1, verdict="passed"))


def test_a_notebook_shows_the_verdict_and_the_table(tmp_path: Path) -> None:
    report, _ = report_samples.classifier(tmp_path)
    shown = report._repr_html_()
    assert report.verdict.upper() in shown
    assert shown.count("<tr>") == 1 + len({(check.stage, tensor.name) for check in report.checks for tensor in check.tensors})
    assert Tags(shown).open == []


def test_texts_from_models_are_escaped_and_nothing_is_executed(tmp_path: Path) -> None:
    findings = (Finding(where=HOSTILE, what=HOSTILE),)
    shown = Report(
        command="run", model=HOSTILE, version=1, verdict="failed", findings=findings, location=Path(HOSTILE)
    )._repr_html_()
    tags = Tags(shown)
    assert {tag for tag, _ in tags.seen} <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert all(set(attributes) <= {"style"} for _, attributes in tags.seen)


def test_it_is_bounded() -> None:
    findings = tuple(Finding(where="w" * 10_000, what="x" * 10_000) for _ in range(10_000))
    shown = Report(command="run", model="m" * 10_000, version=1, verdict="failed", findings=findings)._repr_html_()
    assert len(shown) < 20_000
    rows = [["a", "b"]] * 1000
    assert notebook.fragment("t", "passed", [], header=["1", "2"], rows=rows).count("<tr>") == notebook.ROWS + 1
