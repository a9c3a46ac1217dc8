"""Build the HTML page: the verdict first, then the sections with tables and figures."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import jinja2
from markupsafe import Markup, escape

from tritonize.core import resources
from tritonize.core.conclusion import conclude, counted, reference_name
from tritonize.core.figures import Figures
from tritonize.core.reports import Report
from tritonize.core.results import in_words
from tritonize.core.stages import action
from tritonize.report.html import figures as html_figures
from tritonize.report.html import head, latency_chart, short_tables, slice_panes, tables
from tritonize.report.html.figures import Figure
from tritonize.report.html.head import Head
from tritonize.report.html.tables import Table

LIMIT = 10_000_000
"""Largest size of a page in bytes."""
_SIZES = ((8_000_000, 400), (4_000_000, 200), (1_000_000, 50), (0, 10))
"""Characters of all images and rows of each table; the first pair whose page is at most `LIMIT` bytes is used."""
_CODE = re.compile("`([^`\n]+)`")
_EXPONENT = re.compile(r"\b[0-9]+(\.[0-9]+)?e-[0-9]+\b")
_NUMBER = re.compile(r"-?[0-9][0-9.,e+-]{0,15}( %)?")
_SHORT = 28
"""Largest number of characters of a table cell that does not wrap on a screen."""
TEMPLATE = "report.html.j2"
_SHOWN = 8
"""Rows of a table of differences that are not folded."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Tables and figures behind a line that opens them."""

    title: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    slices: tuple[slice_panes.SliceFigure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the page."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    commands: tuple[tuple[str, str], ...] = field(default_factory=tuple)
    """Description and command line."""
    folds: tuple[Fold, ...] = ()


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
    slices = slice_panes.fitting(figures.slices, budget)
    classes = tuple(html_figures.top_classes(figures))
    place = -1 if report.verdict == "failed" else 0  # the last one has the largest difference, the first is the first sample
    first = slices[place] if slices else None
    picture = classes[place] if classes and not slices else None
    top = Head(
        title=f"{report.model}{version}",
        verdict=report.verdict,
        sentence=_capitalized(conclusion.sentence),
        next_step=_capitalized(conclusion.next_step) if conclusion.next_step else "",
        further=tuple(head.further(conclusion)),
        facts=tuple(head.facts(report, conclusion, figures)),
        drawing=head.errors(report),
        slices=first,
        picture=picture,
    )
    others = tuple(each for each in slices if each is not first), tuple(each for each in classes if each is not picture)
    return filled(top, tuple(_sections(report, figures, rows=rows, slices=others[0], classes=others[1])))


def filled(top: Head, sections: Sequence[Section]) -> str:
    """The template with a head and sections; every text is escaped."""
    return environment().get_template(TEMPLATE).render(head=top, word=in_words(top.verdict).capitalize(), sections=sections)


def environment() -> jinja2.Environment:
    """The environment of the pages' templates, which escapes every text."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([str(resources.templates())]),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"prose": _prose, "width": _width}
    return made


def _prose(text: str) -> Markup:
    """Turn text in backticks into code, and keep a number like 1e-07 on one line.

    The text is escaped first; no HTML entity contains a backtick or such a number.
    """
    marked = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_EXPONENT.sub(r'<span class="number">\g<0></span>', marked))  # noqa: S704 - escaped


def _width(cell: str) -> Markup:
    """The class of a table cell, which sets how it wraps: a number never does, a short text does on paper only."""
    kind = "number" if _NUMBER.fullmatch(cell) else "short" if len(cell) <= _SHORT else ""
    return Markup(f' class="{kind}"') if kind else Markup("")  # noqa: S704 - one of two words


def _capitalized(text: str) -> str:
    """The text as a sentence, with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _sections(
    report: Report,
    figures: Figures,
    *,
    rows: int,
    slices: tuple[slice_panes.SliceFigure, ...],
    classes: tuple[Figure, ...],
) -> Iterator[Section]:
    yield from _differences(report, rows)
    yield _stages(report, rows)
    if slices or classes:
        title = f"{counted(len(slices) + len(classes), 'more picture')} at {figures.heading}"
        yield Section(anchor="pictures", title="More pictures", folds=(Fold(title=title, figures=classes, slices=slices),))
    yield from _errors(report, figures)
    if located := html_figures.along_graph(figures):
        yield Section(anchor="graph", title="Error along the graph", figures=(located,))
    if report.notes:
        yield Section(anchor="notes", title="Notes", text=report.notes)
    yield Section(anchor="run", title="The run", text=tuple(_run_text(report)), folds=tuple(_run_folds(report, rows)))
    again = report.details.get("again") or {}
    spec = () if again.get("command") else ("`SPEC` is a file with the spec of evidence/manifest.json.",)
    yield Section(
        anchor="reproduce",
        title="Reproduce",
        commands=tuple(_commands(report)),
        text=(*spec, "The SHA-256 of every file of the version, and the spec, are in evidence/manifest.json."),
        folds=tuple(
            _fold("Versions, source, model file and target", tables.of_versions(report, rows), tables.of_details(report, rows))
        ),
    )


def _fold(title: str, *candidates: Table) -> Iterator[Fold]:
    if filled_tables := _filled(*candidates):
        yield Fold(title=title, tables=filled_tables)


def _differences(report: Report, rows: int) -> Iterator[Section]:
    few = min(rows, _SHOWN)
    shown = _filled(
        short_tables.of_findings(report, few),
        short_tables.of_differences(report.checks, few),
        short_tables.of_tolerances(report, few),
    )
    if shown:
        every = _filled(tables.of_findings(report, rows), tables.of_failures(report.checks, rows))
        longer = tuple(
            table for table in every if len(table.rows) > _SHOWN or table.caption not in {each.caption for each in shown}
        )
        folds = (Fold(title="Every difference", tables=longer),) if longer else ()
        yield Section(anchor="differs", title="What differs", tables=shown, folds=folds)


def _stages(report: Report, rows: int) -> Section:
    compared = short_tables.of_stages(report, min(rows, 3 * _SHOWN))
    folds = (
        *_fold("All metrics of every stage", tables.of_errors(report, rows)),
        *_fold(
            "Rules, comparisons by batch size, and noise floor",
            tables.of_gates(report.gates, rows),
            tables.of_answers(report, rows),
            tables.of_floors(report, rows),
        ),
    )
    text = () if compared.rows else ("No output was compared.",)
    return Section(anchor="stages", title="Stage by stage", text=text, tables=_filled(compared), folds=folds)


def _errors(report: Report, figures: Figures) -> Iterator[Section]:
    """Yield the charts: those of the output that is nearest to its limit, and the others folded."""
    drawn = (
        *html_figures.by_stage(report),
        *html_figures.by_sample(report, figures),
        *html_figures.histograms(report, figures),
        *html_figures.scatters(report, figures),
    )
    first = next((name for name in head.nearest(report) if any(each.output == name for each in drawn)), None)
    others = dict.fromkeys(each.output for each in drawn if each.output != first)
    folds = [Fold(title=f"Charts of {name}", figures=tuple(each for each in drawn if each.output == name)) for name in others]
    latency = latency_chart.of(report)
    shown = (*(each for each in drawn if each.output == first), *((latency,) if latency else ()))
    against = {"fp64": "float64", "fp32": "float32"}[figures.against]
    names = reference_name(report, against), reference_name(report)
    text = f"Histogram and points compare with {names[0]}; stages and samples with {names[1]}." if drawn else ""
    missing = "" if latency else "No server ran, so latency was not measured."
    yield Section(
        anchor="errors",
        title="Charts" if first is None or not others else f"Charts of {first}",
        text=tuple(filter(None, (text, missing))),
        figures=shown,
        folds=tuple(folds),
    )


def _run_text(report: Report) -> Iterator[str]:
    seconds = sum(stage.seconds for stage in report.stages)
    longest = max(report.stages, key=lambda stage: stage.seconds, default=None)
    if longest is not None and seconds > 0:
        count = counted(len(report.stages), "stage")
        most = f"{action(longest.name)} ({longest.seconds:.1f} s)"
        yield f"`tritonize {report.command}`: {count} in {seconds:.1f} s, the longest: {most}."
    else:
        yield f"`tritonize {report.command}`."


def _run_folds(report: Report, rows: int) -> Iterator[Fold]:
    yield from _fold("Stages of the run, and export strategies", tables.of_stages(report, rows), tables.of_attempts(report, rows))


def _filled(*candidates: Table) -> tuple[Table, ...]:
    """The tables that have rows."""
    return tuple(table for table in candidates if table.rows)


def _commands(report: Report) -> Iterator[tuple[str, str]]:
    again = report.details.get("again") or {}
    model, repository = shlex.quote(report.model), shlex.quote(again.get("repository") or "REPOSITORY")
    command = str(again.get("command") or f"tritonize build SPEC --model {model}")
    if report.command == "run":
        yield "Build, serve and verify again", command.replace("tritonize build ", "tritonize run ", 1)
    else:
        yield "Build and compare again", command
    if report.verdict == "failed" and not report.published:
        return
    rest = f"--model {model}" if report.version is None else f"--model {model} --version {report.version}"
    yield "Verify this version on a server that tritonize starts", f"tritonize verify {repository} {rest}"
    yield "Verify the deployed server", f"tritonize verify {repository} {rest} --url http://HOST:8000 --url grpc://HOST:8001"
    yield "Open the network", f"tritonize view {repository} {rest}"
