"""The samples in the user's files, in the types and shapes of the spec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tritonize.core import arrays, dtypes, texts
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as wording
from tritonize.source import sample_files, text_files
from tritonize.spec import input_rules, schema, sequences


def of(model: schema.Model) -> Iterator[list[Arrays]]:
    """Yield the items of each file that the spec names; of a stateful model, the steps of its sequence.

    Raises:
        UsageError: a file is missing or does not match the spec.
    """
    paths = [path for pattern in model.samples.patterns for path in sample_files.matches(pattern)]
    contract = sequences.of(model)
    inputs = {name: tensor for name, tensor in model.inputs.items() if not contract or name not in contract.inputs}
    if contract and not model.max_batch_size:  # the time is the first axis
        inputs = {name: tensor.model_copy(update={"shape": ["steps", *tensor.shape]}) for name, tensor in inputs.items()}
    described = model.model_copy(update={"inputs": inputs})
    for path in paths:
        is_text = path.lower().endswith(text_files.SUFFIXES) and not Path(path).is_dir()
        for stored in text_files.read(path, described) if is_text else (sample_files.read(path),):
            if set(stored) != set(inputs):
                found = ", ".join(stored) or "nothing"
                raise UsageError.of(wording.FILE_INPUTS, where=path, expected=", ".join(inputs), found=found)
            checked = {name: _checked(path, name, described, array=stored[name]) for name in inputs}
            yield list(_items(model, path, checked, split=bool(contract)))


def _checked(path: str, name: str, model: schema.Model, *, array: Array) -> Array:
    """The array in the type of the spec, bfloat16 and text included.

    Raises:
        UsageError: type or shape differ from the spec, or the model cannot get such text.
    """
    tensor = model.inputs[name]
    fits = len(array.shape) == len(tensor.shape) and all(
        isinstance(expected, str) or expected == size for expected, size in zip(tensor.shape, array.shape, strict=True)
    )
    dtype = arrays.numpy_dtype(tensor.dtype)
    if tensor.dtype == "bf16" and array.dtype == np.float32:
        array = array.astype(dtype)  # an .npz file cannot hold bfloat16
    if tensor.dtype == "string" and array.dtype.kind in "OUST":
        array = texts.decoded(array)
    if array.dtype == object and (why := input_rules.unusable_text(model, array.reshape(-1).tolist())):
        raise UsageError.of(wording.TEXT_UNUSABLE, where=path, found=why, name=name)
    if not fits or array.dtype != dtype:
        expected = f"{tensor.dtype} [{', '.join(map(str, tensor.shape))}]"
        raise UsageError.of(wording.FILE_TENSOR, where=path, expected=expected, found=_described(array), name=name)
    return array


def _described(array: Array) -> str:
    """The type, by its name in a spec, and the shape of an array."""
    try:
        return f"{dtypes.by_numpy(str(array.dtype)).name} {list(array.shape)}"
    except KeyError:
        return f"{array.dtype} {list(array.shape)}"


def _items(model: schema.Model, path: str, stored: Arrays, *, split: bool) -> Iterator[Arrays]:
    """Split a file along the batch axis into one item per element; a model without batching takes the file as one item.

    Args:
        split: whether the first axis is the time in any case: the file is a sequence, and each item is a step.
    """
    if not model.max_batch_size and not split:
        yield stored
        return
    sizes = {name: array.shape[0] for name, array in stored.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise UsageError.of(wording.FILE_BATCH_SIZES, where=path, found=str(sizes))
    for index in range(next(iter(sizes.values()))):
        yield {name: array[index : index + 1] if model.max_batch_size else array[index] for name, array in stored.items()}
