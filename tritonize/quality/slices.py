"""Turn an image or a volume into slices of 8-bit pixels: identify the axes, choose the slices, and scale the values.

Expected and actual share one value window; the difference has its own, symmetric around 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tritonize.core.arrays import Array
from tritonize.core.figures import Pane, Slices
from tritonize.quality.differences import numeric

SIDE = 256
"""Largest number of pixels along each axis."""
DEPTH = 32
"""Largest number of slices."""
SMALLEST = 8
"""An axis with fewer elements is not an image axis."""
CHANNELS = 4
"""A first axis with up to this many elements holds channels; a longer one is the depth of a volume."""
NOT_A_NUMBER = 255
"""Pixel value for NaN and infinities; 0 to 254 are finite values."""
CUT = 0.5
"""Percentage of values outside the window, at either end."""

Palette = Literal["gray", "colour", "difference"]


@dataclass(frozen=True, kw_only=True)
class _Volume:
    """A view of shape (channels, depth, height, width); an image has depth 1."""

    values: Array
    spatial: int
    """2 or 3."""


def picture(
    output: str, sample: int, why: str, *, expected: Array, found: Array, batched: bool, channelled: bool | None = None
) -> Slices | None:
    """Render expected, actual and difference of one output; `None` if the output is neither image nor volume.

    Args:
        expected: output of one sample; its first axis is the batch if `batched`.
        found: array of the same shape.
        channelled: whether there is a channel axis after the batch; `None` derives it from the shape.
    """
    one, other = (_volume(array, batched=batched, channelled=channelled) for array in (expected, found))
    if one is None or other is None:
        return None
    channel, worst = _worst(one.values, other.values)
    depth = one.values.shape[1]
    depths = _depths(depth, worst)
    first, second = (array.values[channel][list(depths)].astype(np.float64) for array in (one, other))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = second - first
    finite = difference[np.isfinite(difference)]
    far = float(np.abs(finite).max()) if finite.size else 0.0
    window = _window(first)
    step = _step(first.shape[1:])
    return Slices(
        output=output,
        sample=sample,
        why=why,
        source="",
        depths=depths,
        depth=depth,
        worst=depths.index(worst),
        channel=channel,
        channels=one.values.shape[0],
        shrunk=step,
        panes=(
            _pane("Expected", "gray", _averaged(first, step), window=window),
            _pane("Actual", "gray", _averaged(second, step), window=window),
            _pane("Difference", "difference", _furthest(difference, step), window=(-far, far)),
        ),
    )


def with_input(slices: Slices, inputs: Mapping[str, Array]) -> Slices:
    """Add the sample's first input with the same number of spatial axes, at the same relative depths."""
    spatial = 2 if slices.depth == 1 else 3
    for name, array in inputs.items():
        volume = _volume(array, batched=array.ndim > spatial + 1) if numeric(array) else None
        if volume is not None and volume.spatial == spatial:
            pane = _input_pane(volume, slices.depths, slices.depth)
            return replace(slices, source=name, panes=(pane, *slices.panes))
    return slices


