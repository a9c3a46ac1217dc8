"""Find the edge cases that a model supports that is already an ONNX file, alone and in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as wording
from tritonize.core.results import LeftOut
from tritonize.onnx_model import runtime
from tritonize.quality.comparison import compare
from tritonize.reference.baseline import edge_cases, padded_batches
from tritonize.spec import schema


def require_types(model: schema.Model, inputs: Sequence[TensorSpec]) -> None:
    """Check that the spec's inputs have the element types of the file's inputs.

    Raises:
        UsageError: the types of an input differ; the error names both.
    """
    for tensor in inputs:
        described = model.inputs.get(tensor.name)
        if described and described.dtype != tensor.dtype and tensor.dtype in {dtype.name for dtype in dtypes.TABLE}:
            raise UsageError.of(
                wording.INPUT_TYPE, where=Path(model.source).name, expected=tensor.dtype, found=described.dtype, name=tensor.name
            )


@dataclass(frozen=True, kw_only=True)
class UsableSamples:
    """The samples that a file supports."""

    samples: SampleSet
    """The samples without edge cases on which the file fails, returns NaN or infinity, or returns something else in a batch."""
    left_out: tuple[LeftOut, ...]
    unpadded: str
    """Why no sample is sent in a batch with zeros; empty if samples are."""


def usable_samples(model: schema.Model, drawn: SampleSet, work: Path) -> UsableSamples:
    """Run the file on every edge case, alone and in a batch with the first sample."""
    first, batched = arrays.load(drawn.files, 0), model.largest_request > 1
    items = [arrays.load(drawn.files, index) for index in drawn.edges]
    padding = {name: arrays.empty_like(array) for name, array in first.items()}
    pairs = [{name: np.concatenate([first[name], array]) for name, array in item.items()} for item in (*items, padding)]
    absent = {place: drawn.files.absent[index] for place, index in enumerate(drawn.edges) if index in drawn.files.absent}
    inputs = TensorFiles(directory=work / "edges", tensors=drawn.files.tensors, count=0, absent=absent)
    for item in [*items, *(pairs if batched else ())]:
        arrays.save(inputs, inputs.count, item)
        inputs = replace(inputs, count=inputs.count + 1)
    apart = replace(drawn, files=inputs, edges={}, sequences=None)
    ran = runtime.run_within(model, Path(model.source), drawn, batches=[(0,)], directory=work / "edge_outputs", apart=apart)
    results = [result if isinstance(result, str) else arrays.load(result, 0) for result in ran.apart]
    unusable = {}
    for place, name in enumerate(drawn.edges.values()):
        alone = results[place]
        if isinstance(alone, str):
            unusable[name] = f"the file fails: {alone}"
        elif bad := next((output for output, array in alone.items() if not _is_finite(array)), None):
            unusable[name] = f"output {bad} is not finite"
        elif batched and (why := _why_not_batchable(model, ran.batch_outputs(0), alone, both=results[len(items) + place])):
            unusable[name] = wording.NO_BATCH.text(why=why)
    unpadded = _why_not_batchable(model, ran.batch_outputs(0), None, both=results[-1]) if batched else ""
    return UsableSamples(
        samples=arrays.without_edges(drawn, unusable),
        left_out=(*edge_cases(unusable), *padded_batches(unpadded)),
        unpadded=unpadded,
    )


def _is_finite(array: arrays.Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _why_not_batchable(model: schema.Model, first: Arrays, alone: Arrays | None, *, both: Arrays | str) -> str:
    """Compare the outputs for a batch of two samples with the outputs for each of them alone.

    Args:
        first: outputs for the first sample.
        alone: outputs for the second sample; `None` if only the first one is compared.
        both: outputs for the batch, or the error.

    Returns:
        How they differ; empty if they do not.
    """
    if isinstance(both, str):
        return f"the file fails: {both}"
    if single := next((name for name, array in first.items() if not array.ndim), None):
        return f"output {single} has no axes, so no batch axis"
    if alone and (odd := next((name for name, array in alone.items() if array.shape[1:] != first[name].shape[1:]), None)):
        return f"output {odd} has shape {list(alone[odd].shape)} for it and {list(first[odd].shape)} otherwise"
    expected = {name: np.concatenate([first[name], alone[name]]) for name in alone} if alone else first
    head = both if alone else {name: array[:1] for name, array in both.items()}
    checks = compare(expected, head, {name: model.tolerance_of(name) for name in expected})
    return next((f"output {check.name}: {check.reason}" for check in checks if not check.passed), "")
