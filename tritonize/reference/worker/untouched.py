"""The model as it was loaded, before it was put into evaluation mode and the like: what it answers then; inside a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorFiles
from tritonize.core.errors import TritonizeError
from tritonize.reference.tasks import Cause, Variant
from tritonize.source.tasks import LoadRequest
from tritonize.source.worker import modes
from tritonize.source.worker.loader import load_module
from tritonize.source.worker.torch_model import LoadedModel

_SAMPLES = 4
"""How many are enough to tell how far a mode moves the answers."""
_SECONDS = 5.0
"""After which no further one is asked for that."""


def attention(ask: Callable[[int], Arrays], own: TensorFiles, directory: Path, *, fast: bool) -> Variant:
    """What the model answers to every sample with attention's fast path on, or off where the reference has it on."""
    with modes.fast_path(enabled=fast):
        return _asked(
            "attention",
            (),
            ask,
            place=replace(own, directory=directory / "attention"),
            indices=range(own.count),
            seconds=float("inf"),
        )


def modal(model: LoadedModel, ask: Callable[[int], Arrays], own: TensorFiles, *, directory: Path) -> Variant:
    """What a model that is kept in training mode answers in evaluation mode."""
    with modes.evaluating(model.module):
        place = replace(own, directory=directory / "evaluation")
        return _asked("evaluation", model.as_loaded.training, ask, place=place, indices=range(min(own.count, _SAMPLES)))


def reloaded(
    request: LoadRequest, found: modes.AsLoaded, batch: Callable[[int], Arrays], *, own: TensorFiles, directory: Path
) -> tuple[Variant, ...]:
    """What the model answers as loaded, in training mode and compiled: loaded once more, since answering may change it then."""
    variants = []
    if found.training and request.training == "eval":
        fresh = LoadedModel(modes.without_compile(load_module(request)), request.inputs, request.outputs)
        place = replace(own, directory=directory / "training")
        asked = range(min(own.count, _SAMPLES))
        variants.append(_asked("training", found.training, lambda index: fresh.run(batch(index)), place=place, indices=asked))
    if found.compiled:
        module = load_module(request)
        whole = LoadedModel(module if request.training == "keep" else module.eval(), request.inputs, request.outputs)
        place = replace(own, directory=directory / "compiled")
        variants.append(_asked("compiled", found.compiled, lambda index: whole.run(batch(index)), place=place, indices=range(1)))
    return tuple(variants)


def _asked(
    cause: Cause,
    parts: tuple[str, ...],
    ask: Callable[[int], Arrays],
    *,
    place: TensorFiles,
    indices: Sequence[int],
    seconds: float = _SECONDS,
) -> Variant:
    torch.manual_seed(0)
    started = time.perf_counter()
    files = replace(place, count=0)
    try:
        for index in indices:
            arrays.save(files, files.count, _like(ask(index), files))
            files = replace(files, count=files.count + 1)
            if time.perf_counter() - started > seconds:
                break
    except (TritonizeError, TypeError, RuntimeError) as error:
        why = error.found or error.what if isinstance(error, TritonizeError) else str(error)
        return Variant(cause=cause, parts=parts, outputs=None, why_not=why)
    return Variant(cause=cause, parts=parts, outputs=files)


def _like(found: Arrays, files: TensorFiles) -> Arrays:
    """The answer, where it has the outputs of the reference."""
    names = [tensor.name for tensor in files.tensors]
    if list(found) != names:
        raise TypeError(f"it has other outputs: {', '.join(found)}")
    return found
