"""One line for each model, at the end of several reports."""

from __future__ import annotations

from collections.abc import Sequence

from tritonize.core import printable
from tritonize.core.artifacts import Report
from tritonize.core.conclusion import conclude
from tritonize.core.wrapping import cut


def overview(reports: Sequence[Report]) -> str:
    """One line for each model, at the end of several reports: verdict, model and version, and the first reason."""
    names = [f"{each.model}{f' version {each.version}' if each.version is not None else ''}" for each in reports]
    width = max(map(len, names))
    lines = [
        f"{each.verdict.upper():<12}{name:<{width}}  {conclude(each).sentence}" for each, name in zip(reports, names, strict=True)
    ]
    return "".join(f"{cut(printable.line(line))}\n" for line in lines)
