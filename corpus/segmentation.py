"""Image segmentation and restoration."""

from __future__ import annotations

import importlib

from torch import nn

from corpus.seeding import seeded
from corpus.stand_in import stand_in


def smp_net(architecture: str, encoder: str = "tu-resnet18", **options: object) -> nn.Module:
    """An architecture of segmentation_models_pytorch on an encoder of timm's, for 3 classes."""
    with stand_in("torchvision"):
        import segmentation_models_pytorch as smp

        return seeded(getattr(smp, architecture), encoder, encoder_weights=None, classes=3, **options)


def spandrel_net(architecture: str, network: str, **options: object) -> nn.Module:
    """A network for restoring pictures: `spandrel.architectures.<architecture>`, class `network`."""
    with stand_in("torchvision"):
        module = importlib.import_module(f"spandrel.architectures.{architecture}")
        return seeded(getattr(module, network), **options)
