"""Language models of transformers, from configurations: small, with random weights."""

from __future__ import annotations

import transformers
from torch import nn

from corpus.seeding import seeded


def hf_net(network: str, configuration: str, **options: object) -> nn.Module:
    """The class `network` of transformers on a configuration of class `configuration`."""
    config = getattr(transformers, configuration)(**options)
    return seeded(getattr(transformers, network), config)


def t5_encoder(**options: object) -> nn.Module:
    """T5's encoder alone."""
    return seeded(transformers.T5EncoderModel, transformers.T5Config(**options))
