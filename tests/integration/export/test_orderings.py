"""Operators that put values in order, signs of zero, and means that are scattered: exported, with many equal values."""

from __future__ import annotations

import torch
from torch import nn

from tests.support.exporting import exported
from tritonize.core.artifacts import TensorSpec
from tritonize.source.worker.torch_model import LoadedModel


class Ordered(nn.Module):
    def forward(self, x: torch.Tensor):
        values, index = x.sort(dim=1, descending=True, stable=True)
        signs = torch.copysign(torch.ones_like(x), x)
        return values, index, x.argsort(dim=1, stable=True), x.kthvalue(2, dim=1).values, x.median(1).values, signs


def test_equal_values_keep_their_order_and_zeros_their_sign():
    axes = [TensorSpec(name="x", dtype="fp32", shape=("batch", 40))]
    model = LoadedModel(Ordered(), ("x",), ())
    session = exported(model, axes, list("abcdef"), [torch.randn(2, 40)], "dynamo_decomposed")
    for seed in range(3):
        x = torch.randint(-2, 3, (3, 40), generator=torch.Generator().manual_seed(seed)) * 0.5
        x[:, ::7] = -0.0
        for found, expected in zip(session.run(None, {"x": x.numpy()}), Ordered()(x), strict=True):
            torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=0)


class Scattered(nn.Module):
    def forward(self, x: torch.Tensor, i: torch.Tensor):
        start = torch.ones_like(x)
        return start.scatter_reduce(1, i, x, "mean"), start.scatter_reduce(1, i, x, "mean", include_self=False)


def test_means_are_scattered():
    axes = [TensorSpec(name="x", dtype="fp32", shape=("batch", 6)), TensorSpec(name="i", dtype="int64", shape=("batch", 6))]
    x, i = torch.randn(2, 6), torch.tensor([[0, 0, 0, 3, 3, 5], [1, 1, 1, 1, 1, 1]])
    session = exported(LoadedModel(Scattered(), ("x", "i"), ()), axes, ["a", "b"], [x, i], "dynamo_decomposed")
    for found, expected in zip(session.run(None, {"x": x.numpy(), "i": i.numpy()}), Scattered()(x, i), strict=True):
        torch.testing.assert_close(torch.from_numpy(found), expected)
