"""The networks of the GPU tests, in PyTorch. Their weights come from a seed."""

from __future__ import annotations

import torch
from torch import nn


class Plain(nn.Module):
    """A plain CNN."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), nn.AvgPool2d(4)
        )
        self.last = nn.Linear(32 * 4 * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(x).flatten(1))


class Half(Plain):
    """The same in the type of its weights between its ends."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.to(self.last.weight.dtype)).float()


class Residual(nn.Module):
    """Blocks as ResNet has them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()) for _ in range(4))
        self.last = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x.mean((2, 3)))


class Encoder(nn.Module):
    """A transformer's encoder over sequences of any length, written out so that every exporter keeps the length open."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(64, 64) for _ in range(4))
        self.first, self.second = nn.LayerNorm(64), nn.LayerNorm(64)
        self.mix = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64))

    def heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (4, 16)).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normal = self.first(x)
        query, key, value = self.heads(self.query(normal)), self.heads(self.key(normal)), self.heads(self.value(normal))
        weights = torch.softmax(query @ key.transpose(2, 3) * 0.25, dim=-1)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        return x + self.mix(self.second(x))


class Unet(nn.Module):
    """A small 3-D U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = nn.Conv3d(1, 8, 3, stride=2, padding=1), nn.Conv3d(8, 8, 3, padding=1)
        self.up, self.last = nn.ConvTranspose3d(8, 8, 2, stride=2), nn.Conv3d(9, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([x, self.up(torch.relu(self.middle(torch.relu(self.down(x)))))], 1))


class Recurrent(nn.Module):
    """An LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(16, 32, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cells(x)[0]


KINDS: dict[str, type[nn.Module]] = {
    "cnn": Plain,
    "cnn_fp16": Half,
    "cnn_bf16": Half,
    "residual": Residual,
    "encoder": Encoder,
    "unet3d": Unet,
    "lstm": Recurrent,
}
TYPES = {"cnn_fp16": torch.float16, "cnn_bf16": torch.bfloat16}


def made(name: str) -> nn.Module:
    """The network with the weights of its seed, ready to answer."""
    torch.manual_seed(0)
    return KINDS[name]().eval().to(TYPES.get(name, torch.float32))
