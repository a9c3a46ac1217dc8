"""The arrays of a sample as a user's function returns it: nested dictionaries, tuples and lists of arrays, numbers and tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any  # Any: what a user's function returns

import numpy as np

from tritonize.core import texts
from tritonize.core.arrays import BFLOAT16, Array
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as wording


def named(sample: object, where: str) -> Iterator[tuple[str, Array]]:
    """The arrays of a sample with their names: dictionary keys, or INPUT__0, INPUT__1 and so on; dots for nested values.

    None values are skipped.

    Args:
        sample: arrays, numbers or torch tensors, in dictionaries, tuples and lists.
        where: origin of the sample, for the error message.

    Raises:
        UsageError: a value is neither an array, a number nor a tensor.
    """
    if isinstance(sample, Mapping):
        for key, value in sample.items():
            yield from _inside(str(key), value, where)
        return
    for position, value in enumerate(sample if isinstance(sample, tuple | list) else (sample,)):
        yield from _inside(f"INPUT__{position}", value, where)


def _inside(name: str, value: object, where: str) -> Iterator[tuple[str, Array]]:
    if value is None:
        return
    if isinstance(value, Mapping | tuple | list):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            if inner is None and not isinstance(value, Mapping):
                raise UsageError.of(wording.NONE_IN_LIST, where=where, name=f"{name}.{key}")
            yield from _inside(f"{name}.{key}", inner, where)
        return
    yield name, _array(name, value, where)


def _array(name: str, value: Any, where: str) -> Array:
    if hasattr(value, "detach"):  # a torch tensor; torch is not imported here
        value = value.detach().cpu()
        value = value.float().numpy().astype(BFLOAT16) if str(value.dtype) == "torch.bfloat16" else value.numpy()
    if not isinstance(value, np.ndarray | np.generic | int | float | bool | str | bytes):
        raise UsageError.of(wording.NO_TENSOR, where=where, found=f"a {type(value).__name__}", name=name)
    array: Array = np.asarray(value)
    if array.dtype.kind in "UST" or (array.dtype == object and all(isinstance(each, str | bytes) for each in array.reshape(-1))):
        return texts.decoded(array)
    if array.dtype.kind not in "biuf" and array.dtype != BFLOAT16:
        raise UsageError.of(wording.ARRAY_TYPE, where=where, found=str(array.dtype), name=name)
    return array
