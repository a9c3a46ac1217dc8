"""Draw charts as SVG, without a plotting library and without a script in the page.

Every text goes through `escape`. Colours come from the page's style sheet, which has a light, a dark and a print scheme.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 220
"""Size of a drawing in SVG units; one unit is about one pixel on a phone."""
LEFT, RIGHT, TOP, BOTTOM = 52, 350, 12, 182
"""The plot area inside the drawing."""
FEW = 50
"""A scatter plot of at most this many points draws them larger."""
LONG = 56
"""Characters of one line of a bar's label."""
LINES = 3
"""Lines of a bar's label; the figure's table has the whole label."""
_LINE, _BAR = 13, 22
"""Height of a line of a label, and of the bar below it with its distance to the next one."""
_VALUE = 124
"""Width that a bar leaves free on its right for the value."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The tolerance of an output as a line: a smaller error than `low` always passes, a larger one than `high` never does."""

    low: float
    """The absolute tolerance."""
    high: float
    """The absolute tolerance, and the relative one times the largest expected magnitude."""

    @property
    def line(self) -> float:
        """The value of the line: `low`, or without an absolute tolerance `high`."""
        return self.low or self.high


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row of a bar chart."""

    label: str
    value: float
    text: str
    upper: float | None = None
    """End of a thin line over the bar, such as the 95th percentile."""
    second: float | None = None
    """Length of a second bar below it, such as the actual value below the expected one."""
    bad: bool = False
    """Whether the value is outside its tolerance."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The scale from values to positions along an axis."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """The position of a value: 0 at `low`, 1 at `high`."""
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            return (math.log10(max(value, self.low)) - low) / (high - low)
        # Halves, because the difference of two finite values can exceed the largest float64.
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)

    def ticks(self) -> list[float]:
        """At most six round values to label."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, -(-(last - first) // 5))
            return [10.0**exponent for exponent in range(first, last + 1, every)]
        span = self.high / 2 - self.low / 2
        unit = 10.0 ** math.floor(math.log10(span / 2))
        step = next(unit * times for times in (1, 2, 5, 10, 20) if span / (unit * times) <= 2.5)
        first = math.ceil(self.low / step)
        return [(first + number) * step for number in range(8) if (first + number) * step <= self.high]


def log_axis(values: Iterable[float]) -> Axis:
    """A logarithmic axis of whole decades around the positive values."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    low = math.floor(math.log10(min(positive))) if positive else -8
    high = math.ceil(math.log10(max(positive))) if positive else -7
    low = max(low, -300)
    return Axis(low=10.0**low, high=10.0 ** min(300, max(high, low + 1)), log=True)


