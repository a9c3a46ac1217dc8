"""Check the rules for inputs that a request may leave out, inputs of text, and inputs of different lengths in one batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any  # Any: values of a spec, which protobuf checks

from tritonize.core import texts
from tritonize.spec import schema

Problem = tuple[tuple[str, ...], str]
BATCH_INPUTS = (
    "BATCH_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
    "BATCH_ITEM_SHAPE",
    "BATCH_ITEM_SHAPE_FLATTEN",
)
"""What Triton computes of the requests of a batch (`BatchInput.Kind` in model_config.proto)."""
SCATTERED = "BATCH_SCATTER_WITH_INPUT_SHAPE"


def problems(model: schema.Model) -> Iterator[Problem]:
    """Yield the problems of a model's inputs: the path of a field, and a sentence."""
    yield from _optional_problems(model)
    yield from _text_problems(model)
    yield from _ragged_problems(model)


def _optional_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """Check the inputs that a request may leave out, which ONNX files without batching and Python steps support."""
    optional = [name for name, tensor in model.inputs.items() if tensor.optional]
    if optional and len(optional) == len(model.inputs):
        yield ("inputs",), "at least one input must not be optional: Triton executes no request without inputs"
    for name in optional:
        where = ("inputs", name, "optional")
        if model.ensemble:
            yield where, "does not apply to an ensemble: Triton passes what a step leaves out only if nothing else writes it"
        elif model.python is None and not model.source.endswith(".onnx"):
            yield where, "PyTorch's exporters make every input required; only an ONNX file with a value for it has optional inputs"
        elif model.python is None and model.max_batch_size:
            yield where, "Triton's ONNX Runtime backend has no optional inputs with batching; set max_batch_size to 0"


def _text_problems(model: schema.Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """Check inputs of type `string`, which ONNX files, Python steps and ensembles support."""
    drawn = not model.samples.patterns and not model.samples.function
    for name, tensor in model.inputs.items():
        if tensor.dtype != "string":
            continue
        if model.is_exported and not model.source.endswith(".onnx"):
            yield ("inputs", name, "dtype"), "PyTorch has no string tensors; describe the numeric tensor that the model takes"
        elif drawn and name not in model.samples.texts:
            yield (
                ("samples", "texts"),
                f'input {name!r} takes text, so samples need texts: --text {name}="good morning" on the command line, '
                f"samples: {{texts: {{{name}: [good morning, good night]}}}} in a spec, or sample files",
            )
        if tensor.range or tensor.distribution:
            yield (
                ("inputs", name, "range" if tensor.range else "distribution"),
                "applies to numbers only; for an input of text, use samples.texts",
            )
    for name, given in model.samples.texts.items():
        if model.inputs and (name not in model.inputs or model.inputs[name].dtype != "string"):
            yield ("samples", "texts", name), "is not an input of type string"
        if why := unusable_text(model, given):
            yield ("samples", "texts", name), why
    if model.samples.texts and not drawn:
        yield ("samples", "texts"), "applies to generated samples only; samples.files and samples.function provide their own texts"


def unusable_text(model: schema.Model, given: list[str]) -> str | None:
    """Why a model cannot get texts: they are not made of bytes, or ONNX Runtime would not take the bytes."""
    if any(not texts.is_bytes(each) for each in given):
        return "a text contains a surrogate, which is no character and stands for no byte"
    if model.source.endswith(".onnx") and any(not texts.is_utf8(each) for each in given):
        return "a text has bytes that are not UTF-8, and the strings of an ONNX file are UTF-8"
    return None


def _ragged_problems(model: schema.Model) -> Iterator[Problem]:
    """Check ragged inputs, and the tensors that Triton makes of a batch."""
    made: list[tuple[str, Any]] = [(key, model.triton[key]) for key in ("batch_input", "batch_output") if key in model.triton]
    ragged = [name for name, tensor in model.inputs.items() if tensor.ragged]
    if not ragged:
        for key, _ in made:
            yield ("triton", key), "needs an input with ragged: true; without one, every request has its own batch axis"
        return
    for name in ragged:
        where = ("inputs", name, "ragged")
        if not (model.is_exported and model.source.endswith(".onnx") and model.backend == "onnxruntime"):
            yield (
                where,
                "needs an ONNX file as source, in which this input has one axis for the elements of all requests",
            )
        elif not model.max_batch_size:
            yield where, "needs batching: set max_batch_size to the most requests of a batch"
        elif model.inputs[name].optional:
            yield where, "an optional input cannot be ragged"
        elif len(model.inputs[name].shape) < 2:
            yield where, "needs the shape of one request: the batch axis, and one axis or more of its own"
    for key, entries in made:
        kinds = BATCH_INPUTS if key == "batch_input" else (SCATTERED,)
        for entry in entries if isinstance(entries, list) else [entries]:
            yield from ((("triton", key), why) for why in _wrong(model, entry, kinds))


def _wrong(model: schema.Model, entry: Any, kinds: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with an entry of batch_input or batch_output; protobuf checks its fields later."""
    if not isinstance(entry, dict):
        yield f"expected kind, target_name and source_input; found {entry!r}"
        return
    kind = entry.get("kind", kinds[0])
    if kind not in kinds:
        yield f"unknown kind {kind!r}; known: {', '.join(kinds)}"
    for source in named(entry, "source_input") or [""]:
        if source not in model.inputs:
            yield f"source_input must name an input; found {source or 'none'}"
    if len(named(entry, "target_name")) != 1:
        yield "target_name must have one name"


def named(entry: dict[str, Any], key: str) -> list[str]:
    """The names in a field of batch_input or batch_output, which may be one text."""
    found = entry.get(key, [])
    return [found] if isinstance(found, str) else list(found)
