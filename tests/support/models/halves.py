"""Small networks of every kind that reducing the precision treats in its own way, and their example inputs."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, stride=2), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.BatchNorm2d(3)
        self.one, self.two, self.skip = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(3, 8, 1)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 4)
        for norm in (self.before, self.norm):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.before(x)
        x = torch.relu(self.norm(self.two(torch.relu(self.one(x)))) + self.skip(x))
        return self.head(functional.adaptive_avg_pool2d(functional.max_pool2d(x, 2), 1).flatten(1)).softmax(-1)


class Encoder(nn.Module):
    def __init__(self, masked: float) -> None:
        super().__init__()
        self.masked = masked
        self.embed, self.project, self.out = nn.Embedding(50, 16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.norm, self.last, self.head = nn.LayerNorm(16), nn.LayerNorm(16), nn.Linear(16, 4)

    def forward(self, ids, mask):
        x = self.embed(ids)
        query, key, value = self.project(self.norm(x)).chunk(3, -1)
        scores = query @ key.transpose(-1, -2) / 4.0
        weights = scores.masked_fill((mask == 0)[:, None, :], self.masked).softmax(-1)
        return self.head(functional.gelu(self.last(x + self.out(weights @ value))))


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv3d(1, 4, 3, padding=1), nn.InstanceNorm3d(4, affine=True)
        self.down, self.up, self.last = nn.Conv3d(4, 8, 3, 2, 1), nn.ConvTranspose3d(8, 4, 2, 2), nn.Conv3d(8, 2, 1)

    def forward(self, x):
        wide = functional.leaky_relu(self.norm(self.first(x)))
        joined = torch.cat([self.up(torch.relu(self.down(wide))), wide], 1)
        return self.last(functional.interpolate(joined, scale_factor=2.0, mode="trilinear"))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTM(6, 8, batch_first=True, bidirectional=True), nn.GRU(16, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.gru(self.lstm(x)[0])[0][:, -1])


class Heavy(nn.Module):
    """With weights that float16 does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)
        self.register_buffer("scale", torch.full((8,), 1e5))

    def forward(self, x):
        return self.last(self.first(x) * self.scale / 1e5)


def networks() -> dict[str, tuple[nn.Module, dict[str, torch.Tensor]]]:
    """Name to a network and one batch of two."""
    torch.manual_seed(0)
    tokens = {"ids": torch.randint(0, 50, (2, 6)), "mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2])}
    unmasked = tokens | {"mask": torch.tensor([[1] * 6, [0] * 6])}  # a whole row that is masked: uniform weights, and no NaN
    return {
        "cnn": (Cnn(), {"x": torch.randn(2, 3, 12, 12)}),
        "residual": (Residual(), {"x": torch.randn(2, 3, 12, 12)}),
        "encoder": (Encoder(-1e9), unmasked),
        "encoder_inf": (Encoder(float("-inf")), tokens),
        "unet": (Unet(), {"x": torch.randn(2, 1, 4, 4, 4)}),
        "recurrent": (Recurrent(), {"x": torch.randn(2, 5, 6)}),
        "embedding": (nn.Sequential(nn.Embedding(100, 16), nn.Flatten(), nn.Linear(80, 4)), {"x": torch.randint(0, 100, (2, 5))}),
        "heavy": (Heavy(), {"x": torch.randn(2, 8)}),
    }
