"""Slices side by side: which of them fit into the page, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tritonize.core.figures import Pane, Slices
from tritonize.report.html import png
from tritonize.report.html.tables import Table, number, table


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One pane: all its slices below each other in one image, of which one is seen."""

    title: str
    window: str
    alt: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A figure of panes with a slider over depth."""

    title: str
    text: str
    pictures: tuple[Picture, ...]
    depths: tuple[int, ...]
    middle: int
    """The position that is shown at first."""
    worst: int
    depth: int
    height: int
    width: int
    table: Table


def fitting(slices: Sequence[Slices], budget: int) -> tuple[Shown, ...]:
    """All of them with at most `budget` characters of images.

    Where they are too many, every second slice of the deepest is left out, again and again, down to one slice each.
    """
    chosen = list(slices)
    while True:
        shown = tuple(_shown(each) for each in chosen)
        deepest = max((len(each.depths) for each in chosen), default=0)
        if deepest <= 1 or sum(len(picture.uri) for each in shown for picture in each.pictures) <= budget:
            return shown
        chosen = [_thinned(each) if len(each.depths) == deepest else each for each in chosen]


def _thinned(slices: Slices) -> Slices:
    """Every second slice; the worst is always among them."""
    kept = tuple(range(slices.worst % 2, len(slices.depths), 2)) if len(slices.depths) > 2 else (slices.worst,)
    panes = tuple(replace(pane, pixels=_of(pane, kept), slices=len(kept)) for pane in slices.panes)
    return replace(slices, depths=tuple(slices.depths[place] for place in kept), worst=kept.index(slices.worst), panes=panes)


def _of(pane: Pane, kept: Sequence[int]) -> bytes:
    return np.frombuffer(pane.pixels, np.uint8).reshape(pane.slices, -1)[list(kept)].tobytes()


def _shown(slices: Slices) -> Shown:
    volume = slices.depth > 1
    title = f"{'Slices' if volume else 'Picture'} of {slices.output}: sample {slices.sample}"
    shown = slices.panes[-1]
    middle = min(range(len(slices.depths)), key=lambda place: abs(slices.depths[place] - (slices.depth - 1) / 2))
    place = f"slice {slices.depths[slices.worst]}" if volume else "it"
    return Shown(
        title=title,
        text=_text(slices),
        pictures=tuple(_picture(pane, slices) for pane in slices.panes),
        depths=slices.depths,
        middle=middle,
        worst=slices.worst,
        depth=slices.depth,
        height=shown.height,
        width=shown.width,
        table=table(
            f"{title}, as numbers",
            ("Picture", "Darkest or bluest", "Brightest or reddest"),
            [(pane.title, f"{pane.low:.6g}", f"{pane.high:.6g}") for pane in slices.panes]
            + [("Slice with the largest difference", place, "")],
            limit=9,
        ),
    )


def _text(slices: Slices) -> str:
    channel = (
        f", channel {slices.channel} of {slices.channels} (the one with the largest difference)" if slices.channels > 1 else ""
    )
    text = f"{slices.why[:1].upper()}{slices.why[1:]}{channel}."
    if slices.depth > 1:
        text += f" {len(slices.depths)} of {slices.depth} slices, counted from 0; the largest difference is in slice"
        text += f" {slices.depths[slices.worst]}."
    text += " Expected and actual share one window; the difference has its own, symmetric around 0. NaN and infinity are magenta."
    if slices.shrunk > 1:
        text += f" A pixel is {slices.shrunk} x {slices.shrunk} places: their mean, and of the difference the largest."
    return text


def _picture(pane: Pane, slices: Slices) -> Picture:
    title = f"{pane.title} ({slices.source})" if pane.title == "Input" else pane.title
    ends = ("darkest", "brightest")
    if pane.palette == "difference":
        ends = ("blue", "red")
    window = f"{ends[0]} {number(pane.low)}, {ends[1]} {number(pane.high)}"
    if pane.palette == "difference" and not pane.high:
        window = "no difference"
    alt = f"{title} of {slices.output}, sample {slices.sample}: {window}"
    return Picture(title=title, window=window, alt=alt, uri=png.data_uri(pane))
