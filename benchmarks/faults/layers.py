"""The layers that the bench's models share, each a module of its own so that a fault can be put into it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """(x - mean) / std, one pair for each channel of the first axis after the batch."""

    def __init__(self, mean: list[float], std: list[float], axes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, *[1] * axes))
        self.register_buffer("std", torch.tensor(std).reshape(-1, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Scale(nn.Module):
    """x times a number: the unit of an output."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Product(nn.Module):
    """The matrix product of two activations."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left @ right


class Attention(nn.Module):
    """Self-attention of several heads; what the mask leaves out is not looked at."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.scores, self.mixed, self.softmax = Product(), Product(), nn.Softmax(dim=-1)
        self.scale = Scale(1 / math.sqrt(self.size))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = (batch, length, self.heads, self.size)
        query, key, value = (each(x).reshape(split).transpose(1, 2) for each in (self.query, self.key, self.value))
        scores = self.scale(self.scores(query, key.transpose(2, 3)))
        scores = scores.masked_fill(mask[:, None, None, :] == 0, -1e4)
        mixed = self.mixed(self.softmax(scores), value)
        answer: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return answer


class Encoder(nn.Module):
    """One layer of a transformer, normalized first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide, self.narrow, self.gelu = nn.Linear(width, 2 * width), nn.Linear(2 * width, width), nn.GELU()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attention(self.first(x), mask)
        answer: Tensor = x + self.narrow(self.gelu(self.wide(self.second(x))))
        return answer


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.norm_one, self.norm_two = (nn.BatchNorm2d(channels) for _ in range(2))
        self.relu, self.last = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(x + self.norm_two(self.two(self.relu(self.norm_one(self.one(x))))))
        return answer
