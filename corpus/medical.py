"""Networks for medical volumes: MONAI's, nnU-Net's and the `unet` package's."""

from __future__ import annotations

import monai.networks.nets
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn
from unet import UNet

from corpus.seeding import seeded


def monai_net(name: str, **options: object) -> nn.Module:
    """A class of `monai.networks.nets`."""
    return seeded(getattr(monai.networks.nets, name), **options)


def nnunet(residual: bool = False) -> nn.Module:
    """nnU-Net's network in three stages, without deep supervision."""
    options = {
        "input_channels": 1,
        "n_stages": 3,
        "features_per_stage": (8, 16, 32),
        "conv_op": nn.Conv3d,
        "kernel_sizes": 3,
        "strides": (1, 2, 2),
        "num_classes": 3,
        "n_conv_per_stage_decoder": 1,
        "conv_bias": True,
        "norm_op": nn.InstanceNorm3d,
        "norm_op_kwargs": {"affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
    }
    if residual:
        return seeded(ResidualEncoderUNet, n_blocks_per_stage=1, **options)
    return seeded(PlainConvUNet, n_conv_per_stage=2, **options)


def unet3d() -> nn.Module:
    """The `unet` package's 3-D U-Net."""
    return seeded(
        UNet,
        in_channels=1,
        out_classes=2,
        dimensions=3,
        num_encoding_blocks=3,
        out_channels_first_layer=8,
        normalization="batch",
        padding=1,
        upsampling_type="linear",
    )
