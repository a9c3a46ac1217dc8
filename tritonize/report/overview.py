"""One line for each model, at the end of several reports."""

from __future__ import annotations

from collections.abc import Sequence

from tritonize.core import printable
from tritonize.core.conclusion import conclude
from tritonize.core.reports import Report
from tritonize.core.results import in_words
from tritonize.core.wrapping import cut


def overview(reports: Sequence[Report]) -> str:
    """One line for each model, at the end of several reports: verdict, model and version, and the first reason."""
    names = [f"{each.model}{f' version {each.version}' if each.version is not None else ''}" for each in reports]
    width = max(map(len, names))
    verdicts = [in_words(each.verdict).upper() for each in reports]
    longest = max(map(len, verdicts))
    lines = [
        f"{verdict:<{longest}}  {name:<{width}}  {conclude(each).sentence}"
        for verdict, name, each in zip(verdicts, names, reports, strict=True)
    ]
    return "".join(f"{cut(printable.line(line))}\n" for line in lines)
