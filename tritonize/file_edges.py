"""Edge cases of a model that is an ONNX file already: which of them it answers, alone and in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tritonize import arrays, asking, dtypes, spec
from tritonize.arrays import Arrays
from tritonize.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.compare import compare
from tritonize.errors import UsageError
from tritonize.ort import OrtRun
from tritonize.wording import samples as wording


def require_types(model: spec.Model, inputs: Sequence[TensorSpec]) -> None:
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


def answerable(
    model: spec.Model, drawn: SampleSet, directory: Path, run: Callable[[SampleSet], OrtRun]
) -> tuple[SampleSet, tuple[str, ...], str]:
    """The samples without edge cases that the file fails on, answers with no numbers, or answers otherwise in a batch.

    Args:
        directory: for the questions.
        run: asks the file for the first sample, and for some samples apart.

    Returns:
        The samples, a sentence for each case that is left out, and why samples are not asked beside zeros; empty where they are.
    """
    first, batched = arrays.load(drawn.files, 0), model.max_batch_size > 1
    items = [arrays.load(drawn.files, index) for index in drawn.edges]
    padding = {name: arrays.empty_like(array) for name, array in first.items()}
    pairs = [{name: np.concatenate([first[name], array]) for name, array in item.items()} for item in (*items, padding)]
    asked = TensorFiles(directory=directory, tensors=drawn.files.tensors, count=0)
    for item in [*items, *(pairs if batched else ())]:
        arrays.save(asked, asked.count, item)
        asked = replace(asked, count=asked.count + 1)
    ran = run(replace(drawn, files=asked, edges={}))
    found = [answer if isinstance(answer, str) else arrays.load(answer, 0) for answer in ran.apart]
    unusable = {}
    for place, name in enumerate(drawn.edges.values()):
        own = found[place]
        if isinstance(own, str):
            unusable[name] = f"the file fails: {own}"
        elif bad := next((each for each, array in own.items() if array.dtype.kind == "f" and not np.isfinite(array).all()), None):
            unusable[name] = f"output {bad} is not finite"
        elif batched and (why := _why_not_batchable(model, ran.answer(0), own, found[len(items) + place])):
            unusable[name] = wording.NO_BATCH.text(why=why)
    unpadded = _why_not_batchable(model, ran.answer(0), None, found[-1]) if batched else ""
    kept, notes = asking.usable(drawn, unusable)
    return kept, (*notes, *((wording.NOT_PADDED.text(why=unpadded),) if unpadded else ())), unpadded


def _why_not_batchable(model: spec.Model, first: Arrays, own: Arrays | None, both: Arrays | str) -> str:
    """Why a batch of the first sample and another is not answered as the two are alone, or the first is; empty where it is."""
    if isinstance(both, str):
        return f"the file fails: {both}"
    if single := next((name for name, array in first.items() if not array.ndim), None):
        return f"output {single} has no axes, so none of a batch"
    if own and (odd := next((name for name, array in own.items() if array.shape[1:] != first[name].shape[1:]), None)):
        return f"output {odd} has shape {list(own[odd].shape)} there and {list(first[odd].shape)} otherwise"
    expected = {name: np.concatenate([first[name], own[name]]) for name in own} if own else first
    head = both if own else {name: array[:1] for name, array in both.items()}
    checks = compare(expected, head, {name: asking.tolerance(model, name) for name in expected})
    return next((f"output {check.name}: {check.reason}" for check in checks if not check.passed), "")
