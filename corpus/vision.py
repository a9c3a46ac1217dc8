"""Image classifiers, from timm: convolutional, attentional and mixed."""

from __future__ import annotations

from torch import nn

from corpus.seeding import seeded
from corpus.stand_in import stand_in

with stand_in("torchvision"):
    import timm


def timm_net(name: str, **options: object) -> nn.Module:
    """The network that timm calls `name`, for 20 classes, without trained weights."""
    return seeded(timm.create_model, name, pretrained=False, num_classes=20, **options)
