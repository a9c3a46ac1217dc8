"""Rules about warmup samples.

Source: core, `GenerateWarmupData` in `backend_model_instance.cc`, and `Normalize` in `infer_request.cc`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any  # Any: a message of protobuf's generated classes, which have no types

from tritonize.core import dtypes
from tritonize.lint import files
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule

_CORE = "Triton makes the samples when it loads the model, and refuses the model if it cannot."

DIMS = Rule(
    id="TR421",
    name="warmup-dims",
    severity="error",
    triton="refuses",
    what="A warmup sample has dims of any size, or dims that the input does not take.",
    why=_CORE + " A sample has fixed sizes, without the batch.",
    fix="write the sizes of the sample, without the batch",
    wrong="dims: [ -1 ] zero_data: true",
    right="dims: [ 3 ] zero_data: true",
)
DATA = Rule(
    id="TR422",
    name="warmup-without-content",
    severity="error",
    triton="refuses",
    what="An input of a warmup sample says not where its values come from.",
    why=_CORE,
    fix="set zero_data, random_data or input_data_file",
    wrong="dims: [ 3 ]",
    right="dims: [ 3 ] zero_data: true",
)
FILE = Rule(
    id="TR423",
    name="warmup-file",
    severity="error",
    triton="refuses",
    what="The file of a warmup sample is missing or too short.",
    why="Triton reads it from the folder `warmup` in the model's directory, as raw bytes of the tensor.",
    fix="add the file to the folder `warmup`, with all bytes of the tensor",
    wrong='input_data_file: "x.bin"   # there is no warmup/x.bin',
    right='input_data_file: "x.bin"   # warmup/x.bin has 12 bytes for dims [ 3 ] of TYPE_FP32',
)
INPUTS = Rule(
    id="TR424",
    name="warmup-inputs",
    severity="error",
    triton="refuses",
    what="A warmup sample leaves out an input of the model, or gives it another type.",
    why=_CORE + " A sample is a whole request.",
    fix="describe every input that is not optional, with its data type",
    wrong='inputs { key: "A" … }   # the model has A and B',
    right='inputs { key: "A" … }\ninputs { key: "B" … }',
)
_MOST_AXES = 64
RULES = (DIMS, DATA, FILE, INPUTS)


def check(model: Model) -> Iterator[Diagnostic]:
    """Check the warmup samples of a model; those of an ensemble are refused as a whole."""
    if model.completed.platform == "ensemble":
        return
    for index, sample in enumerate(model.config.model_warmup):
        if sample.batch_size:  # Triton skips a sample without a batch size
            yield from _inputs(model, index)
            for name, value in sorted(sample.inputs.items()):
                yield from _content(model, index, name=name, value=value)


def _inputs(model: Model, index: int) -> Iterator[Diagnostic]:
    sample = model.config.model_warmup[index]
    types = model.config.DESCRIPTOR.fields_by_name["input"].message_type.fields_by_name["data_type"].enum_type.values_by_number
    for each in model.config.input:
        given = sample.inputs.get(each.name)
        if given is None and not each.optional:
            yield model.at(INPUTS, "model_warmup", index, found=f"sample {sample.name!r} has no input {each.name!r}")
        elif given is not None and given.data_type != each.data_type:
            found = f"sample {sample.name!r}, input {each.name!r}: {types[given.data_type].name}"
            place = _place(model, index, each.name)
            yield model.at(INPUTS, *place, found=found, expected=types[each.data_type].name)
        elif given is not None and -1 not in given.dims and not _fits(list(given.dims), list(each.dims)):
            found = f"sample {sample.name!r}, input {each.name!r}: {list(given.dims)}"
            yield model.at(DIMS, *_place(model, index, each.name), found=found, expected=str(list(each.dims)))


def _fits(dims: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(dims) == len(wanted) and all(most in (-1, size) for size, most in zip(dims, wanted, strict=True))


def _content(model: Model, index: int, *, name: str, value: Any) -> Iterator[Diagnostic]:
    label = f"sample {model.config.model_warmup[index].name!r}, input {name!r}"
    place = _place(model, index, name)
    kind = value.WhichOneof("input_data_type")
    if kind is None:
        yield model.at(DATA, *place, found=f"{label}: no zero_data, random_data or input_data_file")
    if -1 in value.dims:
        yield model.at(DIMS, *place, found=f"{label}: {list(value.dims)}", expected="fixed sizes")
    elif kind == "input_data_file":
        path = model.directory / "warmup" / value.input_data_file
        there, needed = files.is_file(path), _bytes(value)
        if not there or files.size(path) < needed:
            found = f"{label}: " + (f"{files.size(path):,} bytes in" if there else "there is no file")
            expected = f"{needed:,} bytes" if needed else None
            yield model.at(FILE, *place, found=f"{found} warmup/{value.input_data_file}", expected=expected)


def _place(model: Model, index: int, key: str) -> tuple[str | int, ...]:
    place = ("model_warmup", index, "inputs")
    number = model.places.entry(place, key)
    return place if number is None else (*place, number)


def _bytes(value: Any) -> int:
    """Bytes of a tensor of a fixed shape; 0 for text, whose size varies, and for more axes than any backend has."""
    if len(value.dims) > _MOST_AXES:
        return 0
    types = value.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    try:
        return int(math.prod(value.dims)) * dtypes.by_triton(types[value.data_type].name).itemsize
    except KeyError:
        return 0
