"""Two runs of a model on the same input: how far apart their outputs are, also where an output is NaN or infinite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tritonize.core.errors import ExportError
from tritonize.reference.worker import determinism
from tritonize.source.worker.torch_model import LoadedModel

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
NAN, INF = math.nan, math.inf


class Alternating(nn.Module):
    """Returns one output, then the other, and so on."""

    def __init__(self, first: list[float], second: list[float], dtype: torch.dtype) -> None:
        super().__init__()
        self.outputs = [torch.tensor(first, dtype=dtype), torch.tensor(second, dtype=dtype)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.outputs.reverse()
        return self.outputs[1] + x.to(self.outputs[1].dtype) * 0


def require_repeatable(first: list[float], second: list[float], dtype: torch.dtype = torch.float32) -> None:
    model = LoadedModel(Alternating(first, second, dtype), ("x",), ("y",))
    batch = {"x": np.zeros(1, np.float32)}
    determinism.require_repeatable(model, batch, model.run(batch))


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ([NAN, NAN], [1.0, 2.0], "two outputs differ: NaN in one of them"),
        ([1.0, 2.0], [NAN, NAN], "two outputs differ: NaN in one of them"),
        ([NAN, 2.0], [1.0, NAN], "two outputs differ: NaN in one of them"),
        ([INF, NAN], [INF, 1.0], "two outputs differ: NaN in one of them"),
        ([1.0, NAN], [1.0, 2.0], "two outputs differ: NaN in one of them"),
        ([INF, 1.0], [INF, 1.5], "two outputs differ by up to 0.5"),
        ([INF, 1.0], [-INF, 1.0], "two outputs differ in shape or by infinity"),
        ([2.0, 1.0], [2.0, 1.5], "two outputs differ by up to 0.5"),
    ],
)
def test_different_outputs_are_reported_without_a_warning_of_numpy(first, second, found):
    with pytest.raises(ExportError) as caught:
        require_repeatable(first, second)
    assert caught.value.code == "not-deterministic"
    assert caught.value.found == found


@pytest.mark.parametrize("values", [[NAN, NAN], [NAN, INF], [INF, -INF], [1.0, NAN]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_same_output_twice_is_repeatable(values, dtype):
    require_repeatable(values, values, dtype)


def test_a_difference_of_rounding_is_allowed_beside_an_infinity():
    require_repeatable([INF, 1.0], [INF, 1.0 + 2**-22])
