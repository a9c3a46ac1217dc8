"""Run the PyTorch model on samples and keep what it answers; runs inside a worker."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tritonize import arrays, dtypes
from tritonize.arrays import Arrays
from tritonize.artifacts import SampleSet, TensorFiles, TensorSpec, from_json, to_json
from tritonize.errors import ExportError, UsageError
from tritonize.workers import conduct
from tritonize.workers.stopwatch import Stopwatch
from tritonize.workers.torch_model import LoadedModel, load
from tritonize.workers.torch_source import LoadRequest


@dataclass(frozen=True, kw_only=True)
class ReferenceRequest:
    """What to run."""

    model: LoadRequest
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...]
    """Batches of two samples and more that PyTorch runs too, to see whether the model may be batched at all."""
    directory: Path


@dataclass(frozen=True, kw_only=True)
class ReferenceAnswer:
    """What was run."""

    outputs: TensorFiles
    """One item per sample."""
    batched: TensorFiles
    """One item per batch asked for."""
    parameters: int
    state: str
    """Checksum of its parameters and buffers."""
    code: Mapping[str, str]
    """SHA-256 of the file that defines a factory, by its name."""
    library_seconds: float


def compute(request: dict[str, Any]) -> dict[str, Any]:
    """The task: `ReferenceRequest` in, `ReferenceAnswer` out, as plain data."""
    asked = from_json(ReferenceRequest, request)
    watch = Stopwatch()
    with watch.library():
        model = load(asked.model)
    conduct.require_evaluation_mode(model)
    before = conduct.fingerprint(model.module)
    singles = [(index,) for index in range(asked.samples.files.count)]
    outputs = _run(model, asked.samples, singles, asked.directory / "expected", watch)
    batched = _run(model, asked.samples, asked.batches, asked.directory / "batched", watch, like=outputs)
    with watch.library():
        conduct.require_repeatable(model, arrays.load(asked.samples.files, 0), arrays.load(outputs, 0))
    conduct.require_unchanged(before, model.module)
    conduct.require_evaluation_mode(model)
    return to_json(  # type: ignore[no-any-return]
        ReferenceAnswer(
            outputs=outputs,
            batched=batched,
            parameters=sum(tensor.numel() for tensor in model.module.parameters()),
            state=conduct.checksum(before),
            code=_code(asked.model),
            library_seconds=watch.seconds,
        )
    )


def _code(request: LoadRequest) -> dict[str, str]:
    module = sys.modules.get(request.location.partition(":")[0])
    path = Path(getattr(module, "__file__", None) or "")
    if request.kind != "factory" or not path.is_file():
        return {}
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}


def _run(
    model: LoadedModel,
    samples: SampleSet,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    watch: Stopwatch,
    *,
    like: TensorFiles | None = None,
) -> TensorFiles:
    files = TensorFiles(directory=directory, tensors=like.tensors if like else (), count=len(batches))
    for position, indices in enumerate(batches):
        batch = arrays.stack(samples.files, indices)
        with watch.library():
            found = _answer(model, batch, len(indices))
        if not files.tensors:
            files = replace(files, tensors=tuple(_spec(name, array) for name, array in found.items()))
        _save(files, position, found)
    return files


def _answer(model: LoadedModel, batch: Arrays, size: int) -> Arrays:
    try:
        return model.answer(batch)
    except ExportError as error:
        if size == 1:
            raise
        raise UsageError(
            f"The model is not batchable: PyTorch runs it on one sample and fails on {size}.",
            where=error.where,
            found=error.found,
            next_step="set max_batch_size to 0 (--no-batch on the command line), or mend the model",
        ) from error


def _spec(name: str, array: arrays.Array) -> TensorSpec:
    dtype = arrays.dtype_name(array)
    if dtype not in {each.name for each in dtypes.TABLE}:
        raise ExportError(f"Output {name!r} has a type that Triton cannot serve.", found=dtype, expected="a real or integer type")
    return arrays.spec_of(name, array)


def _save(files: TensorFiles, position: int, found: Arrays) -> None:
    names = [tensor.name for tensor in files.tensors]
    if list(found) != names:
        raise ExportError("The model's outputs differ from sample to sample.", expected=", ".join(names), found=", ".join(found))
    try:
        arrays.save(files, position, found)
    except TypeError as error:
        raise ExportError("An output's type differs from sample to sample.", found=str(error)) from error


def versions() -> dict[str, str]:
    """Of the libraries used here."""
    return {"torch": torch.__version__}
