"""Make the figures of slices side by side, with as many slices as fit into the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tritonize.core.figures import Pane, Slices
from tritonize.report.html import png
from tritonize.report.html.tables import Table, number, table


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One pane: an image of all its slices, stacked vertically, of which the page shows one at a time."""

    title: str
    window: str
    alt: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class SliceFigure:
    """Panes side by side, with a slider over the slices."""

    title: str
    text: str
    note: str
    pictures: tuple[Picture, ...]
    depths: tuple[int, ...]
    worst: int
    """Position in `depths` of the slice with the largest difference."""
    start: int
    """Position in `depths` of the slice that the page shows first."""
    depth: int
    """Number of slices in the volume."""
    height: int
    width: int
    table: Table


def fitting(slices: Sequence[Slices], budget: int) -> tuple[SliceFigure, ...]:
    """The figures, with at most `budget` characters of image data in all.

    A figure first shows the slice with the largest difference, or the middle one if there is no difference.
    If there is more image data, every second slice of the deepest volumes is dropped, repeatedly, until each has one slice.
    """
    chosen = list(slices)
    while True:
        figures = tuple(_figure(each) for each in chosen)
        deepest = max((len(each.depths) for each in chosen), default=0)
        if deepest <= 1 or sum(len(picture.uri) for figure in figures for picture in figure.pictures) <= budget:
            return figures
        chosen = [_thinned(each) if len(each.depths) == deepest else each for each in chosen]


def _thinned(slices: Slices) -> Slices:
    """Drop every second slice, but never the one with the largest difference."""
    remaining = tuple(range(slices.worst % 2, len(slices.depths), 2)) if len(slices.depths) > 2 else (slices.worst,)
    panes = tuple(replace(pane, pixels=_pixels(pane, remaining), slices=len(remaining)) for pane in slices.panes)
    depths = tuple(slices.depths[position] for position in remaining)
    return replace(slices, depths=depths, worst=remaining.index(slices.worst), panes=panes)


def _pixels(pane: Pane, positions: Sequence[int]) -> bytes:
    """The pixels of some slices."""
    return np.frombuffer(pane.pixels, np.uint8).reshape(pane.slices, -1)[list(positions)].tobytes()


def _figure(slices: Slices) -> SliceFigure:
    volume = slices.depth > 1
    title = f"{'Slices' if volume else 'Picture'} of {slices.output}: sample {slices.sample}"
    difference = slices.panes[-1]
    middle = min(range(len(slices.depths)), key=lambda position: abs(slices.depths[position] - (slices.depth - 1) / 2))
    worst = f"slice {slices.depths[slices.worst]}" if volume else "it"
    return SliceFigure(
        title=title,
        text=_text(slices),
        note=_note(slices),
        pictures=tuple(_picture(pane, slices) for pane in slices.panes),
        depths=slices.depths,
        worst=slices.worst,
        start=slices.worst if difference.high else middle,
        depth=slices.depth,
        height=difference.height,
        width=difference.width,
        table=table(
            f"{title}, as numbers",
            ("Picture", "Darkest or bluest", "Brightest or reddest"),
            [(pane.title, f"{pane.low:.6g}", f"{pane.high:.6g}") for pane in slices.panes]
            + [("Slice with the largest difference", worst, "")],
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
    return text


def _note(slices: Slices) -> str:
    """How the colours are to be read."""
    text = "Expected and actual share one window; the difference has its own, symmetric around 0. NaN and infinity are magenta."
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
