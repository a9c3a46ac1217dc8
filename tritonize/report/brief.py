"""The short form of a Report, for a terminal: a table with one row where transports agree, and what helps in a failure.

`text.py` has the whole text, with signal-to-noise ratios, noise-floor ratios and notes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from tritonize.core import error_location, wrapping
from tritonize.core.artifacts import from_json
from tritonize.core.conclusion import conclude, counted, failed_stages
from tritonize.core.error_location import Location
from tritonize.core.messages import repository
from tritonize.core.reports import Report, TensorCheck
from tritonize.core.results import PASSED
from tritonize.core.stages import StageName
from tritonize.core.wrapping import wrapped
from tritonize.report.text import plan_lines
from tritonize.report.text_parts import MARK, below_table, largest_error

MAX_ROWS = 24
"""Rows of the table; those that failed come first if there are more."""
_MOST_DIFFERENCES = 3
_NARROWEST = 20
"""Least columns for the names of the stages."""
_NEXT = "Next: "
_FIGURES = "  compared  max error  outside"


@dataclass(kw_only=True)
class Row:
    """The comparisons of one output at one stage, or at several of a server that agree to the last digit shown."""

    stages: list[StageName]
    output: str
    passed: bool
    tensors: list[TensorCheck] = field(default_factory=list)

    @property
    def error(self) -> str:
        """Largest |found - expected|, as it is shown."""
        return largest_error(self.tensors)

    @property
    def outside(self) -> int:
        """Comparisons outside the tolerance, or with another shape or type."""
        return sum(not tensor.passed for tensor in self.tensors)

    @property
    def title(self) -> str:
        """`ONNX Runtime`, or `Triton: HTTP, gRPC, shared memory`."""
        if len(self.stages) == 1:
            return self.stages[0].heading
        return f"Triton: {', '.join(stage.heading.removeprefix('Triton, ') for stage in self.stages)}"


def rows(report: Report) -> list[Row]:
    """The rows of the table, in the order of the stages. A row that failed stands alone."""
    single: dict[tuple[StageName, str], Row] = {}
    failed = failed_stages(report)
    for check in report.checks:
        for tensor in check.tensors:
            new = Row(stages=[check.stage], output=tensor.name, passed=check.stage not in failed)
            row = single.setdefault((check.stage, tensor.name), new)
            row.tensors.append(tensor)
            row.passed = row.passed and tensor.passed
    merged: dict[tuple[object, ...], Row] = {}
    for (stage, output), row in single.items():
        alike = (output, row.error) if stage.transport is not None and row.passed else (stage, output)
        if alike in merged:
            merged[alike].stages += row.stages
            merged[alike].tensors += row.tensors
        else:
            merged[alike] = row
    return list(merged.values())


def lines(report: Report) -> Iterator[str]:
    """Yield the text above the verdict."""
    conclusion = conclude(report)
    yield from _table(report)
    yield from below_table(report, most=_MOST_DIFFERENCES)
    if "location" in report.details:
        yield ""
        located = error_location.lines(from_json(Location, report.details["location"]))
        yield from itertools.takewhile(lambda line: not line.startswith(_NEXT), located)  # the ending has the next step
    if plans := report.details.get("plans"):
        yield ""
        for plan in plans:
            yield from plan_lines(plan)
    if report.verdict not in PASSED:
        yield from _notes(report, conclusion.sentence)


def _notes(report: Report, sentence: str) -> Iterator[str]:
    known = (sentence, repository.SUMS.text())  # the second is true of every repository without signatures
    notes = [each for each in report.notes if each not in known and not each.startswith(_NEXT)]
    if notes:
        yield ""
    for note in notes:
        yield from wrapped(note)


def more(report: Report) -> str:
    """What `--verbose` adds; empty for nothing."""
    hidden = ["SNR", "the noise-floor ratio (k)"] if report.gates or report.rows else []
    if report.verdict in PASSED and report.notes:
        hidden.append(counted(len(report.notes), "note"))
    listed = " and ".join(", ".join(hidden).rsplit(", ", 1))
    return f"--verbose adds {listed}." if hidden else ""


def _table(report: Report) -> Iterator[str]:
    found = rows(report)
    shown = found if len(found) <= MAX_ROWS else sorted(found, key=lambda row: row.passed)[:MAX_ROWS]
    if not shown:
        return
    output = max(len("output"), *(len(row.output) for row in shown))
    figures = 2 + output + len(_FIGURES)
    titles = max(len(row.title) for row in shown)
    title = min(titles, max(_NARROWEST, wrapping.width() - 2 - figures))
    yield f"  {'stage':<{title}}  {'output':<{output}}{_FIGURES}"
    for row in shown:
        first, *rest = _in_column(row.title, title)
        mark = MARK["passed" if row.passed else "failed"]
        yield f"{mark} {first:<{title}}  {row.output:<{output}}  {len(row.tensors):>8,}  {row.error:>9}  {row.outside:>7,}"
        yield from (f"    {each}" for each in rest)
    if len(shown) < len(found):
        yield f"  … and {len(found) - len(shown)} more rows: --verbose"


def _in_column(title: str, columns: int) -> list[str]:
    """The lines of a stage's name; those after the first are indented by two columns more."""
    with wrapping.at(columns):
        first, *_ = wrapped(title)
    rest = title.removeprefix(first).strip()
    with wrapping.at(max(columns - 2, _NARROWEST)):
        return [first, *wrapped(rest, rest="")]
