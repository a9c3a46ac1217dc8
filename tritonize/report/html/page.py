"""Build the HTML page: the verdict first, then the sections with tables and figures."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import jinja2
from markupsafe import Markup, escape

from tritonize.core import resources
from tritonize.core.artifacts import Report
from tritonize.core.conclusion import Conclusion, conclude, reference_name
from tritonize.core.figures import Figures
from tritonize.core.results import Verdict, in_words
from tritonize.report.html import figures as html_figures
from tritonize.report.html import slice_panes, tables
from tritonize.report.html.figures import Figure
from tritonize.report.html.tables import Table

LIMIT = 10_000_000
"""Largest size of a page in bytes."""
_SIZES = ((8_000_000, 400), (4_000_000, 200), (1_000_000, 50), (0, 10))
"""Characters of all images and rows of each table; the first pair whose page is at most `LIMIT` bytes is used."""
_CODE = re.compile("`([^`\n]+)`")
_NUMBER = re.compile(r"-?[0-9][0-9.,e+-]{0,15}( %)?")
_SHORT = 28
"""Largest number of characters of a table cell that does not wrap on a screen."""
TEMPLATE = "report.html.j2"
_MAX_REASONS = 3
"""Further reasons of a failure that the head of the page lists."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    slices: tuple[slice_panes.SliceFigure, ...] = ()
    commands: tuple[tuple[str, str], ...] = field(default_factory=tuple)
    """Description and command line."""


def render(report: Report, figures: Figures | None = None) -> str:
    """The page as HTML; the same report and figures give the same text.

    Raises:
        jinja2.TemplateError: the template uses a name that it is not given.
    """
    for budget, rows in _SIZES:
        page = _page(report, figures or Figures(), budget, rows=rows)
        if len(page.encode()) <= LIMIT:
            break
    return page


def _page(report: Report, figures: Figures, budget: int, *, rows: int) -> str:
    version = f" version {report.version}" if report.version is not None else ""
    conclusion = conclude(report)
    return filled(
        title=f"{report.model}{version}",
        verdict=report.verdict,
        sentence=_capitalized(conclusion.sentence),
        facts=tuple(_facts(report, conclusion)),
        sections=tuple(_sections(report, figures, budget, rows=rows)),
    )


def filled(*, title: str, verdict: Verdict, sentence: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The template with a verdict and sections; every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([str(resources.templates())]),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"prose": _prose, "width": _width}
    return environment.get_template(TEMPLATE).render(
        title=title,
        verdict=verdict,
        word=in_words(verdict).capitalize(),
        sentence=sentence,
        facts=facts,
        sections=sections,
    )


def _prose(text: str) -> Markup:
    """Turn text in backticks into code. The text is escaped first; no HTML entity contains a backtick."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def _width(cell: str) -> Markup:
    """The class of a table cell, which sets how it wraps: a number never does, a short text does on paper only."""
    kind = "number" if _NUMBER.fullmatch(cell) else "short" if len(cell) <= _SHORT else ""
    return Markup(f' class="{kind}"') if kind else Markup("")  # noqa: S704 - one of two words


def _capitalized(text: str) -> str:
    """The text as a sentence, with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _facts(report: Report, conclusion: Conclusion) -> Iterator[tuple[str, str]]:
    """Yield the list at the head of the page: the server, further failures, the comparisons and what did not run."""
    if report.proved_by:
        yield "Proved by", ", ".join(f"{name} {version}" for name, version in report.proved_by.items())
    else:
        yield "Proved by", "no server: this is no proof of what a server answers"
    further = conclusion.reasons[1:]  # the first is the banner's sentence
    for reason in further[:_MAX_REASONS]:
        yield "Failed too", reason
    if len(further) > _MAX_REASONS:
        yield "Failed too", f"{len(further) - _MAX_REASONS} more, see below"
    yield "Answers", f"{conclusion.comparisons} compared, {conclusion.outside} of them outside the tolerance"
    for name, note in conclusion.not_run:
        yield "Not run", f"{name}: {note}" if note else name
    if report.location is not None:
        yield ("Published as" if report.published else "Lies in"), str(report.location)
    yield "Command", f"tritonize {report.command}"


