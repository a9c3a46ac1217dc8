"""An entry's model: made, called, traced."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from corpus import draw
from corpus.catalogue import Entry


def make(entry: Entry) -> torch.nn.Module:
    """A fresh model, in evaluation mode."""
    module, _, function = entry.factory.partition(":")
    factory = getattr(importlib.import_module(f"corpus.{module}"), function)
    return factory(**entry.kwargs).eval()


def flat(answer: Any) -> Iterator[torch.Tensor]:
    """The tensors of an answer, in order; whatever is no tensor and no container of them is left out."""
    if isinstance(answer, torch.Tensor):
        yield answer
    elif isinstance(answer, Mapping):
        for part in answer.values():
            yield from flat(part)
    elif isinstance(answer, tuple | list):
        for part in answer:
            yield from flat(part)


def call(model: torch.nn.Module, entry: Entry, arrays: Mapping[str, NDArray], *, double: bool = False) -> list[torch.Tensor]:
    """The model's answer as a list of tensors."""
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    if double:
        tensors = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    with torch.no_grad():
        if isinstance(model, torch.jit.ScriptModule) or not _takes(model, entry):
            return list(flat(model(*tensors.values())))
        return list(flat(model(**tensors)))


def _takes(model: torch.nn.Module, entry: Entry) -> bool:
    """Whether the inputs' names are parameters of `forward`."""
    return set(entry.inputs) <= set(inspect.signature(model.forward).parameters)


def positional(module: torch.nn.Module, names: Sequence[str]) -> torch.nn.Module:
    """The model with its inputs by position and its outputs as a tuple of tensors: what people write to be able to trace."""

    def forward(self: torch.nn.Module, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(flat(self.module(**dict(zip(names, tensors, strict=True)))))

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("self", *names)]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] - tracing takes its names from here
    wrapper = type("Positional", (torch.nn.Module,), {"forward": forward})()
    wrapper.module = module
    return wrapper.eval()


def trace(entry: Entry, path: Path) -> None:
    """Trace the model on an example batch and save it, the way people do; raises what tracing or saving raises.

    The example is a batch of two where there may be batches: a batch of one is baked in more often.
    """
    model = make(entry)
    if isinstance(model, torch.jit.ScriptModule):
        model.save(str(path))
        return
    arrays = draw.batch(entry, 10_000, draw.sizes(entry, 2, 1))
    example = tuple(torch.from_numpy(array) for array in arrays.values())
    with torch.no_grad():
        first = next(iter(inspect.signature(model.forward).parameters.values()))
        leading = list(inspect.signature(model.forward).parameters)[: len(entry.inputs)] == list(entry.inputs)
        by_position = leading or first.kind is first.VAR_POSITIONAL or not _takes(model, entry)
        answer = model(*example) if by_position else None
        plain = isinstance(answer, torch.Tensor) or (
            isinstance(answer, tuple) and all(isinstance(part, torch.Tensor) for part in answer)
        )
        module = model if plain else positional(model, tuple(entry.inputs))
        torch.jit.trace(module, example, check_trace=False).save(str(path))
