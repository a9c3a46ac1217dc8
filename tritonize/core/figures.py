"""The data of a report's figures: plain numbers and small 8-bit images, collected while outputs are compared."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal  # Any: JSON data, which is changed here by key

from tritonize.core.artifacts import to_json
from tritonize.core.stages import StageName

LOWEST, HIGHEST, PER_DECADE = -16, 8, 2
"""Lowest and highest decade of a histogram, and bins per decade. The first and the last bin also count errors beyond the range."""
BINS = (HIGHEST - LOWEST) * PER_DECADE


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Number of elements of one output by size of their error, over all samples."""

    output: str
    counts: tuple[int, ...]
    """Bin i counts errors from 10^(LOWEST + i / PER_DECADE) up to the next bin, in the output's unit."""
    equal: int
    """Elements without a difference."""
    incomparable: int
    """Elements that are NaN or infinite on either side."""
    looked_at: int
    """Counted elements; of large outputs, every n-th."""
    elements: int
    """All elements."""


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Expected and actual values at fixed positions, spread evenly over the outputs of every sample."""

    output: str
    expected: tuple[float, ...]
    found: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Pane:
    """Slices of one volume, or one image, as 8-bit pixels."""

    title: Literal["Input", "Expected", "Actual", "Difference"]
    palette: Literal["gray", "colour", "difference"]
    low: float
    """Value of the darkest pixel; in a difference pane, of the bluest."""
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
    """Why the report has this sample, as text: it is the first, or it has the largest difference."""
    source: str
    """Name of the input in the input pane; empty if no input has a matching shape."""
    depths: tuple[int, ...]
    """Indices of the slices in the panes, from 0; one for an image."""
    depth: int
    """Number of slices in the volume."""
    worst: int
    """Position in `depths` of the slice with the largest difference."""
    channel: int
    """The channel in the panes, which is the one with the largest difference."""
    channels: int
    shrunk: int
    """Number of output elements per pixel, along each axis."""
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
    """In descending order of the expected score."""
    image: Pane | None = None
    """The sample's input, if it is an image."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The data of all figures, from the outputs at one stage."""

    stage: StageName | None = None
    """The stage nearest to the client; `None`, in JSON an empty text, if no outputs were compared."""
    against: Literal["fp64", "fp32"] = "fp32"
    """The reference of `expected`: PyTorch in float64, or in float32 if float64 could not run."""
    histograms: tuple[Histogram, ...] = ()
    scatters: tuple[Scatter, ...] = ()
    slices: tuple[Slices, ...] = ()
    classes: tuple[TopClasses, ...] = ()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Output to the names of its classes."""
    located: tuple[tuple[str, float], ...] = ()
    """In the graph's order: a module or node, and the error of its output divided by its largest magnitude."""

    @property
    def heading(self) -> str:
        """The stage's name in a report."""
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
    """`as_json` as text; NaN and infinities become null, since JSON cannot represent them."""
    return json.dumps(_finite(as_json(figures)), indent=1, ensure_ascii=False, allow_nan=False)


def _finite(plain: object) -> object:
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_finite(value) for value in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
