"""The deployed side: the legacy exporter's ONNX file of a model, in ONNX Runtime."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
import onnxruntime
import torch
from torch import nn

from benchmarks.faults.models import Healthy
from benchmarks.faults.sources import in_real_numbers
from tritonize.core.arrays import Arrays
from tritonize.source import sample_sizes, samples

Answer = Callable[[Arrays], Arrays]


def export(healthy: Healthy, module: nn.Module) -> bytes:
    """The file of a model as it is, hooks and all. Nothing is folded here: ONNX Runtime does that."""
    model = healthy.spec(0)
    items = [samples.generate(model, 90_000 + offset, sample_sizes.axis_sizes(model, 0)) for offset in range(2)]
    example = tuple(torch.from_numpy(np.concatenate([item[name] for item in items])) for name in model.inputs)
    axes: dict[str, dict[int, str]] = {
        name: {place: size for place, size in enumerate(tensor.shape) if isinstance(size, str)}
        for name, tensor in model.inputs.items()
    }
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            in_real_numbers(module),
            example,
            buffer,
            dynamo=False,
            opset_version=18,
            input_names=list(model.inputs),
            output_names=list(model.outputs),
            dynamic_axes={**axes, **{name: {0: "batch"} for name in healthy.outputs}},
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    return buffer.getvalue()


def serve(file: bytes) -> Answer:
    """What ONNX Runtime answers from a file, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answer(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, {name: np.asarray(array) for name, array in inputs.items()}), strict=True))

    return answer
