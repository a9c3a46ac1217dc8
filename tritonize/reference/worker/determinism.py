"""Check that a PyTorch model is a pure function: the same outputs for the same input, and unchanged by running. In a worker.

An ONNX file is a pure function. A model that draws random numbers, changes itself when it runs, or is in training mode is not, and
gets an error with the evidence instead of a failed export.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch

from tritonize.core.arrays import BFLOAT16, Array, Arrays
from tritonize.core.errors import ExportError
from tritonize.core.messages import reference as wording
from tritonize.core.messages import source as source_wording
from tritonize.source.worker import modes, module_state, script_facts
from tritonize.source.worker.torch_model import LoadedModel

REPEAT_RTOL = 1e-6
"""Allowed difference of two runs, relative to the output's largest magnitude: threads may sum in another order."""


def fingerprint(module: torch.nn.Module) -> dict[str, int]:
    """Return a checksum of every parameter and buffer, by name.

    Raises:
        ExportError: the bytes of one of them cannot be read; the error names it.
    """
    return {name: module_state.checksum(name, tensor) for name, tensor in module_state.named(module)}


def checksum(fingerprint: dict[str, int]) -> str:
    """Return one SHA-256 for a fingerprint. It is the same in every process that loads the same model."""
    return hashlib.sha256(repr(sorted(fingerprint.items())).encode()).hexdigest()


def require_mode(model: LoadedModel, training: str) -> None:
    """Check that the model is in the mode that the spec requires.

    Args:
        training: `error`, `eval` or `keep`.

    Raises:
        ExportError: it is not; the error names the parts in training mode.
    """
    if training == "error" and model.as_loaded.training:
        raise ExportError.of(wording.TRAINING_MODE, where=", ".join(model.as_loaded.training[:5]))
    if training == "keep":
        return
    require_evaluation_mode(model)
    if baked := script_facts.training_operators(model.module):
        raise ExportError.of(source_wording.BAKED_TRAINING, where=baked[0].line or None, operators=", ".join(map(str, baked[:5])))


def require_evaluation_mode(model: LoadedModel) -> None:
    """Check that every part of the model is in evaluation mode.

    Raises:
        ExportError: a part is, or puts itself, in training mode; the error names it.
    """
    training = [name or modes.WHOLE_MODEL for name, part in model.module.named_modules() if modes.is_training(part)]
    if training:
        raise ExportError.of(wording.STILL_TRAINING, where=", ".join(training[:5]))


def _observers(module: torch.nn.Module) -> tuple[str, ...]:
    """Return the parts that observe values for quantization, found by class name, since several packages define such classes."""
    kinds = ("ObserverBase", "FakeQuantizeBase")
    return tuple(name for name, part in module.named_modules() if any(base.__name__ in kinds for base in type(part).__mro__))


def require_unchanged(before: dict[str, int], module: torch.nn.Module) -> None:
    """Check that running the model did not change its parameters and buffers.

    Raises:
        ExportError: it did; the error names what changed.
    """
    after = fingerprint(module)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed and (observers := _observers(module)):
        raise ExportError.of(source_wording.OBSERVERS, where=", ".join(observers[:5]), found=f"changed: {', '.join(changed[:5])}")
    if changed:
        raise ExportError.of(wording.STATE_WRITTEN, found=f"changed: {', '.join(changed[:5])}")


def require_repeatable(model: LoadedModel, batch: Arrays, expected: Arrays, *, changed: Sequence[str] = ()) -> None:
    """Run the model again on the same input, with other seeds of the random generator, and compare the outputs.

    Args:
        expected: the outputs of the first run.
        changed: Python attributes that the model changed while it ran.

    Raises:
        ExportError: an output differs; the error names it and the difference.
    """
    for seed in (1, 2):
        torch.manual_seed(seed)
        again = model.run(batch)
        for name, array in expected.items():
            distance = _distance(array, again[name])
            if distance is not None and (observers := _observers(model.module)):
                raise ExportError.of(source_wording.OBSERVERS, where=", ".join(observers[:5]), found=_describe(distance))
            if distance is not None and changed:
                found = f"{_describe(distance)}; changed meanwhile: {', '.join(changed[:5])}"
                raise ExportError.of(wording.STATE_DECIDES, where=f"output {name}", found=found)
            if distance is not None:
                raise ExportError.of(wording.NOT_DETERMINISTIC, where=f"output {name}", found=_describe(distance))


def _describe(distance: float) -> str:
    """Describe the distance of two outputs; NaN and a number have none."""
    if math.isnan(distance):
        return "two outputs differ: NaN in one of them"
    return (
        f"two outputs differ by up to {distance:.3g}" if math.isfinite(distance) else "two outputs differ in shape or by infinity"
    )


def _distance(one: Array, other: Array) -> float | None:
    """Return max |difference| of two outputs; NaN if they have NaN at different positions, `None` if they are the same."""
    if one.shape != other.shape:
        return float("inf")
    if not one.size or np.array_equal(one, other, equal_nan=one.dtype.kind == "f" or one.dtype == BFLOAT16):
        return None
    wide, wider = one.astype(np.float64), other.astype(np.float64)
    if not np.array_equal(np.isnan(wide), np.isnan(wider)):
        return math.nan
    differ = (wide != wider) & ~np.isnan(wide)  # not where both are the same infinity, whose difference is NaN
    distance = float(np.abs(wide[differ] - wider[differ]).max(initial=0.0))
    # Infinities, such as those of masked scores, have no magnitude: with them, any distance would be allowed.
    allowed = REPEAT_RTOL * float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0)) if one.dtype.kind not in "biu" else 0.0
    return None if distance <= allowed else distance