def linear_axis(values: Sequence[float]) -> Axis:
    """A linear axis from the smallest to the largest value, with a margin."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high / 2 - low / 2) * 0.08 or abs(high) * 0.1 or 1.0
    largest = 1.7e308
    return Axis(low=max(low - margin, -largest), high=min(high + margin, largest))


def columns(
    values: Sequence[float | None],
    *,
    name: str,
    about: str,
    x: str,
    y: str,
    bad: frozenset[int] = frozenset(),
    limit: Limit | None = None,
) -> Markup:
    """One stem per value on a logarithmic axis. A zero lies on the axis, a bad value is a cross, `None` leaves a gap."""
    axis = log_axis((*(value for value in values if value is not None), *((limit.line, limit.high) if limit else ())))
    parts = [_frame(x, y), *_left_ticks(axis), *_counted(len(values))]
    if limit:
        line, high = _up(axis.at(limit.line)), _up(axis.at(limit.high))
        parts += [
            f'<rect class="band" x="{LEFT}" y="{high:.1f}" width="{RIGHT - LEFT}" height="{line - high:.1f}"/>',
            f'<path class="limit" d="M{LEFT} {line:.1f}H{RIGHT}"/>',
            _text(RIGHT, max(10, high - 4), "tolerance", anchor="end", kind="limit-name"),
        ]
    for place, value in enumerate(values):
        if value is None:
            continue
        across = LEFT + (RIGHT - LEFT) * (place + 0.5) / len(values)
        up = _up(axis.at(value) if math.isfinite(value) else 1.0)
        parts.append(f'<path class="stem" d="M{across:.1f} {BOTTOM}V{up:.1f}"/>')
        parts.append(_cross(across, up) if place in bad else f'<circle class="dot" cx="{across:.1f}" cy="{up:.1f}" r="3"/>')
    return _svg("".join(parts), name, about)


def histogram(shares: Sequence[tuple[str, float]], *, name: str, about: str, x: str, y: str, limit: float | None = None) -> Markup:
    """One column per label; a share is between 0 and 1. `limit` is the place of the tolerance, counted in columns."""
    axis = Axis(low=0.0, high=max((share for _, share in shares), default=0.0) or 1.0)
    parts = [_frame(x, y)]
    for tick in axis.ticks():
        parts += _left_tick(axis.at(tick), f"{100 * tick:.3g} %")
    every = max(1, -(-len(shares) // 6))
    for place, (label, share) in enumerate(shares):
        width = (RIGHT - LEFT) / len(shares)
        across, up = LEFT + width * place, _up(axis.at(share))
        parts.append(f'<rect class="bar" x="{across + 0.5:.1f}" y="{up:.1f}" width="{width - 1:.1f}" height="{BOTTOM - up:.1f}"/>')
        if place % every == 0:
            parts.append(_text(across + width / 2, BOTTOM + 14, label, anchor="middle"))
    if limit is not None:
        across = LEFT + (RIGHT - LEFT) * limit / len(shares)
        end = across > (LEFT + RIGHT) / 2
        parts.append(f'<path class="limit" d="M{across:.1f} {TOP}V{BOTTOM}"/>')
        parts.append(_text(across + (-4 if end else 4), TOP + 8, "tolerance", anchor="end" if end else "start", kind="limit-name"))
    return _svg("".join(parts), name, about)


def scatter(
    points: Sequence[tuple[float, float]],
    worst: Sequence[tuple[float, float]],
    *,
    name: str,
    about: str,
    x: str,
    y: str,
    tolerance: tuple[float, float] | None = None,
) -> Markup:
    """One dot per pair on equal axes, with the diagonal; the worst pairs are crosses.

    Args:
        tolerance: rtol and atol, drawn as a line on each side of the diagonal.
    """
    axis = linear_axis([value for pair in (*points, *worst) for value in pair])
    parts = [_frame(x, y), *_left_ticks(axis)]
    parts += [_text(LEFT + (RIGHT - LEFT) * axis.at(tick), BOTTOM + 14, _short(tick), anchor="middle") for tick in axis.ticks()]
    parts.append(f'<path class="same" d="M{LEFT} {BOTTOM}L{RIGHT} {TOP}"/>')
    places = [(LEFT + (RIGHT - LEFT) * axis.at(first), _up(axis.at(second))) for first, second in points]
    if tolerance and _visible(axis, tolerance):
        parts += [_side(axis, tolerance, sign) for sign in (1, -1)]
    kind = "points" if len(places) > FEW else "points few"
    parts.append(f'<path class="{kind}" d="{"".join(f"M{across:.1f} {up:.1f}h0" for across, up in places)}"/>')
    parts += [_cross(LEFT + (RIGHT - LEFT) * axis.at(first), _up(axis.at(second))) for first, second in worst]
    return _svg("".join(parts), name, about)


def _visible(axis: Axis, tolerance: tuple[float, float]) -> bool:
    """Whether the lines of the tolerance are far enough from the diagonal to be told from it."""
    widest = tolerance[1] + tolerance[0] * max(abs(axis.low), abs(axis.high))
    return (BOTTOM - TOP) * (axis.at(axis.low + widest) - axis.at(axis.low)) >= 2


def _side(axis: Axis, tolerance: tuple[float, float], sign: int) -> str:
    """The line of the largest, or smallest, actual value that is within the tolerance."""
    rtol, atol = tolerance
    turns = (axis.low, 0.0, axis.high) if axis.low < 0 < axis.high else (axis.low, axis.high)
    places = [(axis.at(each), axis.at(each + sign * (atol + rtol * abs(each)))) for each in turns]
    path = "L".join(f"{LEFT + (RIGHT - LEFT) * across:.1f} {_up(up):.1f}" for across, up in places)
    return f'<path class="limit" d="M{path}"/>'


def bars(
    rows: Sequence[Bar], *, name: str, about: str, log: bool = False, limit: Limit | None = None, legend: Sequence[str] = ()
) -> Markup:
    """Horizontal bars, each below its label and with its value on the right; `legend` names first and second bar."""
    values = [value for row in rows for value in (row.value, row.upper, row.second) if value is not None and math.isfinite(value)]
    values += [limit.line / 10, limit.high * 3] if limit else []  # so that the limit is not at the edge
    axis = log_axis(values) if log else Axis(low=0.0, high=max(values, default=0.0) or 1.0)
    parts, top = [], 16 if limit or legend else 2
    for x, kind, text in zip((2, 82), ("bar", "second"), legend, strict=False):
        parts += [f'<rect class="{kind}" x="{x}" y="3" width="10" height="9"/>', _text(x + 14, 11, text, anchor="start")]
    for row in rows:
        lines = textwrap.wrap(f"{'✗ ' if row.bad else ''}{row.label}", LONG, max_lines=LINES, placeholder=" …") or [""]
        parts += [_text(2, top + 11 + _LINE * place, line, anchor="start") for place, line in enumerate(lines)]
        top += _LINE * len(lines)
        parts += [*_bar(row, axis, top + 4), *_beside(limit, axis, top), _text(WIDTH - 2, top + 14, row.text, anchor="end")]
        top += _BAR
    if limit:
        line = 2 + _along(axis, limit.line)
        parts += [
            _text(line, 10, "limit", anchor="middle" if line > 14 else "start", kind="limit-name"),
        ]
    return _svg("".join(parts), name, about, height=top + 4)


def _beside(limit: Limit | None, axis: Axis, top: int) -> Iterator[str]:
    """The limit, beside or across one bar."""
    if limit:
        line, high = 2 + _along(axis, limit.line), 2 + _along(axis, limit.high)
        yield f'<rect class="band" x="{line:.1f}" y="{top + 1}" width="{high - line:.1f}" height="18"/>'
        yield f'<path class="limit" d="M{line:.1f} {top + 1}v18"/>'


def _bar(row: Bar, axis: Axis, top: int) -> Iterator[str]:
    kind = "bar wrong" if row.bad else "bar"
    thick = 12 if row.second is None else 6
    yield f'<rect class="{kind}" x="2" y="{top}" width="{_along(axis, row.value):.1f}" height="{thick}"/>'
    if row.second is not None:
        yield f'<rect class="second" x="2" y="{top + 7}" width="{_along(axis, row.second):.1f}" height="6"/>'
    if row.upper is not None:
        yield f'<path class="whisker" d="M2 {top + 6}H{2 + _along(axis, row.upper):.1f}m0 -5v10"/>'


def _along(axis: Axis, value: float) -> float:
    """The length of a bar: of NaN the shortest, of +infinity the longest."""
    place = 0.0 if math.isnan(value) else axis.at(value) if math.isfinite(value) else float(value > 0)
    return min(1.0, max(0.0, place)) * (WIDTH - _VALUE) or 1.0


def _svg(content: str, name: str, about: str, *, height: int = HEIGHT) -> Markup:
    return Markup(  # noqa: S704 - numbers, and texts that `escape` escaped
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name)}" aria-description="{escape(about)}">'
        f"<title>{escape(name)}</title><desc>{escape(about)}</desc>{content}</svg>"
    )


def _frame(x: str, y: str) -> str:
    return (
        f'<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>{_text((LEFT + RIGHT) / 2, HEIGHT - 6, x, anchor="middle")}'
        f'<text class="y" transform="rotate(-90)" x="{-(TOP + BOTTOM) / 2:.0f}" y="10" text-anchor="middle">{escape(y)}</text>'
    )


def _left_ticks(axis: Axis) -> list[str]:
    return [part for tick in axis.ticks() for part in _left_tick(axis.at(tick), _short(tick))]


def _left_tick(place: float, label: str) -> list[str]:
    up = _up(place)
    return [f'<path class="grid" d="M{LEFT} {up:.1f}H{RIGHT}"/>', _text(LEFT - 4, up + 4, label, anchor="end")]


def _counted(count: int) -> list[str]:
    """Labels below the columns: at most eight numbers, from 0."""
    every = max(1, -(-count // 8))
    return [
        _text(LEFT + (RIGHT - LEFT) * (place + 0.5) / count, BOTTOM + 14, str(place), anchor="middle")
        for place in range(0, count, every)
    ]


def _up(place: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * min(1.0, max(0.0, place))


def _cross(across: float, up: float) -> str:
    return f'<path class="cross" d="M{across - 4:.1f} {up - 4:.1f}l8 8m0 -8l-8 8"/>'


def _text(across: float, down: float, text: str, *, anchor: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    return f"{value:.3g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
