"""What the pictures of a report are drawn from: plain numbers and small 8-bit images, kept while answers came in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal  # Any: JSON data, which is changed here by key

from tritonize.core.artifacts import to_json
from tritonize.core.stages import StageName

LOWEST, HIGHEST, PER_DECADE = -16, 8, 2
"""Decades that a histogram covers, and bins of each; its first and last bin also take what lies beyond."""
BINS = (HIGHEST - LOWEST) * PER_DECADE


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How often an error of each size occurs in the elements of one output, over all samples."""

    output: str
    counts: tuple[int, ...]
    """Bin i holds errors from 10^(LOWEST + i / PER_DECADE) on, in the output's own unit."""
    equal: int
    """Elements without any difference."""
    incomparable: int
    """Elements that are NaN or infinite on either side."""
    looked_at: int
    """Elements counted."""
    elements: int
    """Elements that there are: of large answers every n-th is counted."""


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Expected against actual, at fixed positions spread evenly over every answer."""

    output: str
    expected: tuple[float, ...]
    found: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Pane:
    """Slices of one volume, or one image, as 8-bit pixels."""

    title: Literal["Input", "Expected", "Actual", "Difference"]
    palette: Literal["gray", "colour", "difference"]
    low: float
    """The value of the darkest pixel; of the difference, that of the bluest."""
    high: float
    pixels: bytes
    """Slice after slice, row after row; three bytes for each pixel of `colour`."""
    slices: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Input, expected, actual and difference of one output for one sample, side by side."""

    output: str
    sample: int
    why: str
    """In words, why this sample: the first one, or the one with the largest difference."""
    source: str
    """Name of the input that is shown; empty where none has such a shape."""
    depths: tuple[int, ...]
    """Which slices are shown, counted from 0; one for an image."""
    depth: int
    """How many there are."""
    worst: int
    """The position in `depths` of the slice with the largest difference."""
    channel: int
    """The channel with the largest difference, which is the one that is shown."""
    channels: int
    shrunk: int
    """Places of the output that one pixel stands for, along each axis."""
    panes: tuple[Pane, ...]


@dataclass(frozen=True, kw_only=True)
class Class:
    """One class of the highest five, expected or actual."""

    number: int
    expected: float
    found: float


@dataclass(frozen=True, kw_only=True)
class TopClasses:
    """The highest five classes of both sides, in the first row of one sample's scores."""

    output: str
    sample: int
    why: str
    classes: tuple[Class, ...]
    """The highest expected ones first."""
    image: Pane | None = None
    """The sample's input, where it is an image."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All that was kept of the answers at one stage."""

    stage: StageName | None = None
    """The stage nearest to the client; `None`, in JSON an empty text, where nothing was answered."""
    against: Literal["fp64", "fp32"] = "fp32"
    """What `expected` is: PyTorch in float64, or in float32 where float64 could not run."""
    histograms: tuple[Histogram, ...] = ()
    scatters: tuple[Scatter, ...] = ()
    slices: tuple[Slices, ...] = ()
    classes: tuple[TopClasses, ...] = ()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By output, the name of every class."""
    located: tuple[tuple[str, float], ...] = ()
    """Along the graph: a module or node, and the error of its answer as a part of the largest value there."""

    @property
    def heading(self) -> str:
        """What a report calls the stage."""
        return self.stage.heading if self.stage else ""


def as_json(figures: Figures) -> dict[str, object]:
    """The numbers behind the figures as plain data, without pixels."""
    slices = [replace(each, panes=tuple(replace(pane, pixels=b"") for pane in each.panes)) for each in figures.slices]
    classes = [replace(each, image=None) for each in figures.classes]
    plain: dict[str, Any] = to_json(replace(figures, slices=tuple(slices), classes=tuple(classes)))
    plain["stage"] = plain["stage"] or ""
    for pane in (pane for each in plain["slices"] for pane in each["panes"]):
        del pane["pixels"]
    for each in plain["classes"]:
        del each["image"]
    return plain


def dumps(figures: Figures) -> str:
    """The same as JSON text; NaN and the infinities, which JSON has not, are null."""
    return json.dumps(_finite(as_json(figures)), indent=1, ensure_ascii=False, allow_nan=False)


def _finite(plain: object) -> object:
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_finite(value) for value in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
