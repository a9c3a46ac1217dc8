"""`tritonize init`: a specification with comments, from what a model says about itself."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tritonize.core import errors, names, printable, served_shape, temporary
from tritonize.core.artifacts import Inspection, Source, TensorSpec
from tritonize.core.errors import RepositoryError, UsageError
from tritonize.core.messages import specification as wording
from tritonize.source import file_inputs, identification, input_inference, inspection
from tritonize.spec import schema

GUESS = schema.Axis(min=16, opt=32, max=64)
"""Sizes of a dynamic axis that no file states."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
_COLUMN = 42
"""Column of the comments."""
_TEXTS = ("good morning", "good night")


@dataclass(frozen=True, kw_only=True)
class Starter:
    """A specification as text, and what in it is not the model's own."""

    path: Path
    """The file that it is for."""
    text: str
    guessed: tuple[str, ...]
    """Axes and inputs whose sizes are a guess."""
    missing: tuple[str, ...]
    """Inputs that have to be described before the specification is valid."""


def of(source: str, path: Path) -> Starter:
    """The specification of one model.

    Args:
        source: a model file or `package.module:factory`.
        path: the file that it is for, since paths in it are relative to its folder.

    Raises:
        UsageError, ExportError, MissingError: the model does not exist or cannot be loaded.
    """
    model = schema.Model.model_validate({"source": source, "max_batch_size": schema.DEFAULT_MAX_BATCH_SIZE})
    identified = identification.identify(model)
    if identified.kind != "onnx":
        errors.require("torch", extra="torch")
    with temporary.folder() as folder:
        inspected = inspection.inspect(identified, folder, search_path=[Path.cwd()])
    model = _with_texts(model, inspected)
    missing: tuple[str, ...] = ()
    likely = cast("Sequence[str]", inspected.details.get("likely_inputs", ()))
    try:
        model = input_inference.from_inspection(model, identified, inspected, default_batch=True, unlimited=GUESS)
    except UsageError:
        if identified.kind in ("exported_program", "onnx"):
            raise
        missing = () if likely else tuple(tensor.name for tensor in inspected.inputs) or ("INPUT__0",)
        model = model.model_copy(update={"inputs": _likely(likely)})
    guessed = tuple(f"axis {name}" for name, axis in model.axes.items() if axis is GUESS)
    name = names.model(source.rpartition(":")[2] if model.is_factory else Path(source).stem)
    lines = _lines(name, model, _Facts(source=identified, inspected=inspected, missing=missing, likely=bool(likely), path=path))
    inputs = tuple(f"input {each}" for each in model.inputs) if likely else ()
    return Starter(path=path, text="\n".join(lines) + "\n", guessed=(*guessed, *inputs), missing=missing)