def input_image(inputs: Mapping[str, Array]) -> Pane | None:
    """Render the first input that is an image, or the middle slice of one that is a volume."""
    for array in inputs.values():
        volume = _volume(array, batched=array.ndim > 3) if numeric(array) else None
        if volume is not None:
            depth = volume.values.shape[1]
            return _input_pane(volume, (depth // 2,), depth)
    return None


def _input_pane(volume: _Volume, depths: Sequence[int], depth: int) -> Pane:
    own = volume.values.shape[1]
    chosen = [min(own - 1, each * own // depth) for each in depths]
    values = volume.values[:, chosen].astype(np.float64)
    step = _step(values.shape[-2:])
    if volume.values.shape[0] == 3 and volume.spatial == 2:
        small = np.stack([_averaged(each, step) for each in values], axis=-1)
        return _pane("Input", "colour", small, window=_window(values))
    return _pane("Input", "gray", _averaged(values[0], step), window=_window(values[0]))


def _volume(array: Array, *, batched: bool, channelled: bool | None = None) -> _Volume | None:
    """Identify the axes. An array without a channel axis gets one channel."""
    values = array[0] if batched and array.ndim else array
    if values.ndim == 3 and channelled is None and values.shape[2] <= CHANNELS < values.shape[0]:
        values = np.moveaxis(values, 2, 0)  # an image with its channels last
    deep = channelled is False or (channelled is None and values.ndim == 3 and values.shape[0] > CHANNELS)
    if values.ndim == 2 or (values.ndim == 3 and deep):
        values = values[None]
    if values.ndim == 3:
        values = values[:, None]
    if values.ndim != 4 or min(values.shape[2:]) < SMALLEST or not values.size:
        return None
    return _Volume(values=values, spatial=3 if values.shape[1] > 1 else 2)


def _worst(expected: Array, found: Array) -> tuple[int, int]:
    """Return the channel and slice with the largest difference; the middle slice of the first channel if nothing differs."""
    far, where = 0.0, (0, expected.shape[1] // 2)
    for channel in range(expected.shape[0]):
        for index in range(expected.shape[1]):
            with np.errstate(invalid="ignore", over="ignore"):
                difference = np.abs(found[channel, index].astype(np.float64) - expected[channel, index].astype(np.float64))
            largest = float(np.max(difference, initial=0.0, where=np.isfinite(difference)))
            if largest > far:
                far, where = largest, (channel, index)
    return where


def _depths(depth: int, worst: int) -> tuple[int, ...]:
    """Choose at most `DEPTH` slices, evenly spaced from the first to the last; the worst replaces its nearest neighbour."""
    if depth <= DEPTH:
        return tuple(range(depth))
    chosen = [round(each) for each in np.linspace(0, depth - 1, DEPTH)]
    nearest = min(range(DEPTH), key=lambda place: abs(chosen[place] - worst))
    chosen[nearest] = worst
    return tuple(chosen)


def _window(values: Array) -> tuple[float, float]:
    """Return the values of the darkest and the brightest pixel; `CUT` percent of the values lie outside at either end."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(each) for each in np.percentile(finite, (CUT, 100 - CUT)))
    if low == high:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _step(shape: tuple[int, ...]) -> int:
    return max(1, -(-max(shape) // SIDE))


def _blocks(values: Array, step: int) -> Array:
    """Reshape (slices, height, width) to (slices, rows, columns, step²); the last blocks are padded with edge values."""
    slices, height, width = values.shape
    padded = np.pad(values, ((0, 0), (0, -height % step), (0, -width % step)), mode="edge")
    rows, columns = padded.shape[1] // step, padded.shape[2] // step
    return padded.reshape(slices, rows, step, columns, step).transpose(0, 1, 3, 2, 4).reshape(slices, rows, columns, step * step)


def _averaged(values: Array, step: int) -> Array:
    return _blocks(values, step).mean(axis=-1) if step > 1 else values


def _furthest(values: Array, step: int) -> Array:
    """Return each block's largest difference with its sign, so that downscaling hides none; NaN stays NaN."""
    if step == 1:
        return values
    blocks = _blocks(values, step)
    place = np.argmax(np.where(np.isnan(blocks), np.inf, np.abs(blocks)), axis=-1)
    furthest: Array = np.take_along_axis(blocks, place[..., None], axis=-1)[..., 0]
    return furthest


def _pane(
    title: Literal["Input", "Expected", "Actual", "Difference"], palette: Palette, values: Array, *, window: tuple[float, float]
) -> Pane:
    low, high = window
    span = high - low
    finite = np.isfinite(values)
    # A difference that is zero everywhere has no span; use the middle value.
    scaled = np.where(finite, values, low) / span - low / span if 0 < span < np.inf else np.full(values.shape, 0.5)
    top = 255 if palette == "colour" else NOT_A_NUMBER - 1
    pixels = np.rint(np.clip(scaled, 0.0, 1.0) * top).astype(np.uint8)
    if palette != "colour":
        pixels[~finite] = NOT_A_NUMBER
    slices, height, width = values.shape[:3]
    return Pane(
        title=title, palette=palette, low=low, high=high, pixels=pixels.tobytes(), slices=slices, height=height, width=width
    )
