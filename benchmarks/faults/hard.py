"""Healthy models that are hard for float32: long sums, and normalizations over each item."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.faults.layers import Scale
from benchmarks.faults.models import Healthy, image
from tritonize.spec import schema


class Normalized(nn.Module):
    """A convolution before a normalization over each item, as segmentation networks of volumes have it."""

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.enter, self.norm, self.relu = nn.Conv3d(1, 4, 3, padding=1), norm(4), nn.ReLU()
        self.head = nn.Conv3d(4, 2, 1)

    def forward(self, volume: Tensor) -> Tensor:
        answer: Tensor = self.head(self.relu(self.norm(self.enter(volume))))
        return answer


class Pooled(nn.Module):
    """A mean over a large image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 8)

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.head(self.relu(self.conv(image)).mean(dim=(2, 3)))
        return answer


class Exponential(nn.Module):
    """A head that predicts logarithms."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.scale = nn.Linear(64, 16), Scale(4.0)

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(self.scale(self.head(x)))


_VOLUME = {"volume": schema.Input(shape=["batch", 1, 32, 32, 32], range=(0, 1))}
_LOGITS = {"logits": schema.Output(kind="segmentation")}
HARD = (
    Healthy(
        name="instancenorm3d", make=lambda: Normalized(lambda n: nn.InstanceNorm3d(n, affine=True)), inputs=_VOLUME, outputs=_LOGITS
    ),
    Healthy(name="groupnorm3d", make=lambda: Normalized(lambda n: nn.GroupNorm(2, n)), inputs=_VOLUME, outputs=_LOGITS),
    Healthy(
        name="pooled 224", make=Pooled, inputs={"image": image(3, 224, 0, 1)}, outputs={"logits": schema.Output(kind="classes")}
    ),
    Healthy(
        name="exponential",
        make=Exponential,
        inputs={"x": schema.Input(shape=["batch", 64])},
        outputs={"value": schema.Output(tolerance=schema.Tolerance(rtol=1e-4, atol=100.0))},
    ),
)
"""Healthy too, but hard for float32: constant edge cases make sums of equal numbers and variances of nothing."""
