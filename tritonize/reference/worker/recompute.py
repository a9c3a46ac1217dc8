"""Run PyTorch in another precision: float64 for exact outputs, half precision for the error of that precision.

Runs in a worker. The float32 weights and the floating-point inputs are widened or rounded to the precision.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any  # Any: torch.library is untyped

import torch

from tritonize.core import arrays, dtypes, progress, sequence_states
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import ExportError
from tritonize.core.messages import quality as wording
from tritonize.process.stopwatch import Stopwatch
from tritonize.reference.tasks import Precision, Recomputed, RecomputeRequest
from tritonize.source.worker import widening
from tritonize.source.worker.torch_model import LoadedModel, load

_TORCH = {"fp64": torch.float64, "fp16": torch.float16, "bf16": torch.bfloat16}
_COLUMNS_BYTES = 256 << 20
"""Bytes that a 3D convolution unfolds at a time. PyTorch's float64 kernel unfolds the whole input: 27 times its size for 3x3x3."""


def recompute(request: RecomputeRequest) -> Recomputed:
    """Load a model and run it in the requested precision.

    Raises:
        ExportError: the model cannot run in that precision, or computes in another one regardless.
    """
    watch = Stopwatch()
    with watch.library():
        model = load(request.model)
    batches = [(index,) for index in range(request.samples.files.count)]
    recomputed = run(
        model, request.samples, batches, expected=request.expected, dtype=request.dtype, directory=request.directory, watch=watch
    )
    return replace(recomputed, library_seconds=watch.seconds)


def run(
    model: LoadedModel,
    samples: SampleSet,
    batches: Sequence[tuple[int, ...]],
    *,
    expected: TensorFiles,
    dtype: Precision,
    directory: Path,
    watch: Stopwatch,
) -> Recomputed:
    """Convert the model to a precision, in which it stays, and run it on batches; the result has one item per batch.

    Args:
        expected: the outputs in the model's own precision, for their names and types.

    Raises:
        ExportError: the model cannot run in that precision, or returns every floating-point output in another one.
    """
    with watch.library():
        widening.to_precision(model.module, _TORCH[dtype])
    tensors = tuple(replace(tensor, dtype=dtype) if _floating(tensor.dtype) else tensor for tensor in expected.tensors)
    files = TensorFiles(directory=directory / dtype, tensors=tensors, count=0)
    without: dict[str, str] = {}
    carrier = sequence_states.Carrier(samples.sequences)  # the state in this precision, not the one in the samples
    with convolution_in_slabs():
        for position, indices in enumerate(progress.counted(batches, "sample", text=dtype)):
            batch = _cast(carrier.into(indices[0], arrays.stack(samples.files, indices)), dtype)
            with watch.library():
                outputs = model.run(batch)
            carrier.take(outputs)
            if missing := missing_outputs(files, outputs, dtype):
                without |= missing
                files = arrays.select(files, [tensor.name for tensor in files.tensors if tensor.name not in missing])
                _require_floating(files, without, dtype)
            arrays.save(files, position, outputs)
            files = replace(files, count=position + 1)
    return Recomputed(outputs=files, without=without)


def _floating(dtype: str) -> bool:
    return dtypes.by_name(dtype).floating


def _cast(batch: Arrays, dtype: str) -> Arrays:
    """Return the batch with its floating-point arrays in a precision."""
    target = arrays.numpy_dtype(dtype)
    return {name: array.astype(target) if _floating(arrays.dtype_name(array)) else array for name, array in batch.items()}


def missing_outputs(files: TensorFiles, outputs: Arrays, dtype: str) -> dict[str, str]:
    """Return the outputs that are missing or have another type than `files`, with the reason."""
    missing = {}
    for tensor in files.tensors:
        array = outputs.get(tensor.name)
        if array is None:
            missing[tensor.name] = wording.NO_SUCH_OUTPUT.text(dtype=dtype)
        elif arrays.dtype_name(array) != tensor.dtype:
            missing[tensor.name] = wording.OTHER_TYPE.text(dtype=dtype, found=arrays.dtype_name(array))
    return missing


def _require_floating(files: TensorFiles, without: Mapping[str, str], dtype: str) -> None:
    """Check that a floating-point output is left. Raises ExportError."""
    if not any(_floating(tensor.dtype) for tensor in files.tensors):
        name, why = next(iter(without.items()))
        raise ExportError.of(wording.NOT_THROUGHOUT, where=f"output {name}", expected=dtype, found=why, dtype=dtype)


@contextmanager
def convolution_in_slabs() -> Iterator[None]:
    """Replace PyTorch's 3D convolution for types without a fast kernel by one that works in slabs along the depth.

    Its memory is bounded. It is replaced in the dispatcher, so that TorchScript uses it too.
    """
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch warns that this replaces a kernel
        library.impl("slow_conv3d_forward", _convolution, "CPU")
    try:
        yield
    finally:
        library._destroy()


def _convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    kernel_size: list[int],
    bias: torch.Tensor | None,
    stride: list[int],
    padding: list[int],
) -> torch.Tensor:
    """Compute `aten::slow_conv3d_forward`: N x C x D x H x W, no dilation; the weight's second axis gives the number of groups."""
    x = torch.nn.functional.pad(x, [side for size in reversed(padding) for side in (size, size)]).contiguous()
    items, channels = x.shape[:2]
    groups = channels // weight.shape[1]
    flat = weight.reshape(groups, weight.shape[0] // groups, -1)
    depth, height, width = ((x.shape[2 + axis] - kernel_size[axis]) // stride[axis] + 1 for axis in range(3))
    output = x.new_empty((items, weight.shape[0], depth, height, width))
    step = max(1, _COLUMNS_BYTES // max(1, channels * weight[0, 0].numel() * height * width * x.element_size()))
    item, *steps = x.stride()
    for index in range(items):
        for start in range(0, depth, step):
            planes = min(step, depth - start)
            columns = torch.as_strided(
                x,
                (channels, *kernel_size, planes, height, width),
                (*steps, *(step_size * by for step_size, by in zip(steps[1:], stride, strict=True))),
                index * item + start * stride[0] * steps[1],
            )
            slab = (flat @ columns.reshape(groups, flat.shape[2], -1)).reshape(weight.shape[0], -1)
            slab = slab if bias is None else slab + bias[:, None]
            output[index, :, start : start + planes] = slab.view(weight.shape[0], planes, height, width)
    return output
