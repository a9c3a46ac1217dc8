"""Complete what a spec leaves out about a model's inputs: from its file, or from the user's function of samples.

A `.pt2` and an `.onnx` file say it all but for the ranges of dynamic axes. TorchScript and modules keep names alone, so a
function that draws samples, or a description, is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from tritonize.core import dtypes
from tritonize.core.artifacts import Inspection, Source, TensorSpec
from tritonize.core.errors import UsageError, WorkerError
from tritonize.core.messages import samples as samples_wording
from tritonize.process import workers
from tritonize.source import inspection, tasks
from tritonize.spec import rules, schema

BATCH = "batch"
"""Name of the batch axis where the file has none that fits."""
UNNAMED = "?"
"""What an inspection calls a dynamic size that the file gives no name."""


def complete(model: schema.Model, source: Source, work: Path) -> schema.Model:
    """The model with its inputs described, and the samples of its function in files.

    Raises:
        UsageError: the inputs cannot be read off; the text says which to describe and how.
    """
    if model.samples.function:
        return _drawn(model, work / "drawn")
    if model.inputs:
        return model
    found = inspection.inspect(
        source,
        work / "inspect",
        kwargs=model.kwargs,
        search_path=[path.resolve() for path in model.search_path],
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
    )
    if source.kind not in ("exported_program", "onnx"):
        raise _ask_for(source, found)
    return _described(model, source, found)


def _drawn(model: schema.Model, folder: Path) -> schema.Model:
    """The model with the samples that its function draws, and inputs like them."""
    folder.mkdir(parents=True, exist_ok=True)
    assert model.samples.function is not None
    request = tasks.DrawRequest(
        function=model.samples.function,
        count=max(model.samples.count, 2 if model.max_batch_size > 1 else 1),
        seed=model.samples.seed,
        directory=folder / "samples",
    )
    try:
        answer = workers.run_worker(
            tasks.DRAW,
            request,
            directory=folder,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        ).value
    except WorkerError as error:
        raise UsageError(
            "The function of samples ended its process.", where=model.samples.function, found=error.what, details=error.details
        ) from error
    updates: dict[str, object] = {
        "samples": model.samples.model_copy(update={"files": [str(folder / "samples" / "*")]}),
    }
    if not model.inputs:
        if answer.varying:
            raise UsageError(
                "The samples of the function differ in shape, so the inputs cannot be read off them.",
                where=model.samples.function,
                found=", ".join(answer.varying),
                next_step="describe the inputs in the spec, with a name for every axis that varies and its range under axes",
            )
        updates["inputs"] = like(answer.tensors, batched=bool(model.max_batch_size), where=str(model.samples.function))
    return _sound(model.model_copy(update=updates), str(model.samples.function))


def _sound(model: schema.Model, where: str) -> schema.Model:
    """The model, whose completed inputs keep the rules of a spec.

    Raises:
        UsageError: it lists what they break.
    """
    problems = [(place, text) for place, text in rules.problems(model) if place[:2] != ("samples",)]
    found = [f"{'.'.join(place)}: {text}" for place, text in problems]
    if found and all(place[:2] == ("samples", "texts") for place, _ in problems):
        raise UsageError.of(samples_wording.TEXTS, where=where, details=found)
    if found:
        raise UsageError(
            "The inputs that were read off cannot be used.",
            where=where,
            details=found,
            next_step="describe the inputs, and the axes that are dynamic, in a spec",
        )
    return model


def _inputs(tensors: Iterable[TensorSpec], where: str) -> dict[str, schema.Input]:
    """Tensors as a spec describes inputs.

    Raises:
        UsageError: a spec may not have such a name, type or size.
    """
    plain = {tensor.name: {"dtype": tensor.dtype, "shape": list(tensor.shape)} for tensor in tensors}
    try:
        return dict(schema.Model.model_validate({"source": "-", "inputs": plain}).inputs)
    except ValidationError as error:
        details = [
            f"{'.'.join(str(part) for part in each['loc'][1:] if part != '[key]')}: {each['msg']}" for each in error.errors()
        ]
        raise UsageError("The inputs that were read off cannot be used.", where=where, details=details) from error


def like(tensors: Sequence[TensorSpec], *, batched: bool, where: str) -> dict[str, schema.Input]:
    """Inputs of the shapes of a sample; with batching its first axis is the batch.

    Raises:
        UsageError: there is no axis for the batch.
    """
    for tensor in tensors:
        if batched and not tensor.shape:
            raise UsageError(
                f"Input {tensor.name!r} has no axis for the batch.", where=where, next_step="set max_batch_size to 0 (--no-batch)"
            )
    return _inputs((replace(tensor, shape=(BATCH, *tensor.shape[1:])) if batched else tensor for tensor in tensors), where)


def _described(model: schema.Model, source: Source, found: Inspection) -> schema.Model:
    """The inputs as the file has them."""
    unknown = [tensor for tensor in found.inputs if tensor.dtype not in {each.name for each in dtypes.TABLE}]
    if unknown or not found.inputs:
        raise _ask_for(source, found)
    first = {tensor.shape[:1] for tensor in found.inputs}
    batched = bool(model.max_batch_size)
    if batched and (len(first) != 1 or not all(shape and isinstance(shape[0], str) for shape in first)):
        raise UsageError(
            "The file fixes the first axis of its inputs, or has another one in each, so it cannot be batched.",
            where=Path(source.location).name,
            found=", ".join(_text(tensor) for tensor in found.inputs),
            next_step="set max_batch_size to 0 (--no-batch on the command line), or save it with a dynamic first axis",
        )
    named = _named_axes(found.inputs, batched=batched)
    names = _axis_names(named, batched=batched)
    where = Path(source.location).name
    inputs = _inputs((_renamed(tensor, names) for tensor in named), where)
    ranges = cast("Mapping[str, tuple[int, int | None]]", found.details.get("ranges", {}))
    axes = dict(model.axes)
    for symbol, name in names.items():
        low, high = ranges.get(symbol, (1, None))
        if name != BATCH and name not in axes and high is not None:
            axes[name] = schema.Axis(min=max(1, low), max=high)
    open_axes = sorted(set(names.values()) - set(axes) - {BATCH if batched else ""})
    if open_axes:
        raise UsageError(
            "The file does not say how large its dynamic axes may become.",
            where=Path(source.location).name,
            found=", ".join(_text(tensor) for tensor in found.inputs),
            next_step="give them a range in the spec: axes: {"
            + ", ".join(f"{name}: {{min: .., max: ..}}" for name in open_axes)
            + "}",
        )
    return _sound(model.model_copy(update={"inputs": inputs, "axes": axes}), where)


def _named_axes(tensors: Sequence[TensorSpec], *, batched: bool) -> list[TensorSpec]:
    """Sizes without a name get one each, since nothing says that two of them are the same; a batch is one for all inputs."""

    def name(tensor: TensorSpec, position: int, size: int | str) -> int | str:
        return f"{UNNAMED}{tensor.name}{position}" if size == UNNAMED and (position or not batched) else size

    return [replace(each, shape=tuple(name(each, place, size) for place, size in enumerate(each.shape))) for each in tensors]


def _renamed(tensor: TensorSpec, names: Mapping[str, str]) -> TensorSpec:
    return replace(tensor, shape=tuple(names[size] if isinstance(size, str) else size for size in tensor.shape))


def _axis_names(tensors: Sequence[TensorSpec], *, batched: bool) -> dict[str, str]:
    """A name for every symbolic size of the file."""
    names: dict[str, str] = {}
    for tensor in tensors:
        for position, size in enumerate(tensor.shape):
            if isinstance(size, str) and size not in names:
                free = (f"axis_{number}" for number in itertools.count(1) if f"axis_{number}" not in names.values())
                # The file's own `batch` may be another axis than the first.
                own = size if size.isidentifier() and not (batched and size == BATCH) else next(free)
                names[size] = BATCH if batched and position == 0 else own
    return names


def _ask_for(source: Source, found: Inspection) -> UsageError:
    """The error that names the inputs and says how to describe them."""
    wanted = [tensor.name for tensor in found.inputs]
    known = {each.name for each in dtypes.TABLE}
    types = [tensor.dtype if tensor.dtype in known else "fp32" for tensor in found.inputs]
    flags = " ".join(f"--input {name}:{dtype}:1x…" for name, dtype in zip(wanted[:3], types, strict=False))
    flags = flags or "--input INPUT__0:fp32:1x…"
    steps = f"give type and shape of each, such as {flags}; or a function that draws samples, --sample-function module:function"
    if source.kind == "module":
        steps = "give example=, a tensor, a tuple or a dictionary of them; or inputs= as in a spec"
    return UsageError(
        "The model's inputs are not described, and the model does not say them.",
        where=source.location if source.kind == "factory" else Path(source.location).name,
        expected=", ".join(_text(tensor) for tensor in found.inputs) or None,
        next_step=steps,
    )


def _text(tensor: TensorSpec) -> str:
    shape = "" if tensor.shape == ("?",) else f" {list(tensor.shape)}"
    return f"{tensor.name} ({tensor.dtype}{shape})"
