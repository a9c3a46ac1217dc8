"""Models that show themselves on odd inputs: NaN, empty tensors, and masks that break what the samples promise."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class Largest(nn.Module):
    """Answers of which PyTorch's have the NaN, and ONNX's operators choose a number."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"top": x.amax(1), "pooled": nn.functional.max_pool1d(x[:, None], 2)[:, 0], "place": x.argmax(1)}


class Promised(nn.Module):
    """Every sample has three places of its mask set; PyTorch cannot batch one that has another number."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x[mask.bool()].reshape(x.shape[0], -1)


def promised(index: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(index)
    mask = np.zeros((1, 8), np.int64)
    mask[0, generator.permutation(8)[:3]] = 1
    return {"x": generator.standard_normal((1, 8)).astype(np.float32), "mask": mask}


class Raises(nn.Module):
    """Refuses NaN."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.isfinite(x).all():
            raise ValueError("this is no image")
        return 2 * x


class Cache(nn.Module):
    """New keys behind those of a cache, which may be empty."""

    def forward(self, new: torch.Tensor, past: torch.Tensor) -> torch.Tensor:
        return torch.cat([past, new], 1) * 2
