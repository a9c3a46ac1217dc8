"""Make the figures of a report: each has a drawing, a text that describes it, and a table of its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tritonize.core.artifacts import Check, Report
from tritonize.core.conclusion import reference_name
from tritonize.core.error_location import FAR
from tritonize.core.figures import BINS, LOWEST, PER_DECADE, Figures, Histogram, Scatter, TopClasses
from tritonize.core.stages import StageName
from tritonize.quality import latency as request_times
from tritonize.report.html import png
from tritonize.report.html import svg as svg_charts
from tritonize.report.html.svg import Bar
from tritonize.report.html.tables import Table, number, table

MAX_POINTS = 12
"""Elements listed in the table of a scatter plot, and as many that are outside the tolerance."""
MAX_ROWS = 200
"""Samples, or nodes along the graph, in one figure; if there are more, it shows the worst."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing, the text that describes it, and the table of its numbers."""

    title: str
    text: str
    svg: Markup
    table: Table
    image: str = ""
    """Data URI of an image beside the drawing; empty without an image."""


def histograms(figures: Figures) -> Iterator[Figure]:
    """Yield one histogram of the errors for each output."""
    for histogram in figures.histograms:
        yield _histogram(histogram, figures.heading)


def _histogram(histogram: Histogram, stage: str) -> Figure:
    used = [index for index, count in enumerate(histogram.counts) if count]
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
    svg = svg_charts.histogram(shares, name=title, about=text, x="|actual − expected|", y="share of elements")
    return Figure(
        title=title, text=text, svg=svg, table=table(f"{title}, as numbers", ("Error", "Elements", "Share"), rows, limit=2 * BINS)
    )


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
        yield _scatter(scatter, _worst_elements(report.checks, figures.stage, scatter.output), figures.heading)


def _worst_elements(checks: Sequence[Check], stage: StageName | None, output: str) -> list[tuple[float, float]]:
    """Expected and actual value of the elements furthest outside the tolerance, from the checks that failed."""
    tensors = (tensor for check in checks if check.stage == stage for tensor in check.tensors if tensor.name == output)
    worst = [(element.expected, element.found) for tensor in tensors if not tensor.passed for element in tensor.worst]
    return [pair for pair in worst if all(map(math.isfinite, pair))][:MAX_POINTS]


def _scatter(scatter: Scatter, worst: Sequence[tuple[float, float]], stage: str) -> Figure:
    points = list(zip(scatter.expected, scatter.found, strict=True))
    title = f"Expected against actual: {scatter.output}"
    text = f"{stage}: {len(points):,} elements, evenly spaced over all samples. On the line both are the same."
    if worst:
        text += f" Crosses are the elements furthest outside the tolerance ({len(worst)})."
    ordered = sorted(points)
    places = sorted({round(place * (len(ordered) - 1) / (MAX_POINTS - 1)) for place in range(MAX_POINTS)}) if ordered else []
    rows = [("evenly spaced", *_pair(*ordered[place])) for place in places]
    rows += [("outside the tolerance", *_pair(*pair)) for pair in worst]
    svg = svg_charts.scatter(points, worst, name=title, about=text, x="expected", y="actual")
    numbers = table(f"{title}, some of the elements", ("Element", "Expected", "Actual", "Difference"), rows, limit=3 * MAX_POINTS)
    return Figure(title=title, text=text, svg=svg, table=numbers)


def _pair(expected: float, found: float) -> tuple[str, str, str]:
    return _exactly(expected), _exactly(found), number(found - expected)


def _exactly(value: float) -> str:
    return f"{value:.9g}"


def by_sample(report: Report, figures: Figures) -> Iterator[Figure]:
    """Yield, for each output, the largest error of every sample that ran alone, at the stage nearest to the client."""
    errors: dict[str, dict[int, tuple[float | None, bool]]] = {}
    for check in report.checks:
        if check.stage == figures.stage and len(check.samples) == 1:
            for tensor in check.tensors:
                errors.setdefault(tensor.name, {})[check.samples[0]] = (tensor.max_abs, tensor.passed)
    for name, samples in errors.items():
        yield _by_sample(name, samples, f"{figures.heading}, against {reference_name(report)}")


