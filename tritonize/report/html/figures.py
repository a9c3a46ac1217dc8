"""Make the figures of a report: each has a drawing, a text that describes it, and a table of its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tritonize.core.conclusion import reference_name
from tritonize.core.error_location import FAR
from tritonize.core.figures import BINS, LOWEST, PER_DECADE, Figures, Histogram, Scatter, TopClasses
from tritonize.core.reports import Report, TensorCheck
from tritonize.core.stages import StageName
from tritonize.report.html import merged, png
from tritonize.report.html import svg as svg_charts
from tritonize.report.html.merged import Compared
from tritonize.report.html.svg import Bar, Limit
from tritonize.report.html.tables import Table, number, table

MAX_POINTS = 12
"""Elements listed in the table of a scatter plot, and as many that are outside the tolerance."""
MAX_ROWS = 200
"""Samples, or nodes along the graph, in one figure; if there are more, it shows the worst."""

_TOLERANCE = "Dashed: the absolute tolerance, {}; shaded: with the relative one at the largest value."


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing, the text that describes it, and the table of its numbers."""

    title: str
    text: str
    svg: Markup
    table: Table
    image: str = ""
    """Data URI of an image beside the drawing; empty without an image."""
    output: str = ""
    """The output that it is about; empty if it is about all."""


def histograms(report: Report, figures: Figures) -> Iterator[Figure]:
    """Yield one histogram of the errors for each output."""
    for histogram in figures.histograms:
        yield _histogram(histogram, figures.heading, merged.limit(_tensors(report, figures.stage, histogram.output)))


def _tensors(report: Report, stage: StageName | None, output: str) -> list[TensorCheck]:
    """All comparisons of an output at a stage."""
    return [tensor for check in report.checks if check.stage == stage for tensor in check.tensors if tensor.name == output]


def _histogram(histogram: Histogram, stage: str, limit: Limit | None) -> Figure:
    used = [index for index, count in enumerate(histogram.counts) if count]
    tolerance = None if limit is None else min(BINS, max(0.0, (math.log10(limit.line) - LOWEST) * PER_DECADE))
    if tolerance is not None and used:  # the axis reaches to the tolerance
        used = [min(used[0], int(tolerance)), max(used[-1], min(BINS - 1, int(tolerance)))]
    first, last = (max(0, used[0] - 1), min(BINS - 1, used[-1] + 1)) if used else (0, -1)
    total = max(1, histogram.looked_at)
    shares = [("equal", histogram.equal / total)]
    shares += [(_power(index), histogram.counts[index] / total) for index in range(first, last + 1)]
    rows = [("no difference", histogram.equal, f"{100 * histogram.equal / total:.3g} %")]
    rows += [
        (f"{_edge(index)} to {_edge(index + 1)}", histogram.counts[index], f"{100 * histogram.counts[index] / total:.3g} %")
        for index in range(first, last + 1)
    ]
    rows += [("NaN or infinite", histogram.incomparable, f"{100 * histogram.incomparable / total:.3g} %")]
    coverage = (
        "every element"
        if histogram.looked_at == histogram.elements
        else f"{histogram.looked_at:,} of {histogram.elements:,} elements, evenly spaced"
    )
    most = max(shares[1:], key=lambda share: share[1], default=("", 0.0))
    title = f"Error histogram of {histogram.output}"
    text = f"{stage}, over all samples: {coverage}. {100 * histogram.equal / total:.3g} % do not differ at all"
    text += f"; most differences lie at {most[0]}." if most[1] else "."
    if histogram.incomparable:
        text += f" NaN or infinite on either side: {histogram.incomparable:,}."
    if limit and used:
        text += f" {_TOLERANCE.format(number(limit.line))}"
    place = None if tolerance is None or not used else 1 + tolerance - first
    svg = svg_charts.histogram(shares, name=title, about=text, x="|actual − expected|", y="share of elements", limit=place)
    numbers = table(f"{title}, as numbers", ("Error", "Elements", "Share"), rows, limit=2 * BINS)
    return Figure(title=title, text=text, svg=svg, table=numbers, output=histogram.output)


def _edge(index: int) -> str:
    """The lower bound of a bin."""
    return f"{10 ** (LOWEST + index / PER_DECADE):.1e}"


def _power(index: int) -> str:
    """The lower bound of a bin, short enough for an axis."""
    exponent = LOWEST + index / PER_DECADE
    return f"1e{exponent:.0f}" if exponent == int(exponent) else f"{10**exponent:.0e}".replace("e-0", "e-")


