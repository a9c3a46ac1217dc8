"""A size that the spec has dynamic and the model's code makes a constant of: the error names input and axis."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.support.exporting import exported
from tritonize.core.artifacts import TensorSpec
from tritonize.export.worker import failures
from tritonize.source.worker.torch_model import LoadedModel


class Steps(nn.Module):
    def forward(self, start: Tensor, x: Tensor) -> Tensor:
        for step in range(x.shape[1]):
            start = torch.tanh(start + x[:, step])
        return start


def test_the_input_and_the_axis_are_named():
    inputs = [
        TensorSpec(name="start", dtype="fp32", shape=("batch", 3)),
        TensorSpec(name="x", dtype="fp32", shape=("batch", "t", 3)),
    ]
    with pytest.raises(Exception, match="specialized") as caught:
        exported(LoadedModel(Steps(), ("start", "x"), ()), inputs, ["y"], [torch.zeros(2, 3), torch.zeros(2, 5, 3)], "dynamo")
    error = failures.fixed_axis(caught.value, inputs, "dynamo")
    assert error.code == "fixed-axis"
    assert error.found.startswith("axis 1 of x is 5")
    assert failures.fixed_axis(ValueError("another"), inputs, "dynamo") is None
