"""The keyword arguments that describe a model which the caller passes as an object, and the specification made from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict  # Any: the caller's objects

from pydantic import BaseModel, ValidationError

from tritonize.core import arrays, named_arrays, names, suggestions
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import local
from tritonize.core.messages import usage
from tritonize.source import in_process, input_inference
from tritonize.spec import key_places, loader, schema, sentences
from tritonize.spec.builder import Settings
from tritonize.spec.schema import (
    DEFAULT_MAX_BATCH_SIZE,
    Axis,
    Input,
    KeepFp32,
    Model,
    Output,
    Quality,
    Samples,
    Span,
    Spec,
    Tolerance,
)
from tritonize.triton import config_section

Fields = Mapping[str, object]
"""A section of a spec as plain data: `{"count": 8, "seed": 1}` is the same as `Samples(count=8, seed=1)`."""


class ModelDescription(TypedDict, total=False):
    """What to say about a model that is passed as an object; all of it is optional. A spec says it itself."""

    example: object
    """Its inputs, from which names, types and shapes are inferred: a tensor, a tuple of tensors by position (then the inputs are
    called INPUT__0, INPUT__1, ...), or a dictionary of tensors by the names of the model's parameters. The first axis is the batch,
    unless `max_batch_size` is 0."""
    name: str
    """The model's name in the repository (its class)."""
    repository: Path | str
    """The model repository (`model_repository`)."""
    max_batch_size: int
    """Largest batch that Triton may form (2); 0 if the first axis is no batch."""
    inputs: Mapping[str, Input | Fields]
    axes: Mapping[str, Axis | Fields]
    tolerance: Tolerance | Fields
    """Of the outputs without one of their own: `{"rtol": 1e-4, "atol": 1e-3}`."""
    outputs: Mapping[str, Output | Fields]
    """In order, with tolerance and kind: `{"logits": {"kind": "classes", "tolerance": {"atol": 1e-3}}}`."""
    samples: Samples | Fields
    quality: Quality | Fields
    backend: str
    precision: str
    keep_fp32: KeepFp32 | Fields
    half_io: bool
    builder: Settings | Fields
    profiles: Sequence[Mapping[str, Span | Fields]]
    opset: int
    simplify: bool
    strategies: Sequence[str]
    training: str
    reference: str
    accept_branches: Sequence[str]
    operators: Sequence[Path | str]
    custom_op_libraries: Sequence[str]
    search_path: Sequence[Path | str]
    triton: Fields
    """Further fields of Triton's ModelConfig."""
    variants: Mapping[str, Fields]
    warmup: str
    warmup_files: Sequence[Path | str]
    template: Path | str
    config: Path | str
    deadline_s: float
    memory_mib: int


MODEL_FILES = (".pt", ".pth", ".pt2", ".ts", ".jit", ".torchscript", ".onnx")
OF_A_SOURCE = frozenset({"source", "python", "files", "ensemble", "kwargs", "weights"})
"""Fields of a model in a spec that say where it comes from; only a spec has them."""


@contextmanager
def specified(subject: object, description: Mapping[str, Any]) -> Iterator[Spec]:
    """Yield the validated specification. A model is stored in a temporary file for the duration of the block.

    Args:
        subject: a `Spec`, the path of a spec file, or a model: an object, a file, or `package.module:factory`.
        description: keys of `ModelDescription`; only with a model.

    Raises:
        UsageError: the subject is of another kind, or the description is invalid.
    """
    if in_process.is_model(subject):
        _require_known(description)
        with in_process.saved_model(subject, description.get("example")) as source:
            yield _sound(_described(source, type(subject).__name__, description))
        return
    if isinstance(subject, Path | str) and _is_model(str(subject)):
        _require_known(description)
        name = str(subject).rpartition(":")[2] if schema.is_factory(str(subject)) else Path(subject).stem
        yield _sound(_described(str(subject), names.model(name), description))
        return
    if not isinstance(subject, Spec | Path | str):
        raise UsageError.of(
            usage.NO_SUBJECT,
            expected="a Spec, the path of a spec or a model file, a torch.nn.Module (an object, not its class) or a "
            "torch.export.ExportedProgram",
            found=f"a {type(subject).__name__}",
        )
    if description:
        raise UsageError.of(usage.DESCRIPTION_WITH_SPEC, found=", ".join(description))
    yield (_sound(subject) if isinstance(subject, Spec) else loader.load(local(subject), check_triton=config_section.problems))


def place(subject: object) -> str:
    """Where the settings of the subject are written: the name of a spec's file, or `Python`."""
    return Path(subject).name if isinstance(subject, str | Path) and not _is_model(str(subject)) else "Python"


def _is_model(text: str) -> bool:
    """Whether a text names a model, by a file or a factory, and not a specification."""
    return schema.is_factory(text) or Path(text).suffix.lower() in MODEL_FILES


def _require_known(description: Mapping[str, Any]) -> None:
    known = list(ModelDescription.__annotations__)
    for name in description:
        if name not in known:
            meant = suggestions.meant(name, known)
            hint = f"did you mean {meant}?" if meant else f"known: {', '.join(known)}"
            raise UsageError.of(usage.INVALID_DESCRIPTION, found=name, details=[f"{name}: unknown keyword argument; {hint}"])


def _sound(specification: Spec) -> Spec:
    loader.require_sound(specification, check_triton=config_section.problems)
    return specification


def _described(source: str, kind: str, description: Mapping[str, Any]) -> Spec:
    """The specification of one model from the caller's process."""
    fields: dict[str, Any] = {"max_batch_size": DEFAULT_MAX_BATCH_SIZE, **description}
    name, repository = fields.pop("name", re.sub(r"[^A-Za-z0-9_-]", "_", kind)), fields.pop("repository", "model_repository")
    example = fields.pop("example", None)
    if example is not None and "inputs" not in fields:
        fields["inputs"] = _inputs_like(example, batched=bool(fields["max_batch_size"]))
    model = {"search_path": in_process.search_path(), **fields, "source": source}
    root: type[BaseModel] = Model
    try:
        described = Model.model_validate(model)
        root = Spec
        return Spec.model_validate({"schema": 1, "repository": repository, "models": {name: described}})
    except ValidationError as error:
        problems = [
            f"{'name' if where[:1] == ('models',) else key_places.dotted(where)}: {sentence}"
            for where, sentence in sentences.problems(error, root)
        ]
        raise UsageError.of(usage.INVALID_DESCRIPTION, details=problems) from None  # pydantic says the same, in its own words


def _inputs_like(example: object, *, batched: bool) -> dict[str, Input]:
    """Inputs with the types and shapes of an example. The range of an integer input is that of the example: it may hold indices."""
    found = dict(named_arrays.named(example, "example"))
    inputs = input_inference.inputs_like(
        [arrays.spec_of(name, array) for name, array in found.items()], batched=batched, where="example"
    )
    for name, array in found.items():
        if array.dtype.kind in "iu" and array.size and array.min() < array.max():  # a single value is not a range
            inputs[name] = inputs[name].model_copy(update={"range": (int(array.min()), int(array.max()))})
    return inputs
