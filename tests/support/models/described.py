"""A network with named inputs, one of them optional, and functions that draw samples for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        y = self.embedding(ids)
        if mask is not None:
            y = y * mask[..., None]
        return {"logits": self.head(y.mean(1))}


def draw(index: int) -> dict[str, torch.Tensor]:
    """Ids over the whole vocabulary, which generated ones are not."""
    return {"ids": torch.randint(0, 20, (1, 6)), "mask": torch.rand(1, 6)}


def draw_numpy(index: int) -> dict[str, np.ndarray]:
    length = (6, 2, 9)[index % 3]
    return {"ids": np.random.randint(0, 20, (1, length)), "mask": np.random.rand(1, length).astype(np.float32)}


def draw_three(index: int) -> dict[str, torch.Tensor]:
    return {"ids": torch.randint(0, 20, (3, 6)), "mask": torch.rand(3, 6)}


def raises(index: int) -> None:
    raise ValueError("no such patient")


def other_names(index: int) -> dict[str, np.ndarray]:
    return {f"ids{index}": np.zeros((1, 6), np.int64)}


def opaque(index: int) -> object:
    return object()


def stops(index: int) -> None:
    import os

    os._exit(3)


def nothing(index: int) -> dict:
    return {}


def slashes(index: int) -> dict[str, np.ndarray]:
    return {"../ids": np.zeros((1, 6), np.int64)}


def empty(index: int) -> dict[str, np.ndarray]:
    return {"ids": np.zeros((1, 0), np.int64)}


class Hungry(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = [torch.ones(1 << 26) for _ in range(64)]
        return x + kept[0][0]
