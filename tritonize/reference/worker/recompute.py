"""PyTorch again, in another precision: float64 as the exact answer, half precision as what that precision itself costs.

Runs inside a worker. Weights are the float32 ones, widened or rounded; floating inputs likewise.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any  # Any: torch.library is untyped

import torch

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import ExportError
from tritonize.core.messages import quality as wording
from tritonize.process import progress
from tritonize.process.stopwatch import Stopwatch
from tritonize.reference.tasks import Precision, Recomputed, RecomputeRequest
from tritonize.source.worker import widening
from tritonize.source.worker.torch_model import LoadedModel, load

_TORCH = {"fp64": torch.float64, "fp16": torch.float16, "bf16": torch.bfloat16}
_COLUMNS_BYTES = 256 << 20
"""What a convolution in space may unfold at a time: PyTorch's own kernel for float64 unfolds all of it, 27 times the input."""


def recompute(request: RecomputeRequest) -> Recomputed:
    """The task.

    Raises:
        ExportError: the model cannot run in that precision, or keeps to another one inside.
    """
    watch = Stopwatch()
    with watch.library():
        model = load(request.model)
    batches = [(index,) for index in range(request.samples.files.count)]
    found = answers(
        model, request.samples, batches, expected=request.expected, dtype=request.dtype, directory=request.directory, watch=watch
    )
    return replace(found, library_seconds=watch.seconds)


def answers(
    model: LoadedModel,
    samples: SampleSet,
    batches: Sequence[tuple[int, ...]],
    *,
    expected: TensorFiles,
    dtype: Precision,
    directory: Path,
    watch: Stopwatch,
) -> Recomputed:
    """One item per batch, computed in a precision, which the model keeps from then on.

    Raises:
        ExportError: the model cannot run in that precision, or keeps to another one inside for every floating output.
    """
    with watch.library():
        widening.to_precision(model.module, _TORCH[dtype])
    tensors = tuple(replace(each, dtype=dtype) if _floating(each.dtype) else each for each in expected.tensors)
    files = TensorFiles(directory=directory / dtype, tensors=tensors, count=0)
    without: dict[str, str] = {}
    with slabs():
        for position, indices in enumerate(batches):
            progress.report(f"PyTorch in {dtype}, sample {position + 1} of {len(batches)}")
            batch = _cast(arrays.stack(samples.files, indices), dtype)
            with watch.library():
                found = model.run(batch)
            if lost := lacking(files, found, dtype):
                without |= lost
                files = arrays.select(files, [each.name for each in files.tensors if each.name not in lost])
                _require_some(files, without, dtype)
            arrays.save(files, position, found)
            files = replace(files, count=position + 1)
    return Recomputed(outputs=files, without=without)


def _floating(dtype: str) -> bool:
    return dtypes.by_name(dtype).floating


def _cast(batch: Arrays, dtype: str) -> Arrays:
    wanted = arrays.numpy_dtype(dtype)
    return {name: array.astype(wanted) if _floating(arrays.dtype_name(array)) else array for name, array in batch.items()}


def lacking(files: TensorFiles, found: Arrays, dtype: str) -> dict[str, str]:
    """The outputs that are not answered in the type they should have, with the reason."""
    lost = {}
    for tensor in files.tensors:
        array = found.get(tensor.name)
        if array is None:
            lost[tensor.name] = wording.NO_SUCH_OUTPUT.text(dtype=dtype)
        elif arrays.dtype_name(array) != tensor.dtype:
            lost[tensor.name] = wording.OTHER_TYPE.text(dtype=dtype, found=arrays.dtype_name(array))
    return lost


def _require_some(files: TensorFiles, without: Mapping[str, str], dtype: str) -> None:
    if not any(_floating(tensor.dtype) for tensor in files.tensors):
        name, why = next(iter(without.items()))
        raise ExportError.of(wording.NOT_THROUGHOUT, where=f"output {name}", expected=dtype, found=why, dtype=dtype)


@contextmanager
def slabs() -> Iterator[None]:
    """PyTorch's convolution in space for types without a fast kernel, piece by piece along the depth, within bounded memory.

    Replaced in the dispatcher, so that TorchScript comes by here too.
    """
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it replaces a kernel is the point
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
    """`aten::slow_conv3d_forward`: N x C x D x H x W, no dilation, groups by the weight's second axis."""
    x = torch.nn.functional.pad(x, [each for size in reversed(padding) for each in (size, size)]).contiguous()
    items, channels = x.shape[:2]
    groups = channels // weight.shape[1]
    flat = weight.reshape(groups, weight.shape[0] // groups, -1)
    depth, height, width = ((x.shape[2 + axis] - kernel_size[axis]) // stride[axis] + 1 for axis in range(3))
    answer = x.new_empty((items, weight.shape[0], depth, height, width))
    step = max(1, _COLUMNS_BYTES // max(1, channels * weight[0, 0].numel() * height * width * x.element_size()))
    item, *steps = x.stride()
    for index in range(items):
        for start in range(0, depth, step):
            planes = min(step, depth - start)
            columns = torch.as_strided(
                x,
                (channels, *kernel_size, planes, height, width),
                (*steps, *(each * by for each, by in zip(steps[1:], stride, strict=True))),
                index * item + start * stride[0] * steps[1],
            )
            piece = (flat @ columns.reshape(groups, flat.shape[2], -1)).reshape(weight.shape[0], -1)
            piece = piece if bias is None else piece + bias[:, None]
            answer[index, :, start : start + planes] = piece.view(weight.shape[0], planes, height, width)
    return answer
