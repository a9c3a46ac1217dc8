"""Run the model in other states than the reference: in the mode in which it was loaded, compiled, with attention's other path.

Runs in a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tritonize.core import arrays, progress
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.core.errors import TritonizeError
from tritonize.reference.tasks import Cause, Variant
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import modes
from tritonize.source.worker.loader import load_module
from tritonize.source.worker.torch_model import LoadedModel

_SAMPLES = 4
"""Number of samples that show how far a mode changes the outputs."""
_SECONDS = 5.0
"""After this time, a variant runs on no further sample."""


def attention(run: Callable[[int], Arrays], reference: TensorFiles, directory: Path, *, fast: bool) -> Variant:
    """Run the model on every sample with attention's fast path enabled or disabled.

    Args:
        run: runs the model on the sample of a number.
        reference: the reference outputs.
        directory: folder for the outputs.
        fast: whether the fast path is enabled.
    """
    with modes.fast_path(enabled=fast):
        return _variant(
            "attention",
            (),
            run,
            files=replace(reference, directory=directory / "attention"),
            indices=range(reference.count),
            seconds=float("inf"),
        )


def evaluation(model: LoadedModel, run: Callable[[int], Arrays], reference: TensorFiles, *, directory: Path) -> Variant:
    """Run a model that stays in training mode in evaluation mode."""
    with modes.evaluating(model.module):
        files = replace(reference, directory=directory / "evaluation")
        return _variant("evaluation", model.as_loaded.training, run, files=files, indices=range(min(reference.count, _SAMPLES)))


def reloaded(
    request: LoadRequest, as_loaded: modes.AsLoaded, batch: Callable[[int], Arrays], *, reference: TensorFiles, directory: Path
) -> tuple[Variant, ...]:
    """Load the model once more and run it as it was loaded, in training mode and compiled.

    It is loaded again because running in these states may change it.
    """
    variants = []
    if as_loaded.training and request.training == "eval":
        untouched = LoadedModel(modes.without_compile(load_module(request)), request.inputs, request.outputs)
        files = replace(reference, directory=directory / "training")
        indices = range(min(reference.count, _SAMPLES))
        variants.append(
            _variant("training", as_loaded.training, lambda index: untouched.run(batch(index)), files=files, indices=indices)
        )
    if as_loaded.compiled:
        module = load_module(request)
        compiled = LoadedModel(module if request.training == "keep" else module.eval(), request.inputs, request.outputs)
        files = replace(reference, directory=directory / "compiled")
        variants.append(
            _variant("compiled", as_loaded.compiled, lambda index: compiled.run(batch(index)), files=files, indices=range(1))
        )
    return tuple(variants)


def _variant(
    cause: Cause,
    parts: tuple[str, ...],
    run: Callable[[int], Arrays],
    *,
    files: TensorFiles,
    indices: Sequence[int],
    seconds: float = _SECONDS,
) -> Variant:
    """Run the model on samples until the time is up; a failure is a variant with a reason."""
    torch.manual_seed(0)
    started = time.perf_counter()
    files = replace(files, count=0)
    try:
        for index in progress.counted(indices, "sample", text=cause):
            arrays.save(files, files.count, _require_same_outputs(run(index), files))
            files = replace(files, count=files.count + 1)
            if time.perf_counter() - started > seconds:
                break
    except (TritonizeError, TypeError, RuntimeError) as error:
        why = error.found or error.what if isinstance(error, TritonizeError) else str(error)
        return Variant(cause=cause, parts=parts, outputs=None, why_not=why)
    return Variant(cause=cause, parts=parts, outputs=files)


def _require_same_outputs(found: Arrays, files: TensorFiles) -> Arrays:
    """Return the outputs unchanged. Raises TypeError if they are not the outputs of the reference."""
    names = [tensor.name for tensor in files.tensors]
    if list(found) != names:
        raise TypeError(f"the model has other outputs: {', '.join(found)}")
    return found
