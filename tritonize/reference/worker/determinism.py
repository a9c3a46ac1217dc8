"""How a PyTorch model behaves when it is asked twice: what must hold before any export of it can be proven.

An ONNX file is a pure function. A model that draws random numbers, changes itself by answering, or is left in training mode
is none, and is reported as that with the evidence, not as a failed export. Runs inside a worker.
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
"""Of an output's largest magnitude: how far two runs may be apart, since threads may add in another order."""


def fingerprint(module: torch.nn.Module) -> dict[str, int]:
    """A checksum of every parameter and buffer.

    Raises:
        ExportError: the bytes of one cannot be read; it names it.
    """
    return {name: module_state.checksum(name, tensor) for name, tensor in module_state.named(module)}


def checksum(fingerprint: dict[str, int]) -> str:
    """One text for a fingerprint: the same in every process that loads the same model."""
    return hashlib.sha256(repr(sorted(fingerprint.items())).encode()).hexdigest()


def require_mode(model: LoadedModel, training: str) -> None:
    """Raise where the model is not in the mode that the spec asks for.

    Args:
        training: `error`, `eval` or `keep`.

    Raises:
        ExportError: it names the parts in training mode.
    """
    if training == "error" and model.as_loaded.training:
        raise ExportError.of(wording.TRAINING_MODE, where=", ".join(model.as_loaded.training[:5]))
    if training == "keep":
        return
    require_evaluation_mode(model)
    if baked := script_facts.training_operators(model.module):
        raise ExportError.of(source_wording.BAKED_TRAINING, where=baked[0].line or None, operators=", ".join(map(str, baked[:5])))


def require_evaluation_mode(model: LoadedModel) -> None:
    """Raise where a part of the model is, or puts itself, in training mode.

    Raises:
        ExportError: it names the parts.
    """
    training = [name or modes.WHOLE_MODEL for name, part in model.module.named_modules() if modes.is_training(part)]
    if training:
        raise ExportError.of(wording.STILL_TRAINING, where=", ".join(training[:5]))


def _observing(module: torch.nn.Module) -> tuple[str, ...]:
    """Parts that observe values for quantization, by the names of their classes: there are several packages of them."""
    kinds = ("ObserverBase", "FakeQuantizeBase")
    return tuple(name for name, part in module.named_modules() if any(each.__name__ in kinds for each in type(part).__mro__))


def require_unchanged(before: dict[str, int], module: torch.nn.Module) -> None:
    """Raise where answering changed the model's own state.

    Raises:
        ExportError: it names what changed.
    """
    after = fingerprint(module)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed and (observing := _observing(module)):
        raise ExportError.of(source_wording.OBSERVERS, where=", ".join(observing[:5]), found=f"changed: {', '.join(changed[:5])}")
    if changed:
        raise ExportError.of(wording.STATE_WRITTEN, found=f"changed: {', '.join(changed[:5])}")


def require_repeatable(model: LoadedModel, batch: Arrays, first: Arrays, *, changed: Sequence[str] = ()) -> None:
    """Raise where the same question gets another answer, with another state of the random generator.

    Args:
        changed: attributes of Python's that answering changed.

    Raises:
        ExportError: it names the output and how far the answers are apart.
    """
    for seed in (1, 2):
        torch.manual_seed(seed)
        again = model.run(batch)
        for name, array in first.items():
            distance = _distance(array, again[name])
            if distance is not None and (observing := _observing(model.module)):
                raise ExportError.of(source_wording.OBSERVERS, where=", ".join(observing[:5]), found=_apart(distance))
            if distance is not None and changed:
                found = f"{_apart(distance)}; changed meanwhile: {', '.join(changed[:5])}"
                raise ExportError.of(wording.STATE_DECIDES, where=f"output {name}", found=found)
            if distance is not None:
                raise ExportError.of(wording.NOT_DETERMINISTIC, where=f"output {name}", found=_apart(distance))


def _apart(distance: float) -> str:
    """How far two answers are apart, for a person; NaN against a number has no distance."""
    if math.isnan(distance):
        return "two answers differ: NaN in one of them"
    return (
        f"two answers differ by up to {distance:.3g}" if math.isfinite(distance) else "two answers differ in shape or by infinity"
    )


def _distance(one: Array, other: Array) -> float | None:
    """How far two answers are apart; NaN where one of them has a NaN that the other has not, `None` where they are the same."""
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
