"""Check the rules for models that are not exported: a step in Python, and an ensemble by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tritonize.core.errors import UsageError
from tritonize.core.messages import steps as wording
from tritonize.spec import schema

Problem = tuple[tuple[str | int, ...], str]
SERVED_FILE = "model.py"
"""The file that Triton's Python backend loads; it calls the user's function."""
_OF_EXPORTS = (
    "operators",
    "custom_op_libraries",
    "backend",
    "precision",
    "keep_fp32",
    "half_io",
    "builder",
    "profiles",
    "opset",
    "simplify",
    "strategies",
    "accept_branches",
    "config",
)
"""Fields about the export of a source."""
_OF_PYTORCH = ("kwargs", "weights", "training", "reference")
"""Fields about a PyTorch model."""


def problems(model: schema.Model) -> Iterator[Problem]:
    """Yield the problems of one model: the path of a field inside the model, and a sentence."""
    if model.python and model.ensemble:
        yield ("python",), "a model is a Python step or an ensemble, not both"
    elif model.python:
        yield from _python(model)
    elif model.ensemble:
        yield from _ensemble(model)
    elif not model.source:
        yield ("source",), "this key is required, unless the model is a Python step (python) or an ensemble (ensemble)"
    if model.files and not model.python:
        yield ("files",), "needs a Python step (python: file.py:function)"
    if not model.python:
        for name, output in model.outputs.items():
            for key in ("dtype", "shape"):
                if getattr(output, key) is not None:
                    yield ("outputs", name, key), "is for a Python step only; tritonize finds it out for this model"


def require_exported(name: str, model: schema.Model) -> None:
    """Fail for a model that has no export.

    Raises:
        UsageError: it is a Python step or an ensemble.
    """
    if not model.is_exported:
        kind = "a Python step" if model.python else "an ensemble"
        raise UsageError.of(wording.NOTHING_EXPORTED, where=f"models.{name}", name=name, kind=kind)


def _unused(model: schema.Model, fields: tuple[str, ...], what: str) -> Iterator[Problem]:
    """Yield the fields that have another value than their default and do not apply."""
    for name in fields:
        if getattr(model, name) != schema.Model.model_fields[name].get_default(call_default_factory=True):
            yield (name,), f"does not apply to {what}"


def _python(model: schema.Model) -> Iterator[Problem]:
    yield from _unused(model, (*_OF_EXPORTS, *_OF_PYTORCH), "a Python step, which is served as it is")
    if model.source:
        yield ("source",), "a Python step has no source: its reference is the function itself"
    if not model.inputs:
        yield ("inputs",), "a Python step needs a description of its inputs, with dtype and shape"
    if not model.outputs:
        yield ("outputs",), "a Python step needs a description of its outputs, with dtype and shape"
    for name, output in model.outputs.items():
        if output.dtype is None or output.shape is None:
            missing = " and ".join(key for key in ("dtype", "shape") if getattr(output, key) is None)
            yield ("outputs", name), f"a Python step needs the {missing} of its outputs"
        elif model.batch_axis and (output.shape[:1] != [model.batch_axis] or model.batch_axis in output.shape[1:]):
            yield ("outputs", name, "shape"), f"the first axis of every output must be {model.batch_axis!r}, and no other axis"
        if name in model.inputs:
            yield ("outputs", name), "an output may not have the name of an input"
    for kind, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        for name, tensor in tensors.items():
            if tensor.dtype == "bf16":
                yield (kind, name, "dtype"), "NumPy has no bf16, so a Python step cannot have it; use fp32"
            if tensor.shape == []:
                yield (kind, name, "shape"), "Triton has no tensors without axes; write [1]"
    yield from _files(model)


def _files(model: schema.Model) -> Iterator[Problem]:
    """Check the names under which the files will lie side by side in the version's folder."""
    seen: dict[str, Path] = {}
    for number, path in enumerate(model.python_files):
        where: tuple[str | int, ...] = ("files", number - 1) if number else ("python",)
        if path.name in (SERVED_FILE, "evidence", "__pycache__"):
            yield where, f"the name {path.name!r} is taken in a version's folder; rename the file"
        elif path.name in seen:
            yield where, f"{path} and {seen[path.name]} have the same name, and a version's folder holds both"
        seen.setdefault(path.name, path)


def missing_files(model: schema.Model, folder: Path) -> Iterator[Problem]:
    """Yield the files of a Python step that do not exist; relative paths are relative to `folder`."""
    for number, path in enumerate(model.python_files):
        if not (folder / path).is_file():
            yield ("files", number - 1) if number else ("python",), f"no such file: {folder / path}"


def _ensemble(model: schema.Model) -> Iterator[Problem]:
    yield from _unused(model, _OF_EXPORTS, "an ensemble, which is not exported; write it at a step's model")
    if not model.source:
        yield ("source",), "an ensemble needs a source: the PyTorch model that the served whole is compared with"
    if not model.inputs:
        yield ("inputs",), "an ensemble needs a description of its inputs, with dtype and shape"
    if not model.outputs:
        yield ("outputs",), "an ensemble needs the names of its outputs, in the order in which its source returns them"
    if "ensemble_scheduling" in model.triton:
        yield ("triton", "ensemble_scheduling"), "follows from ensemble; use only one of them"
    if model.quality.nan == "strict":
        yield ("quality", "nan"), "does not apply to an ensemble; write it at a step's model"