def _by_sample(name: str, samples: Mapping[int, tuple[float | None, bool]], stage: str) -> Figure:
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
    svg = svg_charts.columns(values, name=title, about=text, x="sample", y="max |difference|", bad=bad)
    rows = [(index, samples[index][0], "within" if samples[index][1] else "outside") for index in chosen]
    return Figure(
        title=title,
        text=text,
        svg=svg,
        table=table(f"{title}, as numbers", ("Sample", "Max abs", "Tolerance"), rows, limit=MAX_ROWS),
    )


def by_batch(report: Report) -> Iterator[Figure]:
    """Yield, for each output, the largest error at every stage and batch size."""
    errors: dict[str, dict[tuple[StageName, int], tuple[float, bool]]] = {}
    for check in report.checks:
        for tensor in check.tensors:
            key = check.stage, check.batch_size
            error, passed = errors.setdefault(tensor.name, {}).get(key, (0.0, True))
            largest = math.inf if tensor.max_abs is None else max(error, tensor.max_abs)
            errors[tensor.name][key] = (max(error, largest), passed and tensor.passed)
    for name, sizes in errors.items():
        title = f"Error per batch size: {name}"
        text = f"The largest difference from {reference_name(report)}, by stage and batch size. The bars are logarithmic."
        rows = [
            Bar(
                label=_batch(stage, size),
                value=error,
                text="not comparable" if error == math.inf else number(error),
                bad=not passed,
            )
            for (stage, size), (error, passed) in sizes.items()
        ]
        svg = svg_charts.bars(rows, name=title, about=text, log=True)
        cells = [(row.label, row.text, "outside" if row.bad else "within") for row in rows]
        numbers = table(f"{title}, as numbers", ("Stage and batch size", "Max abs", "Tolerance"), cells, limit=MAX_ROWS)
        yield Figure(title=title, text=text, svg=svg, table=numbers)


def _batch(stage: StageName, size: int) -> str:
    return f"{stage.heading}, {f'batch {size}' if size else 'no batch'}"


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


def latency(report: Report) -> Figure | None:
    """The time of a request by transport and batch size; `None` if no server ran."""
    measured = request_times.of(report.checks)
    if not measured:
        return None
    rows, cells = [], []
    for each in measured:
        label = _batch(each.stage, each.batch_size)
        rows.append(
            Bar(label=label, value=each.median_ms, upper=each.p95_ms, text=f"{each.median_ms:.1f} ms, p95 {each.p95_ms:.1f}")
        )
        times = (each.median_ms, each.p95_ms, each.least_ms, each.most_ms)
        cells.append((label, each.requests, *(f"{value:.2f}" for value in times)))
    title = "Latency per transport"
    text = "Median of the requests of this proof, with a line to the 95th percentile. It is measured on the machine of the proof"
    text += " while answers were being compared, so it is no benchmark of a deployment."
    svg = svg_charts.bars(rows, name=title, about=text)
    head = ("Transport and batch size", "Requests", "Median ms", "p95 ms", "Least ms", "Most ms")
    return Figure(title=title, text=text, svg=svg, table=table(f"{title}, as numbers", head, cells, limit=MAX_ROWS))


def top_classes(figures: Figures) -> Iterator[Figure]:
    """Yield bar charts of the highest five classes, expected and actual."""
    for classes in figures.classes:
        yield _top_classes(classes, figures.labels.get(classes.output, ()), figures.heading)


def _top_classes(classes: TopClasses, labels: Sequence[str], stage: str) -> Figure:
    title = f"Highest classes of {classes.output}: sample {classes.sample}"
    text = f"{stage}, {classes.why}. The upper bar is expected, the lower one actual."
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
    svg = svg_charts.bars(rows, name=title, about=text)
    cells = [
        (label, score.number, _exactly(score.expected), _exactly(score.found), score.found - score.expected)
        for label, score in named
    ]
    head = ("Class", "Number", "Expected", "Actual", "Difference")
    image = png.data_uri(classes.image) if classes.image else ""
    return Figure(title=title, text=text, svg=svg, table=table(f"{title}, as numbers", head, cells, limit=MAX_ROWS), image=image)