def write(source: str, output: Path | None) -> Starter:
    """Write the specification of one model into a new file, by default `<model>.yaml`.

    Raises:
        RepositoryError: the file exists, or cannot be written. Nothing is overwritten.
        Errors of `of`.
    """
    default = Path(f"{names.model(source.rpartition(':')[2] if schema.is_factory(source) else Path(source).stem)}.yaml")
    path = output or default
    if path.exists() or path.is_symlink():
        raise RepositoryError.of(wording.SPEC_EXISTS, where=str(path))
    made = of(source, path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(made.text)
    except FileExistsError as error:
        raise RepositoryError.of(wording.SPEC_EXISTS, where=str(path)) from error
    except OSError as error:
        raise RepositoryError.of(wording.SPEC_NOT_WRITTEN, where=str(path), found=error.strerror or str(error)) from error
    return made


def _with_texts(model: schema.Model, inspected: Inspection) -> schema.Model:
    """The model with texts for its inputs of text, which cannot be drawn."""
    texts = {tensor.name: list(_TEXTS) for tensor in inspected.inputs if tensor.dtype == "string"}
    return model.model_copy(update={"samples": model.samples.model_copy(update={"texts": texts})}) if texts else model


def _likely(flags: Sequence[str]) -> dict[str, schema.Input]:
    """The inputs that the first layers of the model say; see `source.worker.first_layers`."""
    found: dict[str, schema.Input] = {}
    for flag in flags:
        name, dtype, shape = flag.rsplit(":", 2)
        sizes = [input_inference.BATCH, *map(int, shape.split("x")[1:])]
        found[name] = schema.Input.model_validate({"dtype": dtype, "shape": sizes})
    return found


@dataclass(frozen=True, kw_only=True)
class _Facts:
    source: Source
    inspected: Inspection
    missing: tuple[str, ...]
    likely: bool
    path: Path

    @property
    def location(self) -> str:
        """The source as the file has it: a path is relative to the file's folder."""
        if self.source.kind == "factory" or Path(self.source.location).is_absolute():
            return self.source.location
        return os.path.relpath(self.source.location, self.path.parent)


def _lines(name: str, model: schema.Model, facts: _Facts) -> Iterator[str]:
    inspected = facts.inspected
    opset = f", opset {inspected.opset}" if inspected.opset else ""
    yield f"# Written by `tritonize init` from {printable.line(facts.location)}; docs/how-to/write-a-spec.md has more fields."
    yield "schema: 1"
    yield _said("repository: model_repository", "the folder that versions are published in")
    yield _said('# target: {triton: "26.06"}', "the release of Triton that serves it")
    yield "models:"
    yield f"  {_word(name)}:"
    yield _said(
        f"    source: {_word(facts.location, path=True)}",
        f"{inspected.kind.replace('_', ' ')}{opset}, {inspected.parameters:,} parameters",
    )
    if facts.source.kind == "factory":
        folder = os.path.relpath(Path.cwd(), facts.path.parent)
        yield _said(f"    search_path: [{_word(folder, path=True)}]", "the folders that its module is imported from")
        yield _said("    # kwargs: {depth: 18}", "arguments of the factory")
        yield _said("    # weights: weights.safetensors", "a state dict to load into the module")
    yield from _inputs(model, facts)
    yield from _axes(model)
    yield from _outputs(facts)
    yield _said("    tolerance: {rtol: 1.0e-4, atol: 9.0e-4}", "of every output: the defaults")
    batch = "the largest batch that Triton forms" if model.max_batch_size else "no batches: the first axis is fixed"
    yield _said(f"    max_batch_size: {model.max_batch_size}", batch)
    yield _said("    precision: fp32", "or fp16, bf16")
    yield _said("    backend: onnxruntime", "or tensorrt, tensorrt_rtx, which serve a plan")
    yield _samples(model)
    if model.max_batch_size:
        yield _said("    triton:", "any field of Triton's ModelConfig")
        yield "      dynamic_batching: {max_queue_delay_microseconds: 500}"
    else:
        yield _said("    # triton: {instance_group: [{count: 2}]}", "any field of Triton's ModelConfig")


def _inputs(model: schema.Model, facts: _Facts) -> Iterator[str]:
    if facts.missing:
        yield _said("    inputs:", "the model does not say them: describe each, and remove the #")
        yield from (f"      # {_word(each)}: {{dtype: fp32, shape: [batch, 3, 224, 224]}}" for each in facts.missing)
        return
    yield _said("    inputs:", "a name in a shape is a dynamic axis")
    for name, tensor in model.inputs.items():
        shape = ", ".join(str(size) if isinstance(size, int) else _word(size) for size in tensor.shape)
        limits = f", range: [{tensor.range[0]:g}, {tensor.range[1]:g}]" if tensor.range else ""
        text = f"      {_word(name)}: {{dtype: {tensor.dtype}, shape: [{shape}]{limits}}}"
        served = served_shape.note(tensor.shape, batched=bool(model.max_batch_size))
        if facts.likely:
            yield _said(text, "a guess from the first layer: write your own sizes")
        elif limits and tensor.dtype in file_inputs.INTEGERS:
            yield _said(text, "the rows that the model selects from")
        elif tensor.dtype in file_inputs.INTEGERS:
            yield _said(text, "samples are 0 to 9; for others: range: [0, 9]")
        elif served:
            yield _said(text, f"{served}: Triton has no empty dims")
        else:
            yield text


def _axes(model: schema.Model) -> Iterator[str]:
    if model.axes:
        yield _said("    axes:", "the smallest, usual and largest size of each dynamic axis")
    for name, axis in model.axes.items():
        text = f"      {_word(name)}: {{min: {axis.min}, opt: {axis.opt or axis.max}, max: {axis.max}}}"
        yield _said(text, "a guess: the file does not state the sizes") if axis is GUESS else text


def _outputs(facts: _Facts) -> Iterator[str]:
    outputs = facts.inspected.outputs
    if facts.source.kind not in ("onnx", "exported_program") or not outputs:
        yield "    # outputs: {probabilities: {labels: labels.txt}}   # names in order; default: OUTPUT__0, …"
        return
    yield _said("    outputs:", "in order")
    for tensor in outputs:
        yield _said(f"      {_word(tensor.name)}: {{}}", _described(tensor))


def _described(tensor: TensorSpec) -> str:
    return f"{tensor.dtype} [{', '.join(map(str, tensor.shape))}]"


def _samples(model: schema.Model) -> str:
    texts = model.samples.texts
    more = f", texts: {_mapping(texts)}" if texts else ""
    return _said(f"    samples: {{count: {model.samples.count}, seed: 0{more}}}", 'real ones prove more: {files: "samples/*.npz"}')


def _mapping(texts: Mapping[str, Sequence[str]]) -> str:
    return "{" + ", ".join(f"{_word(name)}: [{', '.join(each)}]" for name, each in texts.items()) + "}"


def _said(text: str, comment: str) -> str:
    """A line with a comment, which starts at the same column where the text leaves room."""
    return f"{text.ljust(_COLUMN - 1)} # {comment}"


def _word(text: str, *, path: bool = False) -> str:
    """A string in YAML: as it is where it cannot be read as anything else, else in quotes."""
    plain = re.fullmatch(r"[A-Za-z_.][A-Za-z0-9_./:-]*", text) if path else _PLAIN.fullmatch(text)
    return text if plain and text.lower() not in _WORDS and not text.endswith(":") else json.dumps(text, ensure_ascii=False)
