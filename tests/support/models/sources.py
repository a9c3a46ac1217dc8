"""Models and factories that are named wrongly, or need what this machine lacks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)))


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.module = Net()

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)


class CallsCuda(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cuda() * 2


class MakesOnCuda(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.zeros(4, device="cuda:0")


class Trains(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Instances(nn.Module):
    """Normalization by the sample's own statistics, in either mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.batch = nn.InstanceNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class Adds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.zeros(7)


def resnet18() -> nn.Module:
    return Net()


def resnet34() -> nn.Module:
    return Net()


def needs_gpu() -> nn.Module:
    return Net().cuda()


def observing() -> nn.Module:
    model = Net()
    model.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    return torch.ao.quantization.prepare_qat(model.train())
