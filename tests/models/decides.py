"""Models that decide by the values of their input; most exporters freeze one side."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn


class Pixels(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.max() > 100:  # line: pixels
            x = x / 255
        return x * 2


class PixelsByNumber(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        largest = float(x.max())
        scale = 255 if largest > 100 else 1  # line: number
        return x / scale


class PixelsByHelper(nn.Module):
    def is_large(self, x: Tensor) -> bool:
        return x.max().item() > 100

    def forward(self, x: Tensor) -> Tensor:
        if self.is_large(x):  # line: helper
            x = x / 255
        return x * 2


class PixelsElsewhere(nn.Module):
    def scaled(self, x: Tensor, largest: float) -> Tensor:
        return x / 255 if largest > 100 else x

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x, x.max().item())  # line: elsewhere


class HalvesUntilSmall(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while x.abs().sum() > 50:  # line: loop
            x = x / 2
        return x


class AlwaysTwice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rounds = int((x * 0).sum()) + 2  # line: rounds
        for _ in range(rounds):
            x = x * 2
        return x


class Newton(nn.Module):
    """A loop that the samples leave at different times, and whose answer is the same then."""

    def forward(self, x: Tensor) -> Tensor:
        guess = x.abs().sum()
        while guess > 0.5:
            guess = guess / 2
        return x * 3


class Written(nn.Module):
    """The value that decides is written through a view."""

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.zeros(2)
        kept[0] = x.max()
        if kept.sum() > 100:  # line: written
            x = x / 255
        return x * 2


class Counted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rows = (x > 100).nonzero()
        if rows.shape[0] > 0:  # line: counted
            x = x / 255
        return x * 2


class Equal(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.equal(x, x.round() * 7 + 0.5):  # line: equal
            return x
        return x * 2


class Alike(nn.Module):
    """Both sides are the same, and the samples are on both."""

    def forward(self, x: Tensor) -> Tensor:
        if float(x.sum()) > 0.01:
            return x * 2
        return x + x


class Checks(nn.Module):
    """Nothing here changes an answer, or is a matter of data."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(3.0))
        self.steps = torch.linspace(0, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        assert (x < 1e9).all()
        if torch.isnan(x).any():
            raise ValueError("not a number")
        large = bool((x > 1e8).any())
        if large:
            warnings.warn("large", stacklevel=1)
        if math.isinf(x.max().item()):
            raise ValueError("infinite")
        if x.shape[0] > 8:
            x = x + 1
        rates = [step.item() for step in self.steps]
        return x * self.scale.item() + sum(rates)


class Validated(nn.Module):
    """PyTorch's own checks of values."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.distributions.Normal(x, torch.ones_like(x)).log_prob(x + 1)
