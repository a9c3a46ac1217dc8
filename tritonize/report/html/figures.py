"""Every figure of a report: a drawing, what it says in words, and the same numbers as a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tritonize.core.artifacts import Check, Report
from tritonize.core.conclusion import reference_name
from tritonize.core.error_location import FAR
from tritonize.core.figures import BINS, LOWEST, PER_DECADE, Figures, Histogram, Scatter, TopClasses
from tritonize.core.stages import TIMED, StageName
from tritonize.report.html import png
from tritonize.report.html import svg as svg_charts
from tritonize.report.html.svg import Bar
from tritonize.report.html.tables import Table, number, table

SHOWN = 12
"""Rows of the table beside a scatter plot; of the stages and batch sizes beside each other."""
ROWS = 200
"""Samples, or places along the graph, that one figure shows; of more, the worst."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing with its text and its table."""

    title: str
    text: str
    svg: Markup
    table: Table
    image: str = ""
    """A data URI beside it."""


def histograms(figures: Figures) -> Iterator[Figure]:
    """How often an error of each size occurs."""
    for each in figures.histograms:
        yield _histogram(each, figures.heading)


def _histogram(each: Histogram, stage: str) -> Figure:
    used = [place for place, count in enumerate(each.counts) if count]
    first, last = (max(0, used[0] - 1), min(BINS - 1, used[-1] + 1)) if used else (0, -1)
    total = max(1, each.looked_at)
    shares = [("equal", each.equal / total)]
    shares += [(_power(place), each.counts[place] / total) for place in range(first, last + 1)]
    rows = [("no difference", each.equal, f"{100 * each.equal / total:.3g} %")]
    rows += [
        (f"{_edge(place)} to {_edge(place + 1)}", each.counts[place], f"{100 * each.counts[place] / total:.3g} %")
        for place in range(first, last + 1)
    ]
    rows += [("NaN or infinite", each.incomparable, f"{100 * each.incomparable / total:.3g} %")]
    counted = (
        "every element" if each.looked_at == each.elements else f"{each.looked_at:,} of {each.elements:,} elements, evenly spaced"
    )
    most = max(shares[1:], key=lambda share: share[1], default=("", 0.0))
    title = f"Error histogram of {each.output}"
    text = f"{stage}, over all samples: {counted}. {100 * each.equal / total:.3g} % do not differ at all"
    text += f"; most differences lie at {most[0]}." if most[1] else "."
    if each.incomparable:
        text += f" NaN or infinite on either side: {each.incomparable:,}."
    svg = svg_charts.histogram(shares, name=title, about=text, x="|actual − expected|", y="share of elements")
    return Figure(
        title=title, text=text, svg=svg, table=table(f"{title}, as numbers", ("Error", "Elements", "Share"), rows, limit=2 * BINS)
    )


def _edge(place: int) -> str:
    return f"{10 ** (LOWEST + place / PER_DECADE):.1e}"


def _power(place: int) -> str:
    exponent = LOWEST + place / PER_DECADE
    return f"1e{exponent:.0f}" if exponent == int(exponent) else f"{10**exponent:.0e}".replace("e-0", "e-")


def scatters(report: Report, figures: Figures) -> Iterator[Figure]:
    """Expected against actual."""
    for each in figures.scatters:
        yield _scatter(each, _worst_elements(report.checks, figures.stage, each.output), figures.heading)


def _worst_elements(checks: Sequence[Check], stage: StageName | None, output: str) -> list[tuple[float, float]]:
    """The elements furthest outside the tolerance, of every answer that failed."""
    tensors = (tensor for check in checks if check.stage == stage for tensor in check.tensors if tensor.name == output)
    worst = [(each.expected, each.found) for tensor in tensors if not tensor.passed for each in tensor.worst]
    return [pair for pair in worst if all(map(math.isfinite, pair))][:SHOWN]


