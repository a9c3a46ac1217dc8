"""Create the figures with slices side by side, limited to the size of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tritonize.core.figures import Pane, Slices
from tritonize.report.html import png
from tritonize.report.html.tables import Table, number, table


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One pane: an image of all its slices, stacked vertically; the page displays one slice at a time."""

    title: str
    window: str
    alt: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class SliceFigure:
    """Panes side by side with a slider over depth."""

    title: str
    text: str
    pictures: tuple[Picture, ...]
    depths: tuple[int, ...]
    middle: int
    """The initial position of the slider."""
    worst: int
    depth: int
    height: int
    width: int
    table: Table


def fitting(slices: Sequence[Slices], budget: int) -> tuple[SliceFigure, ...]:
    """Figures of all slices, with at most `budget` characters of images.

    Every second slice of the deepest figures is dropped until the images fit or each figure has one slice.
    """
    chosen = list(slices)
    while True:
        created = tuple(_figure(each) for each in chosen)
        deepest = max((len(each.depths) for each in chosen), default=0)
        if deepest <= 1 or sum(len(picture.uri) for each in created for picture in each.pictures) <= budget:
            return created
        chosen = [_thinned(each) if len(each.depths) == deepest else each for each in chosen]


def _thinned(slices: Slices) -> Slices:
    """Drop every second slice, but keep the worst."""
    kept = tuple(range(slices.worst % 2, len(slices.depths), 2)) if len(slices.depths) > 2 else (slices.worst,)
    panes = tuple(replace(pane, pixels=_of(pane, kept), slices=len(kept)) for pane in slices.panes)
    return replace(slices, depths=tuple(slices.depths[place] for place in kept), worst=kept.index(slices.worst), panes=panes)


def _of(pane: Pane, kept: Sequence[int]) -> bytes:
    return np.frombuffer(pane.pixels, np.uint8).reshape(pane.slices, -1)[list(kept)].tobytes()


def _figure(slices: Slices) -> SliceFigure:
    volume = slices.depth > 1
    title = f"{'Slices' if volume else 'Picture'} of {slices.output}: sample {slices.sample}"
    pane = slices.panes[-1]
    middle = min(range(len(slices.depths)), key=lambda place: abs(slices.depths[place] - (slices.depth - 1) / 2))
    place = f"slice {slices.depths[slices.worst]}" if volume else "the only one"
    return SliceFigure(
        title=title,
        text=_text(slices),
        pictures=tuple(_picture(pane, slices) for pane in slices.panes),
        depths=slices.depths,
        middle=middle,
        worst=slices.worst,
        depth=slices.depth,
        height=pane.height,
        width=pane.width,
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
    text += " Expected and actual share one value range; the range of the difference is symmetric around 0. NaN and infinity are"
    text += " magenta."
    if slices.shrunk > 1:
        text += f" A pixel is the mean of {slices.shrunk} x {slices.shrunk} elements; of the difference, the largest."
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
