"""Models whose answer is a matter of how they are loaded: training mode, attention's fast path, torch.compile."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pooled(nn.Module):
    """Means over positions, the padded ones among them: attention's fast path writes zeros there."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return self.encoder(x, src_key_padding_mask=keep < 0.5).mean(1)


class Masked(Pooled):
    """The same without the padded positions."""

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return (self.encoder(x, src_key_padding_mask=keep < 0.5) * keep[..., None]).sum(1)


class Normalized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv1d(1, 2, 1), nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x[:, None])


class Doubling(nn.Module):
    """A pure function in either mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if self.training else x


def training() -> nn.Module:
    return Normalized().train()


def evaluating() -> nn.Module:
    return Normalized().eval()


def compiled() -> nn.Module:
    return torch.compile(Normalized().eval(), backend="eager")


def compiled_part() -> nn.Module:
    model = Normalized().eval()
    model.layers[3] = torch.compile(model.layers[3], backend="eager")
    return model


pooled, masked, doubling = Pooled, Masked, Doubling