def _scatter(each: Scatter, worst: Sequence[tuple[float, float]], stage: str) -> Figure:
    points = list(zip(each.expected, each.found, strict=True))
    title = f"Expected against actual: {each.output}"
    text = f"{stage}: {len(points):,} elements, evenly spaced over all samples. On the line both are the same."
    if worst:
        text += f" Crosses are the elements furthest outside the tolerance ({len(worst)})."
    ordered = sorted(points)
    places = sorted({round(place * (len(ordered) - 1) / (SHOWN - 1)) for place in range(SHOWN)}) if ordered else []
    rows = [("evenly spaced", *_pair(*ordered[place])) for place in places]
    rows += [("outside the tolerance", *_pair(*pair)) for pair in worst]
    svg = svg_charts.scatter(points, worst, name=title, about=text, x="expected", y="actual")
    numbers = table(f"{title}, some of the elements", ("Element", "Expected", "Actual", "Difference"), rows, limit=3 * SHOWN)
    return Figure(title=title, text=text, svg=svg, table=numbers)


def _pair(expected: float, found: float) -> tuple[str, str, str]:
    return _exactly(expected), _exactly(found), number(found - expected)


def _exactly(value: float) -> str:
    return f"{value:.9g}"


def by_sample(report: Report, figures: Figures) -> Iterator[Figure]:
    """The largest error of every sample asked alone, at the stage nearest to the client."""
    answers: dict[str, dict[int, tuple[float | None, bool]]] = {}
    for check in report.checks:
        if check.stage == figures.stage and len(check.samples) == 1:
            for tensor in check.tensors:
                answers.setdefault(tensor.name, {})[check.samples[0]] = (tensor.max_abs, tensor.passed)
    for name, samples in answers.items():
        yield _by_sample(name, samples, f"{figures.heading}, against {reference_name(report)}")


def _by_sample(name: str, samples: Mapping[int, tuple[float | None, bool]], stage: str) -> Figure:
    chosen = sorted(samples)
    if len(chosen) > ROWS:
        chosen = sorted(sorted(chosen, key=lambda index: (samples[index][1], -(samples[index][0] or 0.0)))[:ROWS])
    values = [samples[index][0] for index in chosen]
    bad = frozenset(place for place, index in enumerate(chosen) if not samples[index][1])
    title = f"Error per sample: {name}"
    text = f"{stage}: the largest difference of each sample asked alone, edge cases among them."
    text += f" {len(bad)} of {len(samples)} lie outside the tolerance" + (", shown as crosses." if bad else ".")
    if len(chosen) < len(samples):
        text += f" The {len(chosen)} worst of {len(samples)} samples are shown, counted from 0 in their order."
    svg = svg_charts.columns(values, name=title, about=text, x="sample", y="max |difference|", bad=bad)
    rows = [(index, samples[index][0], "within" if samples[index][1] else "outside") for index in chosen]
    return Figure(
        title=title, text=text, svg=svg, table=table(f"{title}, as numbers", ("Sample", "Max abs", "Tolerance"), rows, limit=ROWS)
    )


def by_batch(report: Report) -> Iterator[Figure]:
    """The largest error of every stage and batch size."""
    found: dict[str, dict[tuple[StageName, int], tuple[float, bool]]] = {}
    for check in report.checks:
        for tensor in check.tensors:
            key = check.stage, check.batch_size
            far, good = found.setdefault(tensor.name, {}).get(key, (0.0, True))
            largest = math.inf if tensor.max_abs is None else max(far, tensor.max_abs)
            found[tensor.name][key] = (max(far, largest), good and tensor.passed)
    for name, sizes in found.items():
        title = f"Error per batch size: {name}"
        text = f"The largest difference from {reference_name(report)}, by stage and batch size. The bars are logarithmic."
        rows = [
            Bar(label=_batch(stage, size), value=far, text="not comparable" if far == math.inf else number(far), bad=not good)
            for (stage, size), (far, good) in sizes.items()
        ]
        svg = svg_charts.bars(rows, name=title, about=text, log=True)
        cells = [(row.label, row.text, "outside" if row.bad else "within") for row in rows]
        numbers = table(f"{title}, as numbers", ("Stage and batch size", "Max abs", "Tolerance"), cells, limit=ROWS)
        yield Figure(title=title, text=text, svg=svg, table=numbers)


def _batch(stage: StageName, size: int) -> str:
    return f"{stage.heading}, {f'batch {size}' if size else 'no batch'}"


