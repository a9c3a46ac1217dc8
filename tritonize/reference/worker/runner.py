"""Run the PyTorch model on samples, write its outputs, and check the model. Runs in a worker."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tritonize.core import arrays, dtypes, progress
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import reference as wording
from tritonize.process.stopwatch import Stopwatch
from tritonize.reference.tasks import Observed, Recomputed, ReferenceRequest, ReferenceResult, Variant
from tritonize.reference.worker import determinism, edge_cases, python_state, recompute, sequences, variants, weight_perturbation
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import module_state, script_facts
from tritonize.source.worker.torch_model import LoadedModel, load

_SMALL_BYTES = 8 << 20
"""Largest size of the weights plus one sample's inputs and outputs for which float64 runs in the same process."""


def compute(request: ReferenceRequest) -> ReferenceResult:
    """Load a model, run it on all samples and batches of the request, and check that it is a pure function."""
    watch = Stopwatch()
    with watch.library():
        model = load(request.model)
    determinism.require_mode(model, request.model.training)
    before, state_before = determinism.fingerprint(model.module), python_state.state(model.module)
    request = sequences.rolled_out(model, request, watch=watch)
    singles = [(index,) for index in range(request.samples.drawn)]
    outputs = _run(model, request.samples, singles, directory=request.directory / "expected", watch=watch)
    outputs, unusable = edge_cases.run(model, request, outputs, watch=watch)
    apart, failed = edge_cases.run_apart(model, request, outputs, watch=watch)
    unpadded = edge_cases.why_not_padded(model, request, outputs, watch=watch)
    batched = _run(model, request.samples, request.batches, directory=request.directory / "batched", watch=watch, like=outputs)
    with watch.library():
        changed = python_state.changes(state_before, python_state.state(model.module))
        determinism.require_repeatable(model, arrays.load(request.samples.files, 0), arrays.load(outputs, 0), changed=changed)
    renamed = model.renamed_outputs(arrays.load(request.samples.files, 0), [tensor.name for tensor in outputs.tensors])
    determinism.require_unchanged(before, model.module)
    if request.model.training != "keep":
        determinism.require_evaluation_mode(model)
    parameters = sum(tensor.numel() for tensor in model.module.parameters())
    small = request.float64 and _size(model, request.samples, outputs) <= _SMALL_BYTES
    usable = [(index,) for index in range(request.samples.files.count) if request.samples.edges.get(index) not in unusable]
    moved: tuple[dict[str, float], ...] = ()
    if small:
        with watch.library():
            moved = weight_perturbation.measure(
                model.module, lambda place: model.run(arrays.stack(request.samples.files, usable[place])), outputs
            )
    other_states = _other_states(request, model, usable, outputs=outputs)
    exact = _float64(model, request, usable, outputs=outputs, watch=watch) if small else None
    observed = Observed(
        unusable=unusable,
        apart=apart,
        failed_apart=failed,
        unpadded=unpadded,
        exact=exact,
        variants=(*other_states, *_as_loaded(request, model, usable, outputs=outputs)),
        changed=changed,
        traced=script_facts.is_traced(model.module),
        moved=moved,
    )
    return ReferenceResult(
        outputs=outputs,
        batched=batched,
        samples=request.samples,
        parameters=parameters,
        renamed=renamed,
        state=determinism.checksum(before),
        code=_code(request.model),
        observed=observed,
        library_seconds=watch.seconds,
    )


def _other_states(
    request: ReferenceRequest, model: LoadedModel, usable: Sequence[tuple[int, ...]], *, outputs: TensorFiles
) -> tuple[Variant, ...]:
    """Run the model with attention's other path, and in evaluation mode if the reference is in training mode."""

    def run(place: int) -> Arrays:
        return model.run(arrays.stack(request.samples.files, usable[place]))

    found = []
    if model.as_loaded.fast_path:
        found.append(variants.attention(run, outputs, request.directory, fast=not request.model.fast_path))
    if model.as_loaded.training and request.model.training == "keep":
        found.append(variants.evaluation(model, run, outputs, directory=request.directory))
    return tuple(found)


def _as_loaded(
    request: ReferenceRequest, model: LoadedModel, usable: Sequence[tuple[int, ...]], *, outputs: TensorFiles
) -> tuple[Variant, ...]:
    """Run the model as it was loaded. This comes last, since the model is in memory twice while it runs."""
    if not model.as_loaded.compiled and not (model.as_loaded.training and request.model.training == "eval"):
        return ()

    def batch(place: int) -> Arrays:
        return arrays.stack(request.samples.files, usable[place])

    return variants.reloaded(request.model, model.as_loaded, batch, reference=outputs, directory=request.directory)


def _size(model: LoadedModel, samples: SampleSet, outputs: TensorFiles) -> int:
    """Return the bytes of the weights, and of the inputs and outputs of one sample."""
    return module_state.nbytes(model.module) + sum(
        array.nbytes for files in (samples.files, outputs) for array in arrays.load(files, 0).values()
    )


def _float64(
    model: LoadedModel, request: ReferenceRequest, usable: Sequence[tuple[int, ...]], *, outputs: TensorFiles, watch: Stopwatch
) -> Recomputed:
    """Run the model in float64. This comes after all float32 runs, since the model stays in float64."""
    try:
        return recompute.run(
            model, request.samples, usable, expected=outputs, dtype="fp64", directory=request.directory, watch=watch
        )
    except (ExportError, UsageError) as error:
        return Recomputed(outputs=None, reason=f"{error.what} {error.found}" if error.found else error.what)


def _code(request: LoadRequest) -> dict[str, str]:
    """Return file name and SHA-256 of the file that defines a factory."""
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
    """Run the model on batches and write the outputs.

    Args:
        like: outputs with the expected names and types; those of the first batch if it is `None`.
    """
    files = TensorFiles(directory=directory, tensors=like.tensors if like else (), count=len(batches))
    for position, indices in enumerate(progress.counted(batches, "batch" if like else "sample")):
        batch = arrays.stack(samples.files, indices)
        with watch.library():
            outputs = _run_batch(model, batch, len(indices))
        if not files.tensors:
            files = replace(files, tensors=tuple(_spec(name, array) for name, array in outputs.items()))
        edge_cases.save(files, position, outputs)
    return files


def _run_batch(model: LoadedModel, batch: Arrays, size: int) -> Arrays:
    try:
        return model.run(batch)
    except ExportError as error:
        if size == 1:
            raise
        raise UsageError.of(wording.BATCH_FAILS, where=error.place or error.where, found=error.found, size=size) from error


def _spec(name: str, array: arrays.Array) -> TensorSpec:
    dtype = arrays.dtype_name(array)
    if dtype not in {row.name for row in dtypes.TABLE}:
        raise ExportError.of(wording.OUTPUT_NOT_SERVABLE, expected="a real or integer type", found=dtype, name=name)
    return arrays.spec_of(name, array)
