"""Run the PyTorch model on samples and keep what it answers; runs inside a worker."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec, from_json, to_json
from tritonize.core.errors import ExportError, UsageError
from tritonize.process.stopwatch import Stopwatch
from tritonize.reference.worker import determinism, edge_cases, python_state, recompute, untouched, weight_perturbation
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import module_state, script_facts
from tritonize.source.worker.torch_model import LoadedModel, load

_SMALL_BYTES = 8 << 20
"""Weights, and inputs and outputs of one sample, up to which float64 needs no process of its own."""


@dataclass(frozen=True, kw_only=True)
class ReferenceRequest:
    """What to run."""

    model: LoadRequest
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...]
    """Batches of two samples and more that PyTorch runs too, to see whether the model may be batched at all."""
    directory: Path
    float64: bool = False
    """Whether float64 is wanted too, where the model is so small that it needs no bounds and no process of its own."""
    apart: SampleSet | None = None
    """Further samples with names, each asked alone, whose answers may be anything."""
    tolerances: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """rtol and atol by output, where they are not the default."""


@dataclass(frozen=True, kw_only=True)
class ReferenceAnswer:
    """What was run."""

    outputs: TensorFiles
    """One item per sample."""
    batched: TensorFiles
    """One item per batch asked for."""
    parameters: int
    renamed: Mapping[str, str]
    """Outputs that are called otherwise than the model calls them, since an input has the name."""
    state: str
    """Checksum of its parameters and buffers."""
    code: Mapping[str, str]
    """SHA-256 of the file that defines a factory, by its name."""
    library_seconds: float
    unusable: Mapping[str, str]
    """Edge case to why it is no sample of this model: PyTorch raises, answers nothing finite, or cannot batch it with another."""
    apart: TensorFiles | None
    """The answers to the samples asked apart that it answers, in order."""
    unasked: Mapping[str, str]
    """The others, with the reason."""
    unpadded: str
    """Why a sample beside zeros is not answered as alone; empty where it is."""
    exact: TensorFiles | None
    """The answers in float64, where they were asked for and the model is small."""
    why_not: str
    """Why there are none, where they were tried."""
    without: Mapping[str, str]
    """The outputs that the model does not answer in float64, with the reason."""
    variants: tuple[untouched.Variant, ...]
    """What the model answers in another state, such as that in which it was loaded."""
    changed: tuple[str, ...]
    """Attributes of Python's that were others after the answers than before, with what they held."""
    traced: bool
    """Whether it is a traced file, which has no branches of Python's left."""
    moved: tuple[Mapping[str, float], ...]
    """By sample, output to max |difference| of answers with weights rounded otherwise; empty where that was not asked."""


def compute(request: dict[str, Any]) -> dict[str, Any]:
    """The task: `ReferenceRequest` in, `ReferenceAnswer` out, as plain data."""
    asked = from_json(ReferenceRequest, request)
    watch = Stopwatch()
    with watch.library():
        model = load(asked.model)
    determinism.require_mode(model, asked.model.training)
    before, kept = determinism.fingerprint(model.module), python_state.state(model.module)
    singles = [(index,) for index in range(asked.samples.drawn)]
    outputs = _run(model, asked.samples, singles, directory=asked.directory / "expected", watch=watch)
    outputs, unusable = edge_cases.answers(model, asked, outputs, watch=watch)
    apart, unasked = edge_cases.apart(model, asked, outputs, watch=watch)
    unpadded = edge_cases.why_not_padded(model, asked, outputs, watch=watch)
    batched = _run(model, asked.samples, asked.batches, directory=asked.directory / "batched", watch=watch, like=outputs)
    with watch.library():
        changed = python_state.changes(kept, python_state.state(model.module))
        determinism.require_repeatable(model, arrays.load(asked.samples.files, 0), arrays.load(outputs, 0), changed=changed)
    renamed = model.renamed(arrays.load(asked.samples.files, 0), [tensor.name for tensor in outputs.tensors])
    determinism.require_unchanged(before, model.module)
    if asked.model.training != "keep":
        determinism.require_evaluation_mode(model)
    parameters = sum(tensor.numel() for tensor in model.module.parameters())
    small = asked.float64 and _size(model, asked.samples, outputs) <= _SMALL_BYTES
    usable = [(index,) for index in range(asked.samples.files.count) if asked.samples.edges.get(index) not in unusable]
    moved: tuple[dict[str, float], ...] = ()
    if small:
        with watch.library():
            moved = weight_perturbation.moved(
                model.module, lambda place: model.answer(arrays.stack(asked.samples.files, usable[place])), outputs
            )
    variants = _variants(asked, model, usable, outputs=outputs)
    exact, without, why_not = _float64(model, asked, usable, outputs=outputs, watch=watch) if small else (None, {}, "")
    return to_json(  # type: ignore[no-any-return]
        ReferenceAnswer(
            outputs=outputs,
            batched=batched,
            parameters=parameters,
            renamed=renamed,
            state=determinism.checksum(before),
            code=_code(asked.model),
            library_seconds=watch.seconds,
            unusable=unusable,
            apart=apart,
            unasked=unasked,
            unpadded=unpadded,
            exact=exact,
            why_not=why_not,
            without=without,
            variants=(*variants, *_as_loaded(asked, model, usable, outputs=outputs)),
            changed=changed,
            traced=script_facts.is_traced(model.module),
            moved=moved,
        )
    )