def scatters(report: Report, figures: Figures) -> Iterator[Figure]:
    """Yield one scatter plot for each output: actual values over expected ones."""
    for scatter in figures.scatters:
        tensors = _tensors(report, figures.stage, scatter.output)
        yield _scatter(scatter, tensors, figures.heading)


def _worst_elements(tensors: Sequence[TensorCheck]) -> list[tuple[float, float]]:
    """Expected and actual value of the elements furthest outside the tolerance, from the checks that failed."""
    worst = [(element.expected, element.found) for tensor in tensors if not tensor.passed for element in tensor.worst]
    return [pair for pair in worst if all(map(math.isfinite, pair))][:MAX_POINTS]


def _scatter(scatter: Scatter, tensors: Sequence[TensorCheck], stage: str) -> Figure:
    worst = _worst_elements(tensors)
    points = list(zip(scatter.expected, scatter.found, strict=True))
    title = f"Expected against actual: {scatter.output}"
    text = f"{stage}: {len(points):,} elements, evenly spaced over all samples. On the line both are the same."
    if worst:
        text += f" Crosses are the elements furthest outside the tolerance ({len(worst)})."
    tolerance = (tensors[0].rtol, tensors[0].atol) if tensors else None
    if tolerance and any(tolerance):
        text += f" Dashed red beside it, if wide enough to see: the tolerance, rtol {tolerance[0]:g} and atol {tolerance[1]:g}."
    ordered = sorted(points)
    places = sorted({round(place * (len(ordered) - 1) / (MAX_POINTS - 1)) for place in range(MAX_POINTS)}) if ordered else []
    rows = [("evenly spaced", *_pair(*ordered[place])) for place in places]
    rows += [("outside the tolerance", *_pair(*pair)) for pair in worst]
    svg = svg_charts.scatter(points, worst, name=title, about=text, x="expected", y="actual", tolerance=tolerance)
    numbers = table(f"{title}, some of the elements", ("Element", "Expected", "Actual", "Difference"), rows, limit=3 * MAX_POINTS)
    return Figure(title=title, text=text, svg=svg, table=numbers, output=scatter.output)


def _pair(expected: float, found: float) -> tuple[str, str, str]:
    return _exactly(expected), _exactly(found), number(found - expected)


def _exactly(value: float) -> str:
    return f"{value:.7g}"


def by_sample(report: Report, figures: Figures) -> Iterator[Figure]:
    """Yield, for each output, the largest error of every sample that ran alone, at the stage nearest to the client."""
    tensors: dict[str, dict[int, TensorCheck]] = {}
    for check in report.checks:
        if check.stage == figures.stage and len(check.samples) == 1:
            for tensor in check.tensors:
                tensors.setdefault(tensor.name, {})[check.samples[0]] = tensor
    for name, samples in tensors.items():
        yield _by_sample(name, samples, f"{figures.heading}, against {reference_name(report)}")


def _by_sample(name: str, tensors: Mapping[int, TensorCheck], stage: str) -> Figure:
    samples, limit = {index: (each.max_abs, each.passed) for index, each in tensors.items()}, merged.limit(list(tensors.values()))
    chosen = sorted(samples)
    if len(chosen) > MAX_ROWS:
        chosen = sorted(sorted(chosen, key=lambda index: (samples[index][1], -(samples[index][0] or 0.0)))[:MAX_ROWS])
    values = [samples[index][0] for index in chosen]
    bad = frozenset(place for place, index in enumerate(chosen) if not samples[index][1])
    title = f"Error per sample: {name}"
    text = f"{stage}: the largest difference of each sample run alone, edge cases included."
    text += f" {len(bad)} of {len(samples)} lie outside the tolerance" + (", shown as crosses." if bad else ".")
    if len(chosen) < len(samples):
        text += f" The {len(chosen)} worst of {len(samples)} samples are shown, counted from 0 in their order."
    if limit:
        text += f" {_TOLERANCE.format(number(limit.line))}"
    svg = svg_charts.columns(values, name=title, about=text, x="sample", y="max |difference|", bad=bad, limit=limit)
    rows = [(index, samples[index][0], "within" if samples[index][1] else "outside") for index in chosen]
    numbers = table(f"{title}, as numbers", ("Sample", "Max abs", "Tolerance"), rows, limit=MAX_ROWS)
    return Figure(title=title, text=text, svg=svg, table=numbers, output=name)


