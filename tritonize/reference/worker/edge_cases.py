"""Run the model on edge cases and on samples with NaN and infinities, and find those that it does not support. In a worker."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tritonize.core import arrays, progress
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.core.errors import ExportError
from tritonize.core.messages import reference as reference_wording
from tritonize.core.messages import samples as wording
from tritonize.process.stopwatch import Stopwatch
from tritonize.quality.differences import measure, numeric
from tritonize.reference.tasks import ReferenceRequest
from tritonize.source.worker.torch_model import LoadedModel


class EdgeCaseOutputs(NamedTuple):
    """The outputs of samples and edge cases, and the edge cases that the model does not support."""

    outputs: TensorFiles
    """The outputs of the samples, followed by those of the edge cases."""
    unusable: dict[str, str]
    """Name of an edge case to the reason why the model does not support it."""


def run(model: LoadedModel, request: ReferenceRequest, outputs: TensorFiles, *, watch: Stopwatch) -> EdgeCaseOutputs:
    """Run the model on every edge case, and append the outputs to those of the samples.

    A server puts requests of several clients into one batch, so an edge case also runs in a batch with the first sample.
    """
    unusable = {}
    for index, name in progress.counted(list(request.samples.edges.items()), "edge case"):
        try:
            with watch.library():
                found = model.run(arrays.load(request.samples.files, index))
            if [*found] != [tensor.name for tensor in outputs.tensors]:
                unusable[name] = f"the model has other outputs for it: {', '.join(found)}"
                continue
        except ExportError as error:
            unusable[name] = f"the model raises: {error.found}"
            continue
        if bad := next((output for output, array in found.items() if not _is_finite(array)), None):
            unusable[name] = f"output {bad} is not finite"
            continue
        if request.batches and (why := _why_not_batchable(model, request, index, alone=found, outputs=outputs, watch=watch)):
            unusable[name] = wording.NO_BATCH.text(why=why)
            continue
        save(outputs, outputs.count, found)
        outputs = replace(outputs, count=outputs.count + 1)
    return EdgeCaseOutputs(outputs, unusable)


def _why_not_batchable(
    model: LoadedModel, request: ReferenceRequest, index: int, *, alone: Arrays, outputs: TensorFiles, watch: Stopwatch
) -> str:
    """Return how the outputs for a batch of the first sample and an edge case differ from those alone; empty if they do not."""
    first = arrays.load(outputs, 0)
    if single := next((name for name, array in alone.items() if not array.ndim), None):
        return f"output {single} has no axes, so no batch axis"
    if odd := next((name for name, array in alone.items() if array.shape[1:] != first[name].shape[1:]), None):
        return f"output {odd} has shape {list(alone[odd].shape)} for it and {list(first[odd].shape)} otherwise"
    expected = {name: np.concatenate([first[name], array]) for name, array in alone.items()}
    return _why_different(model, request, arrays.stack(request.samples.files, (0, index)), expected=expected, watch=watch)


def why_not_padded(model: LoadedModel, request: ReferenceRequest, outputs: TensorFiles, *, watch: Stopwatch) -> str:
    """Return how the output for the first sample changes in a batch with zeros, as clients pad; empty if it does not."""
    if not request.batches:
        return ""
    first = arrays.load(request.samples.files, 0)
    batch = {name: np.concatenate([array, arrays.empty_like(array)]) for name, array in first.items()}
    return _why_different(model, request, batch, expected=arrays.load(outputs, 0), watch=watch)


def _why_different(model: LoadedModel, request: ReferenceRequest, batch: Arrays, *, expected: Arrays, watch: Stopwatch) -> str:
    """Run a batch of two and return how its outputs differ from the expected ones, of one or both samples; empty if they do not."""
    try:
        with watch.library():
            found = model.run(batch)
    except ExportError as error:
        return f"PyTorch raises: {error.found}"
    for name, array in found.items():
        reference = expected[name]
        if array.shape != (2, *reference.shape[1:]):
            return f"output {name} has shape {list(array.shape)} for the two"
        rtol, atol = request.tolerances.get(name, request.tolerance)
        if numeric(array) and (bad := measure(reference, array[: len(reference)], rtol, atol=atol).mismatched):
            return f"{bad} of {reference.size} elements of output {name} differ from those for the sample alone"
    return ""


class SeparateOutputs(NamedTuple):
    """The outputs for the samples of `ReferenceRequest.apart`."""

    outputs: TensorFiles | None
    """`None` if the request has no such samples."""
    failed: dict[str, str]
    """Name of a sample to the error of the model."""


def run_apart(model: LoadedModel, request: ReferenceRequest, outputs: TensorFiles, *, watch: Stopwatch) -> SeparateOutputs:
    """Run the model on each sample of `ReferenceRequest.apart`."""
    if request.apart is None:
        return SeparateOutputs(None, {})
    files, failed = TensorFiles(directory=request.directory / "apart", tensors=outputs.tensors, count=0), {}
    for index, name in request.apart.edges.items():
        try:
            with watch.library():
                found = model.run(arrays.load(request.apart.files, index))
            save(files, files.count, found)
        except ExportError as error:
            failed[name] = error.found or error.what
            continue
        files = replace(files, count=files.count + 1)
    return SeparateOutputs(files, failed)


def _is_finite(array: arrays.Array) -> bool:
    floating = array.dtype.kind == "f" or array.dtype == arrays.BFLOAT16
    return not floating or bool(np.isfinite(array.astype(np.float32) if array.dtype.itemsize < 4 else array).all())


def save(files: TensorFiles, position: int, found: Arrays) -> None:
    """Write the outputs of one run.

    Raises:
        ExportError: they have other names or types than those of the runs before.
    """
    names = [tensor.name for tensor in files.tensors]
    if list(found) != names:
        raise ExportError.of(reference_wording.OTHER_OUTPUTS, expected=", ".join(names), found=", ".join(found))
    try:
        arrays.save(files, position, found)
    except TypeError as error:
        raise ExportError.of(reference_wording.OTHER_OUTPUT_TYPE, found=str(error)) from error
