"""Edge cases of a model that is an ONNX file already: which of them it answers, alone and in a batch."""

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
from tritonize.onnx_model import runtime
from tritonize.quality.comparison import compare
from tritonize.reference.baseline import dropped_notes
from tritonize.spec import schema


def require_types(model: schema.Model, inputs: Sequence[TensorSpec]) -> None:
    """Hold the spec's inputs against the file's.

    Raises:
        UsageError: one has another element type; it names both.
    """
    for tensor in inputs:
        described = model.inputs.get(tensor.name)
        if described and described.dtype != tensor.dtype and tensor.dtype in {each.name for each in dtypes.TABLE}:
            raise UsageError.of(
                wording.INPUT_TYPE, where=Path(model.source).name, expected=tensor.dtype, found=described.dtype, name=tensor.name
            )


@dataclass(frozen=True, kw_only=True)
class Answerable:
    """The samples that a file answers."""

    samples: SampleSet
    """Without edge cases that the file fails on, answers with no numbers, or answers otherwise in a batch."""
    notes: tuple[str, ...]
    """A sentence for each edge case that is left out."""
    unpadded: str
    """Why samples are not sent beside zeros; empty where they are."""


def answerable(model: schema.Model, drawn: SampleSet, work: Path) -> Answerable:
    """Run the file on every edge case, alone and in a batch with the first sample."""
    first, batched = arrays.load(drawn.files, 0), model.max_batch_size > 1
    items = [arrays.load(drawn.files, index) for index in drawn.edges]
    padding = {name: arrays.empty_like(array) for name, array in first.items()}
    pairs = [{name: np.concatenate([first[name], array]) for name, array in item.items()} for item in (*items, padding)]
    inputs = TensorFiles(directory=work / "edges", tensors=drawn.files.tensors, count=0)
    for item in [*items, *(pairs if batched else ())]:
        arrays.save(inputs, inputs.count, item)
        inputs = replace(inputs, count=inputs.count + 1)
    apart = replace(drawn, files=inputs, edges={})
    ran = runtime.run_within(model, Path(model.source), drawn, batches=[(0,)], directory=work / "edge_answers", apart=apart)
    found = [answer if isinstance(answer, str) else arrays.load(answer, 0) for answer in ran.apart]
    unusable = {}
    for place, name in enumerate(drawn.edges.values()):
        own = found[place]
        if isinstance(own, str):
            unusable[name] = f"the file fails: {own}"
        elif bad := next((each for each, array in own.items() if array.dtype.kind == "f" and not np.isfinite(array).all()), None):
            unusable[name] = f"output {bad} is not finite"
        elif batched and (why := _why_not_batchable(model, ran.batch_outputs(0), own, both=found[len(items) + place])):
            unusable[name] = wording.NO_BATCH.text(why=why)
    unpadded = _why_not_batchable(model, ran.batch_outputs(0), None, both=found[-1]) if batched else ""
    return Answerable(
        samples=arrays.without_edges(drawn, unusable),
        notes=(*dropped_notes(unusable), *((wording.NOT_PADDED.text(why=unpadded),) if unpadded else ())),
        unpadded=unpadded,
    )


def _why_not_batchable(model: schema.Model, first: Arrays, own: Arrays | None, *, both: Arrays | str) -> str:
    """Why a batch of the first sample and another is not answered as the two are alone, or the first is; empty where it is."""
    if isinstance(both, str):
        return f"the file fails: {both}"
    if single := next((name for name, array in first.items() if not array.ndim), None):
        return f"output {single} has no axes, so none of a batch"
    if own and (odd := next((name for name, array in own.items() if array.shape[1:] != first[name].shape[1:]), None)):
        return f"output {odd} has shape {list(own[odd].shape)} there and {list(first[odd].shape)} otherwise"
    expected = {name: np.concatenate([first[name], own[name]]) for name in own} if own else first
    head = both if own else {name: array[:1] for name, array in both.items()}
    checks = compare(expected, head, {name: model.tolerance_of(name) for name in expected})
    return next((f"output {check.name}: {check.reason}" for check in checks if not check.passed), "")
