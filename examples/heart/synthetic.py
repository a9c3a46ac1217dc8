"""Synthetic volumes: bright chambers (spheres) and vessels (tubes) under noise, each with its mask."""

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]
Shape = tuple[int, int, int]

FULL: Shape = (160, 176, 176)


def volume(generator: np.random.Generator, shape: Shape = FULL) -> tuple[Volume, Volume]:
    """One volume and the mask of its spheres and tubes, both of `shape`; the same generator state gives the same pair."""
    axes = np.ogrid[: shape[0], : shape[1], : shape[2]]
    points: list[Volume] = [axis.astype(np.float32) for axis in axes]
    sides = np.array(shape, dtype=np.float32)
    mask = np.zeros(shape, dtype=bool)
    for _ in range(4):
        centre = generator.uniform(0.25, 0.75, 3) * sides
        mask |= sphere(points, centre, radius=generator.uniform(0.07, 0.16) * sides.min())
    for _ in range(5):
        ends = generator.uniform(0.1, 0.9, (2, 3)) * sides
        mask |= tube(points, ends[0], ends[1], radius=generator.uniform(0.025, 0.05) * sides.min())
    truth = mask.astype(np.float32)
    shading = sum(generator.uniform(-0.5, 0.5) * (axis / side - 0.5) for axis, side in zip(points, sides, strict=True))
    noise = generator.standard_normal(shape, dtype=np.float32)
    contrast = generator.uniform(0.8, 1.2)
    return (contrast * truth + shading + 0.7 * noise).astype(np.float32), truth


def sphere(points: list[Volume], centre: NDArray[np.floating], radius: float) -> NDArray[np.bool_]:
    """Where the distance to the centre is at most the radius."""
    squared: Volume = sum_squares([axis - np.float32(c) for axis, c in zip(points, centre, strict=True)])
    return squared <= np.float32(radius**2)


def tube(points: list[Volume], start: NDArray[np.floating], end: NDArray[np.floating], radius: float) -> NDArray[np.bool_]:
    """Where the distance to the line from start to end is at most the radius."""
    direction = end - start
    length = float(direction @ direction)
    offsets = [axis - np.float32(s) for axis, s in zip(points, start, strict=True)]
    along = sum(offset * np.float32(d / length) for offset, d in zip(offsets, direction, strict=True))
    along = np.clip(along, 0, 1)
    squared = sum_squares([offset - along * np.float32(d) for offset, d in zip(offsets, direction, strict=True)])
    return squared <= np.float32(radius**2)


def sum_squares(parts: list[Volume]) -> Volume:
    """The sum of the squares, broadcast over the axes."""
    total: Volume = np.square(parts[0]) + np.square(parts[1]) + np.square(parts[2])
    return total
