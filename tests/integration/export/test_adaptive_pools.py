"""Adaptive pooling to sizes that do not divide the input: the decomposition against PyTorch's own kernels, and exported."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.support.exporting import exported
from tritonize.core.artifacts import TensorSpec
from tritonize.export.worker import adaptive_pools
from tritonize.source.worker.torch_model import LoadedModel


@pytest.mark.parametrize("size", [(7,), (7, 8), (9, 4, 5), (3, 3)])
@pytest.mark.parametrize("wanted", [1, 2, 3, 5, 11])
def test_every_window_is_pytorchs(size, wanted):
    x = torch.randn(2, 3, *size)
    output_size = (wanted, *size[1:-1], wanted)[: len(size)]
    pool = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[len(size)]
    found = adaptive_pools._average(x, output_size)
    if found is not NotImplemented:
        torch.testing.assert_close(found, pool(output_size)(x))
    largest = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}[len(size)]
    values, where = largest(output_size, return_indices=True)(x)
    found = adaptive_pools._largest(x, output_size)
    torch.testing.assert_close(found[0], values)
    torch.testing.assert_close(found[1], where)


def test_sizes_that_divide_are_left_to_pytorch():
    assert adaptive_pools._average(torch.ones(1, 1, 6, 9), (2, 3)) is NotImplemented


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.average, self.largest = nn.AdaptiveAvgPool3d((3, 5, 2)), nn.AdaptiveMaxPool2d((3, 5), return_indices=True)

    def forward(self, x: torch.Tensor):
        values, where = self.largest(x[:, 0])
        return self.average(x), values, where


@pytest.mark.parametrize(
    ("strategy", "scripted"),
    [("dynamo_decomposed", False), pytest.param("converted_decomposed", True, marks=pytest.mark.slow)],
)
def test_it_is_exported_for_every_size(strategy, scripted, tmp_path):
    module = torch.jit.script(Pooled().eval()) if scripted else Pooled().eval()
    axes = [TensorSpec(name="x", dtype="fp32", shape=("batch", 2, "d", "h", "w"))]
    x = torch.randn(2, 2, 7, 9, 11)
    session = exported(LoadedModel(module, ("x",), ()), axes, ["a", "b", "c"], [x], strategy)
    for shape in ((2, 2, 7, 9, 11), (1, 2, 4, 6, 13), (3, 2, 3, 10, 4)):
        x = torch.randn(shape)
        for found, expected in zip(session.run(None, {"x": x.numpy()}), module(x), strict=True):
            torch.testing.assert_close(torch.from_numpy(found), expected)
