"""Healthy models that normalize a large volume: ONNX Runtime's own sum there is far less exact than PyTorch's."""

from __future__ import annotations

from torch import nn

from benchmarks.faults.hard import Normalized
from benchmarks.faults.models import Healthy
from tritonize.spec import schema

FAULTS = ("weights of one layer 1e-04", "weights of all layers 1e-05", "instancenorm eps 1e-4", "instancenorm weight 2e-5", "TF32")
"""What is put into the smallest of them: each of those that count is below, or near, what ONNX Runtime's own sums are off."""


def _of(size: int, seeds: int, faults: tuple[str, ...]) -> Healthy:
    return Healthy(
        name=f"instancenorm {size}",
        make=lambda: Normalized(lambda n: nn.InstanceNorm3d(n, affine=True)),
        inputs={"volume": schema.Input(shape=["batch", 1, size, size, size], range=(0, 1))},
        outputs={"logits": schema.Output(kind="segmentation")},
        max_batch_size=1,
        samples=2,
        seeds=seeds,
        faults=faults,
    )


VOLUMES = (_of(96, 2, FAULTS), _of(128, 1, ()), _of(160, 1, ()))
"""In batches of one, with two samples: they are large."""
