"""Vision and multimodal models of transformers, from configurations: small, with random weights."""

from __future__ import annotations

import transformers
from torch import nn

from corpus.seeding import seeded


def hf_net(network: str, configuration: str, **options: object) -> nn.Module:
    """The class `network` of transformers on a configuration of class `configuration`."""
    return seeded(getattr(transformers, network), getattr(transformers, configuration)(**options))


def clip() -> nn.Module:
    """CLIP: a text and a picture."""
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": 100, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 99},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    return seeded(transformers.CLIPModel, config)


def detr() -> nn.Module:
    """DETR on a small ResNet, both from configurations."""
    backbone = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=10,
        num_labels=5,
    )
    return seeded(transformers.DetrForObjectDetection, config)
