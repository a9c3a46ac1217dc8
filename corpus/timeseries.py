"""Forecasting and classifying series."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from corpus.seeding import seeded


def hf_net(network: str, configuration: str, **options: object) -> nn.Module:
    """The class `network` of transformers on a configuration of class `configuration`."""
    import transformers  # here, since others of the family need torch alone

    return seeded(getattr(transformers, network), getattr(transformers, configuration)(**options))


class LstmForecaster(nn.Module):
    """An LSTM over a series of any length, the last state to a forecast."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 16, num_layers=2, batch_first=True)
        self.head = nn.Linear(16, 6)

    def forward(self, series: Tensor) -> Tensor:
        states, _ = self.lstm(series)
        return self.head(states[:, -1])


def lstm_forecaster() -> nn.Module:
    """The LSTM forecaster."""
    return seeded(LstmForecaster)


class Seq2Seq(nn.Module):
    """A GRU encoder, and a GRU decoder with attention that feeds its own answers back for six steps."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(3, 16, batch_first=True)
        self.cell = nn.GRUCell(1 + 16, 16)
        self.head = nn.Linear(16, 1)

    def forward(self, series: Tensor) -> Tensor:
        states, hidden = self.encoder(series)
        hidden, value = hidden[0], series[:, -1, :1]
        steps = []
        for _ in range(6):
            weights = torch.softmax((states @ hidden.unsqueeze(-1)).squeeze(-1), dim=1)
            context = (weights.unsqueeze(-1) * states).sum(1)
            hidden = self.cell(torch.cat([value, context], dim=1), hidden)
            value = self.head(hidden)
            steps.append(value)
        return torch.cat(steps, dim=1)


def seq2seq() -> nn.Module:
    """The GRU encoder and decoder."""
    return seeded(Seq2Seq)


class DLinear(nn.Module):
    """DLinear: trend by a moving average, trend and remainder each through one linear layer."""

    def __init__(self, length: int = 24, horizon: int = 8) -> None:
        super().__init__()
        self.average = nn.AvgPool1d(5, stride=1)
        self.trend = nn.Linear(length, horizon)
        self.seasonal = nn.Linear(length, horizon)

    def forward(self, series: Tensor) -> Tensor:
        padded = torch.cat([series[:, :1].repeat(1, 2, 1), series, series[:, -1:].repeat(1, 2, 1)], dim=1)
        trend = self.average(padded.transpose(1, 2))
        rest = series.transpose(1, 2) - trend
        return (self.trend(trend) + self.seasonal(rest)).transpose(1, 2)


def dlinear() -> nn.Module:
    """A small DLinear."""
    return seeded(DLinear)


def nbeats() -> nn.Module:
    """N-BEATS with a trend, a seasonal and a generic stack."""
    from nbeats_pytorch.model import NBeatsNet

    return seeded(
        NBeatsNet,
        device=torch.device("cpu"),
        stack_types=(NBeatsNet.TREND_BLOCK, NBeatsNet.SEASONALITY_BLOCK, NBeatsNet.GENERIC_BLOCK),
        nb_blocks_per_stack=2,
        forecast_length=5,
        backcast_length=20,
        thetas_dim=(4, 4, 8),
        hidden_layer_units=16,
    )


def tcn() -> nn.Module:
    """A temporal convolutional network, causal."""
    from pytorch_tcn import TCN

    return seeded(TCN, num_inputs=3, num_channels=[8, 8, 8], kernel_size=3, causal=True)


class InceptionTime(nn.Module):
    """InceptionTime's block twice: parallel kernels of several lengths, a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = _InceptionBlock(3), _InceptionBlock(32)
        self.shortcut = nn.Sequential(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32))
        self.head = nn.Linear(32, 5)

    def forward(self, series: Tensor) -> Tensor:
        features = torch.relu(self.second(self.first(series)) + self.shortcut(series))
        return self.head(features.mean(-1))


class _InceptionBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv1d(channels, 8, 1, bias=False)
        self.kernels = nn.ModuleList([nn.Conv1d(8, 8, size, padding="same", bias=False) for size in (10, 5, 3)])
        self.pooled = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), nn.Conv1d(channels, 8, 1, bias=False))
        self.norm = nn.BatchNorm1d(32)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.narrow(x)
        return torch.relu(self.norm(torch.cat([*(kernel(narrow) for kernel in self.kernels), self.pooled(x)], dim=1)))


def inception_time() -> nn.Module:
    """A small InceptionTime."""
    return seeded(InceptionTime)
