"""Draw samples from a user's function; runs inside a worker."""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any  # Any: the user's function

import numpy as np

from tritonize.core import arrays, names
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import UsageError
from tritonize.source.tasks import DrawRequest, DrawResult


def draw(request: DrawRequest) -> DrawResult:
    """The task.

    Raises:
        UsageError: there is no such function, it raises, or it returns no arrays.
    """
    function = _function(request.function)
    request.directory.mkdir(parents=True, exist_ok=True)
    first: tuple[TensorSpec, ...] = ()
    varying: set[str] = set()
    for index in range(request.count):
        item = _sample(function, request, index)
        tensors = tuple(arrays.spec_of(name, array) for name, array in item.items())
        first = first or tensors
        if [(each.name, each.dtype) for each in tensors] != [(each.name, each.dtype) for each in first]:
            raise UsageError(
                "The samples of the function differ in names or types.",
                where=request.function,
                expected=", ".join(f"{each.name} {each.dtype}" for each in first),
                found=", ".join(f"{each.name} {each.dtype}" for each in tensors),
            )
        varying |= {each.name for each, other in zip(tensors, first, strict=True) if each.shape != other.shape}
        arrays.write_npz(request.directory / f"{index:06d}.npz", item)
    return DrawResult(tensors=first, varying=tuple(sorted(varying)))


def _function(name: str) -> object:
    module_name, _, attribute = name.partition(":")
    try:
        found: object = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError("There is no such function of samples.", where=name, found=str(error)) from error
    if not callable(found):
        raise UsageError("What should draw the samples is no function.", where=name, found=f"a {type(found).__name__}")
    return found


def _sample(function: Any, request: DrawRequest, index: int) -> Arrays:
    random.seed(request.seed + index)  # a function that draws by chance draws the same again
    np.random.seed(request.seed + index)
    _seed_torch(request.seed + index)
    try:
        answer = function(index)
    except Exception as error:
        raise UsageError(
            "The function of samples raised an error.",
            where=request.function,
            expected=f"a sample for index {index}",
            found=f"{type(error).__name__}: {error}",
        ) from error
    item = dict(arrays.named(answer, request.function))
    bad = [name for name in item if not names.is_tensor(name)]
    if bad or not item:
        raise UsageError(
            "The function of samples returned no inputs."
            if not item
            else "An input of a sample has a name that no tensor may have.",
            where=request.function,
            found=", ".join(map(repr, bad)) or f"a {type(answer).__name__}",
            expected="a text that can be printed" if bad else "a tensor, a tuple or a dictionary of them",
        )
    return item


def _seed_torch(seed: int) -> None:
    """Seed torch where a function has imported it; here it is not needed."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