def by_stage(report: Report) -> Iterator[Figure]:
    """Yield, for each output, its largest error by stage. Stages with the same error share a bar."""
    rows = [row for row in merged.of(report) if row.largest is not None]
    for name in dict.fromkeys(row.output for row in rows):
        yield _by_stage(report, name, [row for row in rows if row.output == name])


def _by_stage(report: Report, name: str, rows: Sequence[Compared]) -> Figure:
    limit = merged.limit([tensor for row in rows for tensor in row.tensors])
    title = f"Error by stage: {name}"
    text = (
        f"The largest difference from {reference_name(report)}. Stages with the same error share a bar. The scale is logarithmic."
    )
    if limit:
        text += f" {_TOLERANCE.format(number(limit.line))}"
    bars = []
    for group in merged.alike(rows):
        error = group[0].largest or 0.0
        bars.append(
            Bar(
                label=f"{merged.stages(row.stage for row in group)} ·\u00a0{_sizes(group)}",
                value=error,
                text="not comparable" if error == math.inf else number(error),
                bad=not group[0].passed,
            )
        )
    svg = svg_charts.bars(bars, name=title, about=text, log=True, limit=limit)
    cells = [(bar.label, bar.text, "outside" if bar.bad else "within") for bar in bars]
    numbers = table(f"{title}, as numbers", ("Stages and batch sizes", "Max abs", "Tolerance"), cells, limit=MAX_ROWS)
    return Figure(title=title, text=text, svg=svg, table=numbers, output=name)


def _sizes(group: Sequence[Compared]) -> str:
    named = merged.sizes(row.sizes for row in group)
    text = "no batch" if named == "none" else f"{named} batches" if named == "mixed" else f"batch {named}"
    return text.replace(" ", "\u00a0", 1)  # a line does not end between them


def along_graph(figures: Figures) -> Figure | None:
    """The error of each module in the graph's order; `None` if `locate` did not run."""
    series = figures.located
    if not series:
        return None
    chosen = list(range(len(series)))
    if len(chosen) > MAX_ROWS:
        chosen = sorted(sorted(chosen, key=lambda place: -series[place][1])[:MAX_ROWS])
    values = [math.inf if series[place][1] >= FAR else series[place][1] for place in chosen]
    incomparable = frozenset(index for index, value in enumerate(values) if value == math.inf)
    place, worst = max(enumerate(series), key=lambda item: item[1][1])
    title = "Error by module along the graph"
    text = (
        f"In the graph's order, as a part of the largest value there. The largest is {_relative(worst[1])} at {place}, {worst[0]}."
    )
    if incomparable:
        text += f" Crosses cannot be compared ({len(incomparable)})."
    svg = svg_charts.columns(values, name=title, about=text, x="place along the graph", y="relative error", bad=incomparable)
    rows = [(place, series[place][0], _relative(series[place][1])) for place in chosen]
    return Figure(
        title=title, text=text, svg=svg, table=table(f"{title}, as numbers", ("Place", "Module", "Error"), rows, limit=MAX_ROWS)
    )


def _relative(error: float) -> str:
    return "beyond comparison" if error >= FAR else number(error)


def top_classes(figures: Figures) -> Iterator[Figure]:
    """Yield bar charts of the highest five classes, expected and actual."""
    for classes in figures.classes:
        yield _top_classes(classes, figures.labels.get(classes.output, ()), figures.heading)


def _top_classes(classes: TopClasses, labels: Sequence[str], stage: str) -> Figure:
    title = f"Highest classes of {classes.output}: sample {classes.sample}"
    text = f"{stage}, {classes.why}."
    named = [(labels[score.number] if score.number < len(labels) else f"class {score.number}", score) for score in classes.classes]
    numbers = [value for _, score in named for value in (score.expected, score.found) if math.isfinite(value)]
    base = min(0.0, *numbers) if numbers else 0.0  # logits may be negative; bars then start at the smallest
    if base < 0:
        text += f" Bars start at {number(base)}."
    rows = [
        Bar(
            label=label,
            value=score.expected - base,
            second=score.found - base,
            text=f"{number(score.expected)} | {number(score.found)}",
        )
        for label, score in named
    ]
    svg = svg_charts.bars(rows, name=title, about=text, legend=("expected", "actual"))
    cells = [
        (label, score.number, f"{score.expected:.6g}", f"{score.found:.6g}", score.found - score.expected) for label, score in named
    ]
    head = ("Class", "Number", "Expected", "Actual", "Difference")
    image = png.data_uri(classes.image) if classes.image else ""
    return Figure(title=title, text=text, svg=svg, table=table(f"{title}, as numbers", head, cells, limit=MAX_ROWS), image=image)
