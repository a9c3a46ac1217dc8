"""Graph networks: over edge lists of any length, and over dense adjacency in batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from corpus.seeding import seeded


class EdgeNet(nn.Module):
    """Two layers of a kind of PyTorch Geometric's over an edge list; the answer is per node."""

    def __init__(self, kind: str, **options: object) -> None:
        super().__init__()
        import torch_geometric.nn as layers

        if kind == "GINConv":
            self.first = layers.GINConv(nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 16)))
            self.second = layers.GINConv(nn.Linear(16, 3))
        else:
            layer = getattr(layers, kind)
            self.first, self.second = layer(5, 16, **options), layer(16, 3, **options)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x, edge_index)), edge_index)


def edge_net(kind: str, **options: object) -> nn.Module:
    """Two layers of `torch_geometric.nn.<kind>`."""
    return seeded(EdgeNet, kind, **options)


class DenseGcn(nn.Module):
    """Kipf and Welling's graph convolution on dense adjacency matrices, in batches of graphs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        edges = adjacency + torch.eye(adjacency.shape[-1], dtype=adjacency.dtype, device=adjacency.device)
        scale = edges.sum(-1).clamp(min=1e-6).rsqrt()
        edges = scale.unsqueeze(-1) * edges * scale.unsqueeze(-2)
        return (edges @ self.second(torch.relu(edges @ self.first(x)))).mean(1)


def dense_gcn() -> nn.Module:
    """The dense graph convolution."""
    return seeded(DenseGcn)


class Egnn(nn.Module):
    """A layer of an E(n)-equivariant graph network: all pairs of points, features and places are moved."""

    def __init__(self) -> None:
        super().__init__()
        self.edge = nn.Sequential(nn.Linear(2 * 4 + 1, 16), nn.SiLU(), nn.Linear(16, 8), nn.SiLU())
        self.place = nn.Sequential(nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 1))
        self.node = nn.Sequential(nn.Linear(4 + 8, 16), nn.SiLU(), nn.Linear(16, 4))

    def forward(self, features: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        count = features.shape[1]
        between = places.unsqueeze(2) - places.unsqueeze(1)
        left = features.unsqueeze(2).expand(-1, -1, count, -1)
        right = features.unsqueeze(1).expand(-1, count, -1, -1)
        messages = self.edge(torch.cat([left, right, between.pow(2).sum(-1, keepdim=True)], dim=-1))
        moved = places + (between * self.place(messages)).mean(2)
        return features + self.node(torch.cat([features, messages.sum(2)], dim=-1)), moved


def egnn() -> nn.Module:
    """The equivariant layer."""
    return seeded(Egnn)


class PointNet(nn.Module):
    """PointNet with its input transform: a set of points of any size, the same answer in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = _shared(3, 32)
        self.matrix = nn.Linear(32, 9)
        self.features = _shared(3, 64)
        self.head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, points: Tensor) -> Tensor:
        matrix = self.matrix(self.transform(points).amax(2)).view(-1, 3, 3) + torch.eye(3, device=points.device)
        return self.head(self.features(torch.bmm(matrix, points)).amax(2))


def _shared(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(before, 16, 1), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, after, 1), nn.BatchNorm1d(after))


def point_net() -> nn.Module:
    """A small PointNet."""
    return seeded(PointNet)
