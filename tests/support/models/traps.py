"""Models that exporters get wrong, most of them without a word."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TrainingMode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class DropoutAlways(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x * 2


class HiddenState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.previous = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        answer = x + self.previous
        self.previous = self.previous + 1
        return answer


class BatchOfOne(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] == 1 else x * 3


class BatchMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0, keepdim=True)


class FlatUnique(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.unique((x * 2).round(), return_inverse=True)[1].reshape(x.shape).float()


class IndexAdd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        index = torch.tensor([0, 1, 1, 0])
        return torch.zeros(x.shape[0], 2).index_add(1, index, x)


class ScatterAdd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        index = torch.tensor([0, 1, 1, 0]).expand(x.shape[0], 4)
        return torch.zeros(x.shape[0], 2).scatter_add(1, index, x)


class LoopOverBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([row * (index + 1) / (index + 1) for index, row in enumerate(x)])


class ScalarDefault(nn.Module):
    def forward(self, x: Tensor, scale: float = 2.0) -> Tensor:
        return x * scale


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x += 1
        return x * 2


class BranchOnLength(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[1] > 3 else x * 3


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class OnlyLegacy(nn.Module):
    """A branch on a value: capture refuses it, and both sides, which the samples see, are the same."""

    def forward(self, x: Tensor) -> Tensor:
        if float(x.sum()) > 0:
            return x * 2
        return x * 2


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_tracing():
            raise RuntimeError("this model cannot be traced")
        if float(x.sum()) > 0:
            return x + 1
        return x - 1


class Containers(nn.Module):
    def forward(self, batch: dict[str, Tensor], scales: list[Tensor]) -> dict[str, object]:
        masked = batch["image"] * batch["mask"].float()
        return {"features": [masked * scales[0], masked * scales[1]], "score": masked.sum(dim=1), "nothing": None}


class Cumulative(nn.Module):
    """Operators that no exporter has a function for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumprod(x, 1) + x.median(1, keepdim=True).values


class NearestExact(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x[:, None, None], size=(2, 7), mode="nearest-exact")


class UnseenRows(nn.Module):
    """Attention with a row that may see nothing: PyTorch answers 0, the exporter's own function the mean."""

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.tensor([[True, False], [False, False]])
        pairs = x.reshape(-1, 1, 2, 2)
        return nn.functional.scaled_dot_product_attention(pairs, pairs, pairs, attn_mask=mask)


class Padded(nn.Module):
    """Pads to a multiple of 4, which the usual sizes are already: what is captured there knows no padding."""

    def forward(self, x: Tensor) -> Tensor:
        missing = -x.shape[1] % 4
        if missing:
            x = nn.functional.pad(x, (0, missing))
        return x.reshape(x.shape[0], -1, 4).sum(2)


class BranchOnSquare(nn.Module):
    """Another answer for pictures whose sides are equal, which is all that equal ends of two ranges ever show."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[1] == x.shape[2] else x * 3


def _seeded(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind()


def training_mode() -> nn.Module:
    return TrainingMode()


random, dropout_always, counter, hidden_state = Random, DropoutAlways, Counter, HiddenState
batch_of_one, batch_mean, flat_unique = BatchOfOne, BatchMean, FlatUnique
index_add, scatter_add, loop_over_batch, scalar_default, in_place = IndexAdd, ScatterAdd, LoopOverBatch, ScalarDefault, InPlace
branch_on_length, only_legacy, data_dependent, containers = BranchOnLength, OnlyLegacy, DataDependent, Containers

branch_on_square, padded = BranchOnSquare, Padded
cumulative, nearest_exact, unseen_rows = Cumulative, NearestExact, UnseenRows


def attention() -> nn.Module:
    return _seeded(Attention)
