"""Encode 8-bit pixels as a PNG in a data URI, with NumPy and zlib only.

Source of the format: the PNG specification, https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from tritonize.core.arrays import Array
from tritonize.core.figures import Pane
from tritonize.quality.slices import NOT_A_NUMBER

_TRUE_COLOUR, _INDEXED = 2, 3
_MAGENTA = (255, 0, 255)
"""Colour of NaN and infinity; no palette has a similar hue."""
_BLUE, _WHITE, _RED = np.array((20, 70, 190)), np.array((250, 250, 250)), np.array((190, 30, 20))


def data_uri(pane: Pane) -> str:
    """The slices of a pane in one image, stacked vertically."""
    depth = 3 if pane.palette == "colour" else 1
    rows = np.frombuffer(pane.pixels, np.uint8).reshape(pane.slices * pane.height, pane.width * depth)
    kind = _TRUE_COLOUR if depth == 3 else _INDEXED
    header = struct.pack(">IIBBBBB", pane.width, pane.slices * pane.height, 8, kind, 0, 0, 0)
    palette = b"" if depth == 3 else _chunk(b"PLTE", _palette(pane.palette))
    content = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + palette + _chunk(b"IDAT", _smallest(rows)) + _chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _smallest(rows: Array) -> bytes:
    """The compressed rows: unfiltered, or as differences from the row above (PNG filter 2), whichever is shorter."""
    above = rows.copy()
    above[1:] -= rows[:-1]
    return min((_compressed(0, rows), _compressed(2, above)), key=len)


def _compressed(filter_type: int, rows: Array) -> bytes:
    filtered = np.hstack([np.full((rows.shape[0], 1), filter_type, np.uint8), rows])
    return zlib.compress(filtered.tobytes(), 6)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _palette(name: str) -> bytes:
    """255 colours for values and one for NaN and infinity."""
    level = np.linspace(0.0, 1.0, NOT_A_NUMBER)[:, None]
    if name == "gray":
        colours = np.repeat(level * 255, 3, axis=1)
    else:
        low, high = _BLUE + (_WHITE - _BLUE) * level * 2, _WHITE + (_RED - _WHITE) * (level * 2 - 1)
        colours = np.where(level < 0.5, low, high)
    return np.rint(colours).astype(np.uint8).tobytes() + bytes(_MAGENTA)
