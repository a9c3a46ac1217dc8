"""Recommenders and networks for tables."""

from __future__ import annotations

import importlib

import numpy as np
import torch
from torch import Tensor, nn

from corpus.seeding import seeded

FIELDS = (20, 30, 10, 15)
"""Number of values of every categorical field."""


def torchfm_net(module: str, name: str, **options: object) -> nn.Module:
    """A network of torchfm on `FIELDS`."""
    if not hasattr(np, "long"):
        np.long = np.int64  # torchfm was written for the NumPy of its day
    return seeded(getattr(importlib.import_module(f"torchfm.model.{module}"), name), np.array(FIELDS), **options)


class Dlrm(nn.Module):
    """Facebook's deep learning recommendation model: dense features, embeddings, pairwise products."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(count, size) for count in FIELDS])
        self.bottom = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, size), nn.ReLU())
        pairs = (len(FIELDS) + 1) * len(FIELDS) // 2
        self.top = nn.Sequential(nn.Linear(size + pairs, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        x = self.bottom(dense)
        parts = torch.stack([x, *(embedding(sparse[:, field]) for field, embedding in enumerate(self.embeddings))], dim=1)
        products = torch.bmm(parts, parts.transpose(1, 2))
        rows, columns = torch.tril_indices(parts.shape[1], parts.shape[1], offset=-1)
        return self.top(torch.cat([x, products[:, rows, columns]], dim=1))


def dlrm() -> nn.Module:
    """A small DLRM."""
    return seeded(Dlrm)


class TwoTower(nn.Module):
    """A user's history and an item, each to a vector, and how well they fit."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(50, 16, padding_idx=0)
        self.user = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))
        self.item = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, history: Tensor, item: Tensor) -> Tensor:
        known = (history != 0).unsqueeze(-1).float()
        mean = (self.items(history) * known).sum(1) / known.sum(1).clamp(min=1)
        left = nn.functional.normalize(self.user(mean), dim=-1)
        right = nn.functional.normalize(self.item(self.items(item)), dim=-1)
        return (left * right).sum(-1)


def two_tower() -> nn.Module:
    """A small two-tower network."""
    return seeded(TwoTower)


class TabNetScores(nn.Module):
    """TabNet without the loss that it answers beside its scores."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        from pytorch_tabnet.tab_network import TabNet

        self.net = TabNet(**options)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[0]


def tabnet() -> nn.Module:
    """TabNet's network with embedded categories."""
    return seeded(
        TabNetScores,
        input_dim=8,
        output_dim=3,
        n_d=8,
        n_a=8,
        n_steps=3,
        cat_idxs=[0, 3],
        cat_dims=[5, 5],
        cat_emb_dim=[2, 2],
        group_attention_matrix=torch.eye(8),
        mask_type="sparsemax",
    )


def ft_transformer() -> nn.Module:
    """FT-Transformer: every column a token."""
    from rtdl_revisiting_models import FTTransformer

    return seeded(
        FTTransformer,
        n_cont_features=5,
        cat_cardinalities=list(FIELDS),
        d_out=2,
        n_blocks=2,
        d_block=16,
        attention_n_heads=4,
        attention_dropout=0.1,
        ffn_d_hidden_multiplier=2.0,
        ffn_dropout=0.1,
        residual_dropout=0.0,
    )


def tabular_resnet() -> nn.Module:
    """The ResNet for tables."""
    from rtdl_revisiting_models import ResNet

    return seeded(
        ResNet, d_in=8, d_out=2, n_blocks=2, d_block=16, d_hidden=32, d_hidden_multiplier=None, dropout1=0.1, dropout2=0.0
    )
