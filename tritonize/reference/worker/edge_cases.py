"""Edge cases and other odd samples in PyTorch: what the model answers to them, or why it does not; runs inside a worker."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.core.errors import ExportError
from tritonize.core.messages import reference as reference_wording
from tritonize.core.messages import samples as wording
from tritonize.process.stopwatch import Stopwatch
from tritonize.quality.differences import measure, numeric
from tritonize.reference.tasks import ReferenceRequest
from tritonize.source.worker.torch_model import LoadedModel
from tritonize.spec import schema


class EdgeCaseOutputs(NamedTuple):
    """The outputs with those of the edge cases behind them; by name, the cases that the model has no answer to, with the reason."""

    outputs: TensorFiles
    unusable: dict[str, str]


def answers(model: LoadedModel, request: ReferenceRequest, outputs: TensorFiles, *, watch: Stopwatch) -> EdgeCaseOutputs:
    """The outputs with those of the edge cases behind them, and the cases that are none of this model, with the reason.

    A server puts requests of several clients into one batch, so an edge case is also asked in a batch with the first sample.
    """
    unusable = {}
    for index, name in request.samples.edges.items():
        try:
            with watch.library():
                found = model.run(arrays.load(request.samples.files, index))
            if [*found] != [tensor.name for tensor in outputs.tensors]:
                unusable[name] = f"the model has other outputs there: {', '.join(found)}"
                continue
        except ExportError as error:
            unusable[name] = f"the model raises: {error.found}"
            continue
        if bad := next((each for each, array in found.items() if not _finite(array)), None):
            unusable[name] = f"output {bad} is not finite"
            continue
        if request.batches and (why := _why_not_batchable(model, request, index, own=found, outputs=outputs, watch=watch)):
            unusable[name] = wording.NO_BATCH.text(why=why)
            continue
        save(outputs, outputs.count, found)
        outputs = replace(outputs, count=outputs.count + 1)
    return EdgeCaseOutputs(outputs, unusable)


def _why_not_batchable(
    model: LoadedModel, request: ReferenceRequest, index: int, *, own: Arrays, outputs: TensorFiles, watch: Stopwatch
) -> str:
    """Why a batch of the first sample and an edge case is not answered as the two are alone; empty where it is."""
    first = arrays.load(outputs, 0)
    if single := next((name for name, array in own.items() if not array.ndim), None):
        return f"output {single} has no axes, so no batch axis"
    if odd := next((name for name, array in own.items() if array.shape[1:] != first[name].shape[1:]), None):
        return f"output {odd} has shape {list(own[odd].shape)} there and {list(first[odd].shape)} otherwise"
    expected = {name: np.concatenate([first[name], array]) for name, array in own.items()}
    return _why_other(model, request, arrays.stack(request.samples.files, (0, index)), expected=expected, watch=watch)


def why_not_padded(model: LoadedModel, request: ReferenceRequest, outputs: TensorFiles, *, watch: Stopwatch) -> str:
    """Why the first sample, in a batch with zeros as clients pad, is not answered as alone; empty where it is."""
    if not request.batches:
        return ""
    first = arrays.load(request.samples.files, 0)
    batch = {name: np.concatenate([array, arrays.empty_like(array)]) for name, array in first.items()}
    return _why_other(model, request, batch, expected=arrays.load(outputs, 0), watch=watch)


def _why_other(model: LoadedModel, request: ReferenceRequest, batch: Arrays, *, expected: Arrays, watch: Stopwatch) -> str:
    """Why a batch of two does not begin with what is expected."""
    try:
        with watch.library():
            found = model.run(batch)
    except ExportError as error:
        return f"PyTorch raises: {error.found}"
    for name, array in found.items():
        wanted = expected[name]
        if array.shape != (2, *wanted.shape[1:]):
            return f"output {name} has shape {list(array.shape)} for the two"
        rtol, atol = request.tolerances.get(name, (schema.DEFAULT_RTOL, schema.DEFAULT_ATOL))
        if numeric(array) and (bad := measure(wanted, array[: len(wanted)], rtol, atol=atol).mismatched):
            return f"{bad} of {wanted.size} elements of output {name} are others than alone"
    return ""


class SeparateOutputs(NamedTuple):
    """Answers to samples that are run apart; by name, those without one, with the reason."""

    outputs: TensorFiles | None
    unanswered: dict[str, str]


def apart(model: LoadedModel, request: ReferenceRequest, outputs: TensorFiles, *, watch: Stopwatch) -> SeparateOutputs:
    """The answers to samples that are asked apart, and the names of those without one, with the reason."""
    if request.apart is None:
        return SeparateOutputs(None, {})
    files, unasked = TensorFiles(directory=request.directory / "apart", tensors=outputs.tensors, count=0), {}
    for index, name in request.apart.edges.items():
        try:
            with watch.library():
                found = model.run(arrays.load(request.apart.files, index))
            save(files, files.count, found)
        except ExportError as error:
            unasked[name] = error.found or error.what
            continue
        files = replace(files, count=files.count + 1)
    return SeparateOutputs(files, unasked)


def _finite(array: arrays.Array) -> bool:
    floating = array.dtype.kind == "f" or array.dtype == arrays.BFLOAT16
    return not floating or bool(np.isfinite(array.astype(np.float32) if array.dtype.itemsize < 4 else array).all())


def save(files: TensorFiles, position: int, found: Arrays) -> None:
    """Write one answer.

    Raises:
        ExportError: it has other outputs, or of another type, than those before.
    """
    names = [tensor.name for tensor in files.tensors]
    if list(found) != names:
        raise ExportError.of(reference_wording.OTHER_OUTPUTS, expected=", ".join(names), found=", ".join(found))
    try:
        arrays.save(files, position, found)
    except TypeError as error:
        raise ExportError.of(reference_wording.OTHER_OUTPUT_TYPE, found=str(error)) from error
