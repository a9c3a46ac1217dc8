"""From a photograph to the network's input, as the network was trained."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).parent
SIDE = 224
CROP = 0.875  # of the shorter side: the square in the middle


def image(path: Path) -> NDArray[np.float32]:
    """The middle of the photograph as float32, 1 x 3 x 224 x 224, values from -1 to 1."""
    photograph = Image.open(path).convert("RGB")
    width, height = photograph.size
    side = CROP * min(width, height)
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    square = photograph.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)
    pixels = np.asarray(square, dtype=np.float32)
    return np.ascontiguousarray((pixels.transpose(2, 0, 1)[np.newaxis] - 127) / 128)
