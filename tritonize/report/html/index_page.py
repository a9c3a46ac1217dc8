"""The page over all models and versions of a repository: verdict, date, error, latency, their trends, and links to the reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from markupsafe import Markup

from tritonize.core.conclusion import counted
from tritonize.core.results import PROVEN, Verdict, in_words
from tritonize.report.html import page, trend
from tritonize.report.html.tables import number

MAX_MODELS = 5000
"""Models on the page."""
MAX_VERSIONS = 50
"""Newest versions of a model on the page, in its trends and its links."""
TEMPLATE = "report_index.html.j2"
_ABOUT = (
    "The error is the largest one of a version against its absolute tolerance, on a logarithmic scale with the limit as a dashed "
    "line. The latency is the median of the requests of the proof, at the smallest batch size: compare only versions that were "
    "proven on the same machine. Versions that failed are not published and so are not here."
)


@dataclass(frozen=True, kw_only=True)
class VersionPoint:
    """What the page says about one version."""

    version: int
    verdict: str
    """Of the manifest; `no evidence` or `damaged` without one."""
    created: str = ""
    """ISO 8601."""
    error: float | None = None
    """Largest |found - expected|, in the unit of the output that is nearest to its tolerance."""
    atol: float | None = None
    share: float | None = None
    """The largest error as a part of the absolute tolerance; at most 1 if it passed."""
    latency_ms: float | None = None
    latency_of: str = ""
    """Stage and batch size of the latency."""
    page: str = ""
    """Address of its report, relative to the page; empty if it has none."""


@dataclass(frozen=True, kw_only=True)
class ModelHistory:
    """One model with its versions."""

    model: str
    versions: tuple[VersionPoint, ...]
    """In ascending order."""
    served: tuple[int, ...] = ()
    """The versions that a server loads by the configuration in place; empty if that is unknown."""
    pinned: bool = False
    """Whether `promote` or `rollback` chose the served version."""


@dataclass(frozen=True, kw_only=True)
class _Link:
    version: int
    page: str
    text: str


@dataclass(frozen=True, kw_only=True)
class _Row:
    model: str
    kind: str
    verdict: str
    date: str
    error: str
    latency: str
    error_trend: Markup
    latency_trend: Markup
    served: str
    links: tuple[_Link, ...]


def render(title: str, models: Iterable[ModelHistory]) -> str:
    """The page as HTML. The models are read one at a time, and only their rows are kept."""
    rows: list[_Row] = []
    verdicts: Counter[str] = Counter()
    left_out = versions = 0
    for each in models:
        versions += len(each.versions)
        if each.versions:
            verdicts[_word(each.versions[-1].verdict)] += 1
        if len(rows) < MAX_MODELS:
            rows.append(_row(each))
        else:
            left_out += 1
    newest = ", ".join(f"{count} {word}" for word, count in sorted(verdicts.items(), key=lambda each: (-each[1], each[0])))
    summary = f"{counted(len(rows) + left_out, 'model')}, {counted(versions, 'version')}. Newest versions: {newest or 'none'}."
    template = page.environment().get_template(TEMPLATE)
    return template.render(title=title, summary=summary, about=_ABOUT, rows=rows, left_out=left_out)


def _row(model: ModelHistory) -> _Row:
    shown = model.versions[-MAX_VERSIONS:]
    newest = shown[-1] if shown else VersionPoint(version=0, verdict="no version")
    return _Row(
        model=model.model,
        kind="passed" if newest.verdict in PROVEN else "failed" if newest.verdict in ("failed", "damaged") else "open",
        verdict=f"{'✓ ' if newest.verdict in PROVEN else ''}{_word(newest.verdict)}",
        date=_date(newest.created),
        error=_error(newest),
        latency=_latency(newest),
        error_trend=_trend("Error as a part of the tolerance", shown, [each.share for each in shown], limit=1.0),
        latency_trend=_trend("Latency in ms", shown, [each.latency_ms for each in shown]),
        served=_served(model),
        links=tuple(_Link(version=each.version, page=each.page, text=_link_text(each)) for each in reversed(shown)),
    )


def _served(model: ModelHistory) -> str:
    if not model.served:
        return ""
    numbers = ", ".join(map(str, model.served))
    return f"serves version{'s' if len(model.served) > 1 else ''} {numbers}{' (pinned)' if model.pinned else ''}"


def _word(verdict: str) -> str:
    return next((in_words(each) for each in get_args(Verdict) if each == verdict), verdict)


def _date(created: str) -> str:
    return created[:16].replace("T", " ")


def _error(version: VersionPoint) -> str:
    if version.error is None:
        return ""
    return f"{number(version.error)} of {number(version.atol)}" if version.atol else number(version.error)


def _latency(version: VersionPoint) -> str:
    return "" if version.latency_ms is None else f"{version.latency_ms:.1f} ms ({version.latency_of})"


def _link_text(version: VersionPoint) -> str:
    return ", ".join(filter(None, (_word(version.verdict), _date(version.created)[:10])))


def _trend(what: str, versions: Sequence[VersionPoint], values: Sequence[float | None], *, limit: float | None = None) -> Markup:
    known = [(each.version, value) for each, value in zip(versions, values, strict=True) if value is not None]
    if len(known) < 2:
        return Markup("")
    (first, old), (last, new) = known[0], known[-1]
    about = f"{what}, versions {first} to {last}: from {number(old)} to {number(new)}, at most {number(max(v for _, v in known))}"
    return trend.line(values, about=about, limit=limit)
