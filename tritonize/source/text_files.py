"""Read samples from text: a `.txt` file with one text per line, or a `.json` file with the values of every input by name.

Text is UTF-8, and other bytes are kept, see `core/texts.py`. A JSON file writes such bytes as `{"b64": "/wA="}`, as NVIDIA's
perf_analyzer does.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any  # Any: JSON data of any shape

import numpy as np

from tritonize.core import arrays, bounded_files, dtypes, texts
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import UsageError
from tritonize.core.messages import files as files_wording
from tritonize.core.messages import samples as wording
from tritonize.spec import schema

SUFFIXES = (".txt", ".json")


def read(path: str, model: schema.Model) -> Iterator[Arrays]:
    """The arrays of a file by name; several for a JSON list, and for lines that fill the input of a model without batching.

    Raises:
        UsageError: the file cannot be read, or does not fit the model's inputs.
    """
    try:
        if path.lower().endswith(".txt"):
            yield from _from_lines(path, lines(Path(path)), model)
        else:
            yield from _from_json(path, bounded_files.json_of(Path(path)), model)
    except (OSError, ValueError) as error:
        raise UsageError.of(files_wording.SAMPLE_FILE, where=path, found=str(error) or type(error).__name__) from error


def lines(path: Path) -> list[str]:
    """The lines of a text file; an empty line is an empty text. Raises OSError."""
    text = bounded_files.content(path).decode("utf-8-sig", "surrogateescape")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _from_lines(path: str, found: Sequence[str], model: schema.Model) -> Iterator[Arrays]:
    """The lines in the shape of the only input; a dynamic axis takes all lines of the file."""
    (name, tensor), *others = model.inputs.items()
    own = tensor.shape[bool(model.max_batch_size) :]
    named = [size for size in own if isinstance(size, str)]
    fixed = math.prod(size for size in own if isinstance(size, int))
    if others or tensor.dtype != "string" or len(named) > 1:
        expected = "one input, of type string, with at most one dynamic axis besides the batch"
        described = ", ".join(f"{each}: {given.dtype} {given.shape}" for each, given in model.inputs.items())
        raise UsageError.of(wording.TEXT_LINES_INPUT, where=path, expected=expected, found=described)
    if not found or len(found) % fixed:
        raise UsageError.of(wording.TEXT_LINES, where=path, expected=f"a multiple of {fixed} lines", found=f"{len(found)} lines")
    every = len(found) if named else fixed
    sizes = [len(found) // fixed if isinstance(size, str) else size for size in own]
    samples = [_objects(found[start : start + every], sizes) for start in range(0, len(found), every)]
    if model.max_batch_size:
        yield {name: np.stack(samples)}
    else:
        yield from ({name: sample} for sample in samples)


def _from_json(path: str, value: object, model: schema.Model) -> Iterator[Arrays]:
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, dict) or set(each) != set(model.inputs):
            found = ", ".join(each) or "nothing" if isinstance(each, dict) else f"{type(each).__name__} {str(each)[:40]}"
            raise UsageError.of(wording.FILE_INPUTS, where=path, expected=", ".join(model.inputs), found=found)
        yield {name: _tensor(path, name, tensor, value=each[name]) for name, tensor in model.inputs.items()}


def _tensor(path: str, name: str, tensor: schema.Input, *, value: Any) -> Array:
    """The nested lists of one input as an array.

    Raises:
        UsageError: their depth or the type of an element differs from the spec, or they differ in length.
    """
    sizes, inner = [], value
    for _ in tensor.shape:
        sizes.append(len(inner) if isinstance(inner, list) else -1)
        inner = inner[0] if isinstance(inner, list) and inner else None
    try:
        flat = [_element(tensor.dtype, each) for each in _flat(value, sizes)]
        if tensor.dtype == "string":
            return texts.decoded(_objects(flat, sizes))
        return np.array(flat, arrays.numpy_dtype(tensor.dtype)).reshape(sizes)
    except (ValueError, OverflowError) as error:
        expected = f"{tensor.dtype} {list(tensor.shape)}"
        raise UsageError.of(wording.FILE_TENSOR, where=path, name=name, expected=expected, found=str(error)) from error


def _flat(value: Any, sizes: Sequence[int]) -> Iterator[Any]:
    if not sizes:
        yield value
        return
    if not isinstance(value, list):
        raise ValueError(f"{str(value)[:40]!r} instead of a list")
    if len(value) != sizes[0]:
        raise ValueError(f"lists of {sizes[0]} and of {len(value)} elements on one axis")
    for each in value:
        yield from _flat(each, sizes[1:])


def _element(dtype: str, value: object) -> object:
    """One element in its Python type. Raises ValueError."""
    if dtype == "string":
        if isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str):
            try:
                return base64.b64decode(value["b64"], validate=True)
            except binascii.Error as error:
                raise ValueError(f"{value['b64'][:40]!r} is not base64") from error
        fits = isinstance(value, str)
    elif dtype == "bool":
        fits = isinstance(value, bool)
    else:
        fits = type(value) in ((int, float) if dtypes.by_name(dtype).floating else (int,))
    if not fits:
        raise ValueError(f"the element {str(value)[:40]!r}")
    return value


def _objects(items: Sequence[object], sizes: Sequence[int]) -> Array:
    flat = np.empty(len(items), object)
    flat[:] = items
    return flat.reshape(sizes)
