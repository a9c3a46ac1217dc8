"""Draw a value over the versions of a model as a line of the height of a text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from tritonize.report.html.svg import Axis, log_axis

WIDTH, HEIGHT = 120, 32
_EDGE = 4
"""Space around the line, so that its dots fit."""


def line(values: Sequence[float | None], *, about: str, limit: float | None = None) -> Markup:
    """One dot per version, from the oldest to the newest. A version without a value leaves a gap.

    Args:
        values: finite and not negative.
        about: what the drawing shows, for a reader who does not see it.
        limit: drawn as a dashed line; the scale is then logarithmic. Without it, the scale starts at 0.
    """
    known = [value for value in values if value is not None]
    if not known:
        return Markup("")
    axis = log_axis((*known, limit)) if limit else Axis(low=0.0, high=1.05 * max(known) or 1.0)
    places = [(_across(place, len(values)), _up(axis, value)) for place, value in enumerate(values) if value is not None]
    parts = [f'<path class="line" d="M{"L".join(f"{across:.1f} {up:.1f}" for across, up in places)}"/>']
    if limit:
        parts.append(f'<path class="limit" d="M0 {_up(axis, limit):.1f}H{WIDTH}"/>')
    parts += [f'<circle class="dot" cx="{across:.1f}" cy="{up:.1f}" r="2"/>' for across, up in places[:-1]]
    across, up = places[-1]
    parts.append(f'<circle class="dot" cx="{across:.1f}" cy="{up:.1f}" r="3.2"/>')
    return Markup(  # noqa: S704 - numbers, and a text that `escape` escaped
        f'<svg class="trend" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(about)}">'
        f"<title>{escape(about)}</title>{''.join(parts)}</svg>"
    )


def _across(place: int, count: int) -> float:
    return WIDTH / 2 if count == 1 else _EDGE + (WIDTH - 2 * _EDGE) * place / (count - 1)


def _up(axis: Axis, value: float) -> float:
    part = axis.at(value) if math.isfinite(value) else 1.0
    return HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * min(1.0, max(0.0, part))