def along_graph(figures: Figures) -> Figure | None:
    """The error by module along the graph, where it was located."""
    series = figures.located
    if not series:
        return None
    chosen = list(range(len(series)))
    if len(chosen) > ROWS:
        chosen = sorted(sorted(chosen, key=lambda place: -series[place][1])[:ROWS])
    values = [math.inf if series[place][1] >= FAR else series[place][1] for place in chosen]
    apart = frozenset(at for at, value in enumerate(values) if value == math.inf)
    place, worst = max(enumerate(series), key=lambda item: item[1][1])
    title = "Error by module along the graph"
    text = (
        f"In the graph's order, as a part of the largest value there. The largest is {_relative(worst[1])} at {place}, {worst[0]}."
    )
    if apart:
        text += f" Crosses cannot be compared ({len(apart)})."
    svg = svg_charts.columns(values, name=title, about=text, x="place along the graph", y="relative error", bad=apart)
    rows = [(place, series[place][0], _relative(series[place][1])) for place in chosen]
    return Figure(
        title=title, text=text, svg=svg, table=table(f"{title}, as numbers", ("Place", "Module", "Error"), rows, limit=ROWS)
    )


def _relative(error: float) -> str:
    return "beyond comparison" if error >= FAR else number(error)


def latency(report: Report) -> Figure | None:
    """How long an answer took, per transport and batch size."""
    found: dict[tuple[StageName, int], list[float]] = {}
    for check in report.checks:
        if check.stage in TIMED:
            found.setdefault((check.stage, check.batch_size), []).append(1000 * check.seconds)
    if not found:
        return None
    rows, cells = [], []
    for (stage, size), times in found.items():
        median, late = statistics.median(times), sorted(times)[math.ceil(0.95 * len(times)) - 1]
        label = _batch(stage, size)
        rows.append(Bar(label=label, value=median, upper=late, text=f"{median:.1f} ms, p95 {late:.1f}"))
        cells.append((label, len(times), f"{median:.2f}", f"{late:.2f}", f"{min(times):.2f}", f"{max(times):.2f}"))
    title = "Latency per transport"
    text = "Median of the requests of this proof, with a line to the 95th percentile. It is measured on the machine of the proof"
    text += " while answers were being compared, so it is no benchmark of a deployment."
    svg = svg_charts.bars(rows, name=title, about=text)
    head = ("Transport and batch size", "Requests", "Median ms", "p95 ms", "Least ms", "Most ms")
    return Figure(title=title, text=text, svg=svg, table=table(f"{title}, as numbers", head, cells, limit=ROWS))


def top_classes(figures: Figures) -> Iterator[Figure]:
    """The highest five classes, expected and actual."""
    for each in figures.classes:
        yield _top_classes(each, figures.labels.get(each.output, ()), figures.heading)


def _top_classes(each: TopClasses, labels: Sequence[str], stage: str) -> Figure:
    title = f"Highest classes of {each.output}: sample {each.sample}"
    text = f"{stage}, {each.why}. The upper bar is expected, the lower one actual."
    named = [(labels[one.number] if one.number < len(labels) else f"class {one.number}", one) for one in each.classes]
    numbers = [value for _, one in named for value in (one.expected, one.found) if math.isfinite(value)]
    ground = min(0.0, *numbers) if numbers else 0.0  # logits may be negative; bars start at the least one then
    if ground < 0:
        text += f" Bars start at {number(ground)}."
    rows = [
        Bar(
            label=label,
            value=one.expected - ground,
            second=one.found - ground,
            text=f"{number(one.expected)} | {number(one.found)}",
        )
        for label, one in named
    ]
    svg = svg_charts.bars(rows, name=title, about=text)
    cells = [(label, one.number, _exactly(one.expected), _exactly(one.found), one.found - one.expected) for label, one in named]
    head = ("Class", "Number", "Expected", "Actual", "Difference")
    image = png.data_uri(each.image) if each.image else ""
    return Figure(title=title, text=text, svg=svg, table=table(f"{title}, as numbers", head, cells, limit=ROWS), image=image)