def _variants(
    asked: ReferenceRequest, model: LoadedModel, usable: Sequence[tuple[int, ...]], *, outputs: TensorFiles
) -> tuple[untouched.Variant, ...]:
    """What the same model answers with its attention on the other path, or in evaluation mode where the reference is not."""

    def ask(place: int) -> Arrays:
        return model.answer(arrays.stack(asked.samples.files, usable[place]))

    variants = []
    if model.found.fast_path:
        variants.append(untouched.attention(ask, outputs, asked.directory, fast=not asked.model.fast_path))
    if model.found.training and asked.model.training == "keep":
        variants.append(untouched.modal(model, ask, outputs, directory=asked.directory))
    return tuple(variants)


def _as_loaded(
    asked: ReferenceRequest, model: LoadedModel, usable: Sequence[tuple[int, ...]], *, outputs: TensorFiles
) -> tuple[untouched.Variant, ...]:
    """What the model answers as it was loaded; last of all, so that it is not in memory twice for longer than that takes."""
    found = model.found
    if not found.compiled and not (found.training and asked.model.training == "eval"):
        return ()
    return untouched.reloaded(
        asked.model, found, lambda place: arrays.stack(asked.samples.files, usable[place]), own=outputs, directory=asked.directory
    )


def _size(model: LoadedModel, samples: SampleSet, outputs: TensorFiles) -> int:
    """Bytes of the weights, and of the inputs and outputs of one sample."""
    return module_state.nbytes(model.module) + sum(
        array.nbytes for files in (samples.files, outputs) for array in arrays.load(files, 0).values()
    )


def _float64(
    model: LoadedModel, asked: ReferenceRequest, usable: Sequence[tuple[int, ...]], *, outputs: TensorFiles, watch: Stopwatch
) -> tuple[TensorFiles | None, dict[str, str], str]:
    """The same answers in float64, outputs without it, and why there is none at all; last of all, since the model stays so."""
    try:
        return *recompute.answers(
            model, asked.samples, usable, expected=outputs, dtype="fp64", directory=asked.directory, watch=watch
        ), ""
    except (ExportError, UsageError) as error:
        return None, {}, f"{error.what} {error.found}" if error.found else error.what


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
    *,
    directory: Path,
    watch: Stopwatch,
    like: TensorFiles | None = None,
) -> TensorFiles:
    files = TensorFiles(directory=directory, tensors=like.tensors if like else (), count=len(batches))
    for position, indices in enumerate(batches):
        batch = arrays.stack(samples.files, indices)
        with watch.library():
            found = _answer(model, batch, len(indices))
        if not files.tensors:
            files = replace(files, tensors=tuple(_spec(name, array) for name, array in found.items()))
        edge_cases.save(files, position, found)
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


def versions() -> dict[str, str]:
    """Of the libraries used here."""
    return {"torch": torch.__version__}
