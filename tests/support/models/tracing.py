"""Networks whose nodes are traced back to their lines, and one that cannot be exported."""

from __future__ import annotations

import os

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x))) + torch.sigmoid(x)  # the line of Block


class Net(nn.Module):
    """Two blocks in a container, and an operator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.asinh(self.blocks(x))  # the line of Net


class Bessel(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.i0(x) + 1  # the line of Bessel


class Unsupported(nn.Module):
    """No exporter knows what its second part does."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Conv2d(3, 3, 1), Bessel()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.parts[1](self.parts[0](x))


def other_each_time() -> nn.Module:
    """A factory that seeds its generator by chance."""
    torch.manual_seed(int.from_bytes(os.urandom(4), "little"))
    return Net()
