"""A small 3-D U-Net that halves its input twice before the first wide convolution, so that whole volumes are cheap."""

import torch
from torch import Tensor, nn


def convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """A 3x3x3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv3d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(channels_out),
        nn.ReLU(),
    )


class Up(nn.Module):
    """Doubles the resolution and joins what the encoder saw there."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(channels_in, channels_out, kernel_size=2, stride=2)
        self.join = convolution(2 * channels_out, channels_out)

    def forward(self, deep: Tensor, skipped: Tensor) -> Tensor:
        joined: Tensor = self.join(torch.cat([self.up(deep), skipped], dim=1))
        return joined


class HeartUNet(nn.Module):
    """Volume in, probability of each voxel out, both `batch x 1 x depth x height x width`; each side a multiple of 16."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        narrow = width // 2
        self.stem = convolution(1, narrow, stride=2)
        self.quarter = nn.Sequential(convolution(narrow, width, stride=2), convolution(width, width))
        self.eighth = nn.Sequential(convolution(width, 2 * width, stride=2), convolution(2 * width, 2 * width))
        self.sixteenth = nn.Sequential(convolution(2 * width, 4 * width, stride=2), convolution(4 * width, 4 * width))
        self.up_to_eighth = Up(4 * width, 2 * width)
        self.up_to_quarter = Up(2 * width, width)
        self.up_to_half = nn.ConvTranspose3d(width, narrow, kernel_size=2, stride=2)
        self.up_to_full = nn.ConvTranspose3d(narrow, 1, kernel_size=2, stride=2)

    def logits(self, volume: Tensor) -> Tensor:
        """The answer before the sigmoid: what training works on."""
        half = self.stem(volume)
        quarter = self.quarter(half)
        eighth = self.eighth(quarter)
        deep = self.sixteenth(eighth)
        deep = self.up_to_quarter(self.up_to_eighth(deep, eighth), quarter)
        full: Tensor = self.up_to_full(torch.relu(self.up_to_half(deep) + half))
        return full

    def forward(self, volume: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(volume))
