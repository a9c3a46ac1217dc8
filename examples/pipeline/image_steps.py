"""The steps around the image network, as Triton's Python backend runs them: NumPy arrays in, NumPy arrays out, and no PyTorch."""

from __future__ import annotations

import numpy as np

MEAN = np.float32(0.45)
DEVIATION = np.float32(0.25)
UNSURE = -1
"""The label of an image without a sufficiently probable class."""


def decode(image: np.ndarray) -> np.ndarray:
    """Turn pixels of a camera, uint8 [batch, height, width, 3], into what the network takes, fp32 [batch, 3, height, width]."""
    return (image.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255) - MEAN) / DEVIATION


def decide(scores: np.ndarray, threshold: np.ndarray) -> dict[str, np.ndarray]:
    """Return the most probable class, or `UNSURE` if its probability is below the caller's threshold."""
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares = exponents / exponents.sum(axis=1, keepdims=True)
    best = shares.max(axis=1, keepdims=True)
    label = np.where(best >= threshold, shares.argmax(axis=1)[:, None], UNSURE)
    return {"label": label.astype(np.int64), "probability": best.astype(np.float32)}
