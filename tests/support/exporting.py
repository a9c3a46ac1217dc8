"""One rung of the ladder by itself: a request for it, and the session of what it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch

from tritonize.core.artifacts import TensorSpec
from tritonize.export.tasks import ExportRequest
from tritonize.export.worker import strategies
from tritonize.onnx_model.worker import ports
from tritonize.source.worker.torch_model import LoadedModel


def exported(
    model: LoadedModel,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[str],
    tensors: Sequence[torch.Tensor],
    strategy: str,
    path: Path = Path("m.onnx"),
) -> onnxruntime.InferenceSession:
    """What a strategy makes of a model; the first axis of every output is the batch."""
    given: dict[str, Any] = {
        "inputs": tuple(inputs),
        "outputs": tuple(TensorSpec(name=name, dtype="fp32", shape=("batch",)) for name in outputs),
        "strategy": strategy,
        "opset": 18,
        "path": path,
    }
    asked = ExportRequest(**{**{each.name: None for each in fields(ExportRequest)}, **given})
    with torch.no_grad():
        strategies.STRATEGIES[strategy](model, tuple(tensors), asked)
    made = onnx.load(path)
    ports.name(made, asked.inputs, asked.outputs)
    onnx.save(made, path)
    return onnxruntime.InferenceSession(str(path))
