"""Draw samples from a user's function; runs inside a worker."""

from __future__ import annotations

import importlib
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritonize.core import arrays, names
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorSpec, from_json, to_json
from tritonize.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DrawRequest:
    """Which function, and how often."""

    function: str
    """`package.module:function`."""
    count: int
    seed: int
    directory: Path
    """Where the samples go, one `.npz` file each."""


@dataclass(frozen=True, kw_only=True)
class DrawAnswer:
    """What the samples are like."""

    tensors: tuple[TensorSpec, ...]
    """Names and types as the first sample has them, with its sizes."""
    varying: tuple[str, ...]
    """Inputs whose shape is not the same in all samples."""


def draw(request: dict[str, Any]) -> dict[str, Any]:
    """The task: `DrawRequest` in, `DrawAnswer` out, as plain data.

    Raises:
        UsageError: there is no such function, it raises, or it returns no arrays.
    """
    asked = from_json(DrawRequest, request)
    function = _function(asked.function)
    asked.directory.mkdir(parents=True, exist_ok=True)
    first: tuple[TensorSpec, ...] = ()
    varying: set[str] = set()
    for index in range(asked.count):
        item = _sample(function, asked, index)
        tensors = tuple(arrays.spec_of(name, array) for name, array in item.items())
        first = first or tensors
        if [(each.name, each.dtype) for each in tensors] != [(each.name, each.dtype) for each in first]:
            raise UsageError(
                "The samples of the function differ in names or types.",
                where=asked.function,
                expected=", ".join(f"{each.name} {each.dtype}" for each in first),
                found=", ".join(f"{each.name} {each.dtype}" for each in tensors),
            )
        varying |= {each.name for each, other in zip(tensors, first, strict=True) if each.shape != other.shape}
        arrays.write_npz(asked.directory / f"{index:06d}.npz", item)
    return to_json(DrawAnswer(tensors=first, varying=tuple(sorted(varying))))  # type: ignore[no-any-return]


def _function(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError("There is no such function of samples.", where=name, found=str(error)) from error
    if not callable(found):
        raise UsageError("What should draw the samples is no function.", where=name, found=f"a {type(found).__name__}")
    return found


def _sample(function: Any, asked: DrawRequest, index: int) -> Arrays:
    random.seed(asked.seed + index)  # a function that draws by chance draws the same again
    np.random.seed(asked.seed + index)
    _seed_torch(asked.seed + index)
    try:
        answer = function(index)
    except Exception as error:
        raise UsageError(
            "The function of samples raised an error.",
            where=asked.function,
            expected=f"a sample for index {index}",
            found=f"{type(error).__name__}: {error}",
        ) from error
    item = dict(arrays.named(answer, asked.function))
    bad = [name for name in item if not names.is_tensor(name)]
    if bad or not item:
        raise UsageError(
            "The function of samples returned no inputs."
            if not item
            else "An input of a sample has a name that no tensor may have.",
            where=asked.function,
            found=", ".join(map(repr, bad)) or f"a {type(answer).__name__}",
            expected="a text that can be printed" if bad else "a tensor, a tuple or a dictionary of them",
        )
    return item


def _seed_torch(seed: int) -> None:
    """Seed torch where a function has imported it; here it is not needed."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