def _sections(report: Report, figures: Figures, budget: int, *, rows: int) -> Iterator[Section]:
    yield from _differences(report, rows)
    if report.notes:
        yield Section(anchor="notes", title="Before you sign", text=report.notes)
    yield Section(anchor="stages", title="Stage table", text=_no_rows(report), tables=_filled(tables.of_errors(report, rows)))
    slices = slice_panes.fitting(figures.slices, budget)
    if slices:
        yield Section(anchor="pictures", title="Pictures", text=(f"At {figures.heading}.",), slices=slices)
    classes = tuple(html_figures.top_classes(figures))
    if classes:
        yield Section(anchor="classes", title="Highest classes", figures=classes)
    yield from _errors(report, figures)
    yield _graph(figures)
    latency = html_figures.latency(report)
    no_latency = ("No server ran, so latency was not measured.",)
    yield Section(anchor="latency", title="Latency", text=() if latency else no_latency, figures=(latency,) if latency else ())
    rules = (tables.of_gates(report.gates, rows), tables.of_answers(report, rows), tables.of_floors(report, rows))
    yield Section(anchor="rules", title="Rules and answers", tables=_filled(*rules))
    yield Section(anchor="run", title="The run", tables=_filled(tables.of_stages(report, rows), tables.of_attempts(report, rows)))
    yield Section(
        anchor="reproduce",
        title="Reproduce",
        commands=tuple(_commands(report)),
        tables=_filled(tables.of_versions(report, rows), tables.of_details(report, rows)),
        text=("The SHA-256 of every file of the version, and the spec, are in evidence/manifest.json.",),
    )


def _differences(report: Report, rows: int) -> Iterator[Section]:
    differences = _filled(tables.of_findings(report, rows), tables.of_failures(report.checks, rows))
    if differences:
        yield Section(anchor="differs", title="What differs", tables=differences)


def _no_rows(report: Report) -> tuple[str, ...]:
    return () if report.rows else ("No error was measured stage by stage.",)


def _errors(report: Report, figures: Figures) -> Iterator[Section]:
    pictures = (
        *html_figures.histograms(figures),
        *html_figures.scatters(report, figures),
        *html_figures.by_sample(report, figures),
        *html_figures.by_batch(report),
    )
    against = {"fp64": "float64", "fp32": "float32"}[figures.against]
    names = reference_name(report, against), reference_name(report)
    text = f"Histograms and points compare with {names[0]}; samples and batch sizes with {names[1]}."
    yield Section(anchor="errors", title="Errors", text=(text if pictures else "No answer was compared.",), figures=pictures)


def _graph(figures: Figures) -> Section:
    located = html_figures.along_graph(figures)
    text = () if located else ("Nothing was located in this run; `tritonize locate` finds the node an error comes from.",)
    return Section(anchor="graph", title="Error along the graph", text=text, figures=(located,) if located else ())


def _filled(*candidates: Table) -> tuple[Table, ...]:
    """The tables that have rows."""
    return tuple(table for table in candidates if table.rows)


def _commands(report: Report) -> Iterator[tuple[str, str]]:
    model = shlex.quote(report.model)
    flags: Sequence[str] = (f"--model {model}",) if report.version is None else (f"--model {model}", f"--version {report.version}")
    rest = " ".join(flags)
    yield "Build, serve and verify again; SPEC is the spec of evidence/manifest.json", f"tritonize run SPEC --model {model}"
    yield "Verify this version on a server that tritonize starts", f"tritonize verify REPOSITORY {rest}"
    yield "Verify the deployed server", f"tritonize verify REPOSITORY {rest} --url http://HOST:8000 --url grpc://HOST:8001"
    yield "Open the network", f"tritonize view REPOSITORY {rest}"
