"""Call the user's sample function and write its samples; runs inside a worker."""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any  # Any: the user's function

import numpy as np

from tritonize.core import arrays, named_arrays, names, progress
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as wording
from tritonize.source.tasks import DrawRequest, DrawResult
from tritonize.source.worker import missing_names


def draw(request: DrawRequest) -> DrawResult:
    """The task: call the function with 0, 1, 2, … and write each sample to an `.npz` file.

    Raises:
        UsageError: the function does not exist, raises, or returns no arrays; or its samples differ in names or types.
    """
    function = _function(request.function)
    request.directory.mkdir(parents=True, exist_ok=True)
    first: tuple[TensorSpec, ...] = ()
    varying: set[str] = set()
    for index in progress.counted(range(request.count), "sample"):
        item = _sample(function, request, index)
        tensors = tuple(arrays.spec_of(name, array) for name, array in item.items())
        first = first or tensors
        if [(tensor.name, tensor.dtype) for tensor in tensors] != [(tensor.name, tensor.dtype) for tensor in first]:
            raise UsageError.of(
                wording.FUNCTION_DIFFERS,
                where=request.function,
                expected=", ".join(f"{tensor.name} {tensor.dtype}" for tensor in first),
                found=", ".join(f"{tensor.name} {tensor.dtype}" for tensor in tensors),
            )
        varying |= {tensor.name for tensor, other in zip(tensors, first, strict=True) if tensor.shape != other.shape}
        arrays.write_npz(request.directory / f"{index:06d}.npz", item)
    return DrawResult(tensors=first, varying=tuple(sorted(varying)))


def _function(name: str) -> object:
    module_name, _, attribute = name.partition(":")
    function: object = None
    try:
        function = importlib.import_module(module_name)
        for part in attribute.split("."):
            function = getattr(function, part)
    except ImportError as error:
        meant = missing_names.module(name, error.name)
        raise UsageError.of(wording.FUNCTION_MISSING, where=name, found=str(error), meant=meant) from error
    except AttributeError as error:
        meant = missing_names.attribute(name, function)
        raise UsageError.of(wording.FUNCTION_MISSING, where=name, found=str(error), meant=meant) from error
    if not callable(function):
        raise UsageError.of(wording.FUNCTION_NOT_CALLABLE, where=name, found=f"a {type(function).__name__}")
    return function


def _sample(function: Any, request: DrawRequest, index: int) -> Arrays:
    random.seed(request.seed + index)  # a function with random numbers returns the same sample again
    np.random.seed(request.seed + index)
    _seed_torch(request.seed + index)
    try:
        returned = function(index)
    except Exception as error:
        raise UsageError.of(
            wording.FUNCTION_RAISED,
            where=request.function,
            expected=f"a sample for index {index}",
            found=f"{type(error).__name__}: {error}",
        ) from error
    item = dict(named_arrays.named(returned, request.function))
    if not item:
        expected = "a tensor, a tuple or a dictionary of them"
        raise UsageError.of(
            wording.FUNCTION_RESULT, where=request.function, expected=expected, found=f"a {type(returned).__name__}"
        )
    if invalid := [name for name in item if not names.is_tensor(name)]:
        found = ", ".join(map(repr, invalid))
        raise UsageError.of(wording.FUNCTION_INPUT_NAME, where=request.function, expected="printable text", found=found)
    return item


def _seed_torch(seed: int) -> None:
    """Seed torch if the function's module has imported it; this module does not need torch."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
