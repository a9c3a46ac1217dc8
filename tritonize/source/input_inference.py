"""Infer the inputs that a spec leaves out, from the model file or from the user's sample function.

A `.pt2` or `.onnx` file states everything but, for ONNX, the ranges of dynamic axes. TorchScript files and modules state only
names; for them the user provides a sample function or a description.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from tritonize.core import dtypes, suggestions
from tritonize.core.artifacts import Inspection, Source, TensorSpec, from_json
from tritonize.core.errors import UsageError, WorkerError
from tritonize.core.messages import samples as wording
from tritonize.process import workers
from tritonize.source import file_inputs, inspection, tasks, unknown_inputs
from tritonize.spec import rules, schema

BATCH = "batch"
"""Name of the batch axis."""
UNNAMED = "?"
"""Name of a dynamic axis in an inspection if the file does not name it."""


def complete(model: schema.Model, source: Source, work: Path, *, default_batch: bool = False) -> schema.Model:
    """The model with its inputs described, and with the samples of its sample function written to files.

    Args:
        model: the model's spec.
        source: the model.
        work: a folder for temporary files.
        default_batch: whether `max_batch_size` is a default, which nobody asked for. It is then 0 if the file fixes the first axis
            of its inputs, and follows the range of the batch axis if there is one.

    Raises:
        UsageError: the inputs cannot be inferred; the text says which ones to describe and how.
    """
    if model.samples.function:
        return file_inputs.checked(_from_function(model, work / "drawn"), source)
    if model.inputs:
        return file_inputs.checked(model, source)
    inspected = inspection.inspect(
        source,
        work / "inspect",
        kwargs=model.kwargs,
        search_path=[path.resolve() for path in model.search_path],
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
    )
    return from_inspection(model, source, inspected, default_batch=default_batch)


def from_inspection(
    model: schema.Model,
    source: Source,
    inspected: Inspection,
    *,
    default_batch: bool = False,
    unlimited: schema.Axis | None = None,
) -> schema.Model:
    """The model with the inputs that an inspection of its source found.

    Args:
        model: the model's spec.
        source: the model.
        inspected: what it says about itself.
        default_batch: see `complete`.
        unlimited: the range of dynamic axes whose largest size the file does not state; an error without one.

    Raises:
        UsageError: see `complete`.
    """
    if source.kind == "factory" and inspected.details.get("example"):
        return _from_example(model, source, inspected)
    if source.kind not in ("exported_program", "onnx"):
        raise unknown_inputs.error(source, inspected)
    if default_batch and not _has_batch_axis(inspected):
        model = model.model_copy(update={"max_batch_size": 0})
    found = _from_file(model, source, inspected, default_batch=default_batch, unlimited=unlimited)
    return file_inputs.checked(found, source)


def _from_function(model: schema.Model, folder: Path) -> schema.Model:
    """Call the sample function in a worker. Without inputs in the spec, the samples' shapes describe them."""
    folder.mkdir(parents=True, exist_ok=True)
    assert model.samples.function is not None
    request = tasks.DrawRequest(
        function=model.samples.function,
        count=max(model.samples.count, 2 if model.largest_request > 1 else 1),
        seed=model.samples.seed,
        directory=folder / "samples",
    )
    try:
        drawn = workers.run_worker(
            tasks.DRAW,
            request,
            directory=folder,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        ).value
    except WorkerError as error:
        raise UsageError.of(
            wording.FUNCTION_ENDED, where=model.samples.function, found=error.what, details=error.details
        ) from error
    updates: dict[str, object] = {
        "samples": model.samples.model_copy(update={"files": [str(folder / "samples" / "*")]}),
    }
    if not model.inputs:
        if drawn.varying:
            raise UsageError.of(wording.FUNCTION_SHAPES, where=model.samples.function, found=", ".join(drawn.varying))
        updates["inputs"] = inputs_like(drawn.tensors, batched=bool(model.max_batch_size), where=str(model.samples.function))
    return _checked(model.model_copy(update=updates), str(model.samples.function))


def _checked(model: schema.Model, where: str) -> schema.Model:
    """The model, checked against the rules of a spec.

    Raises:
        UsageError: it lists the rules that the inferred inputs violate.
    """
    problems = [(place, text) for place, text in rules.problems(model) if place[:2] != ("samples",)]
    lines = [f"{'.'.join(map(str, place))}: {text}" for place, text in problems]
    if lines and all(place[:2] == ("samples", "texts") for place, _ in problems):
        raise UsageError.of(wording.TEXTS, where=where, details=lines)
    if lines:
        raise UsageError.of(wording.INFERRED_INVALID, where=where, details=lines)
    return model


def _inputs(tensors: Iterable[TensorSpec], where: str) -> dict[str, schema.Input]:
    """Tensors as inputs of a spec.

    Raises:
        UsageError: a name, type or size is not allowed in a spec.
    """
    plain = {tensor.name: {"dtype": tensor.dtype, "shape": list(tensor.shape)} for tensor in tensors}
    try:
        return dict(schema.Model.model_validate({"source": "-", "inputs": plain}).inputs)
    except ValidationError as error:
        details = [
            f"{'.'.join(str(part) for part in problem['loc'][1:] if part != '[key]')}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise UsageError.of(wording.INFERRED_INVALID, where=where, details=details) from error


def inputs_like(tensors: Sequence[TensorSpec], *, batched: bool, where: str) -> dict[str, schema.Input]:
    """Inputs with the names, types and shapes of a sample.

    Args:
        tensors: the tensors of the sample.
        batched: whether the first axis is the batch axis.
        where: the origin of the sample, for errors.

    Raises:
        UsageError: a tensor has no axis for the batch, or a name, type or size is not allowed in a spec.
    """
    for tensor in tensors:
        if batched and not tensor.shape:
            raise UsageError.of(wording.NO_BATCH_AXIS, where=where, name=tensor.name)
    return _inputs((replace(tensor, shape=(BATCH, *tensor.shape[1:])) if batched else tensor for tensor in tensors), where)


def _from_file(
    model: schema.Model, source: Source, inspected: Inspection, *, default_batch: bool, unlimited: schema.Axis | None
) -> schema.Model:
    """The model with the inputs, dynamic axes and ranges that its file states.

    Raises:
        UsageError: the file does not state inputs with types of a spec, cannot be batched, or does not limit a dynamic axis.
    """
    unknown = [tensor for tensor in inspected.inputs if tensor.dtype not in {known.name for known in dtypes.TABLE}]
    if unknown or not inspected.inputs:
        raise unknown_inputs.error(source, inspected)
    where = Path(source.location).name
    described = ", ".join(unknown_inputs.described(tensor) for tensor in inspected.inputs)
    batched = bool(model.max_batch_size)
    if batched and not _has_batch_axis(inspected):
        raise UsageError.of(wording.FIRST_AXIS_FIXED, where=where, found=described)
    tensors = _with_named_axes(inspected.inputs, batched=batched)
    names = _axis_names(tensors, batched=batched)
    inputs = _inputs((_with_axis_names(tensor, names) for tensor in tensors), where)
    ranges = cast("Mapping[str, tuple[int, int | None]]", inspected.details.get("ranges", {}))
    axes = {names.get(name, name): axis for name, axis in model.axes.items()}  # the file has a name of its own for the batch
    if default_batch and batched and BATCH in axes:
        model = model.model_copy(update={"max_batch_size": axes[BATCH].max})
    for symbol, name in names.items():
        low, high = ranges.get(symbol, (1, None))
        if name != BATCH and name not in axes and high is not None:
            axes[name] = schema.Axis(min=max(1, low), max=high)
    without = sorted(set(names.values()) - set(axes) - {BATCH if batched else ""})
    _require_known(model.axes, names, without, where=where)
    if unlimited is not None:
        axes |= dict.fromkeys(without, unlimited)
    elif without:
        written = ", ".join(f"{name}: {{min: .., max: ..}}" for name in without)
        flags = " ".join(f"--axis {name}=64:224:512" for name in without)
        raise UsageError.of(
            wording.AXES_WITHOUT_RANGE,
            where=where,
            found=described,
            missing=", ".join(without),
            axes=written,
            flags=flags,
            batch=" (the batch needs none: --max-batch-size limits it)" if batched else "",
        )
    return _checked(model.model_copy(update={"inputs": inputs, "axes": axes}), where)


def _require_known(given: Iterable[str], names: Mapping[str, str], without: Sequence[str], *, where: str) -> None:
    """Fail if a range was given for an axis that the file does not have.

    Args:
        given: the axes that have a range in the spec.
        names: the file's symbols to the names of the spec.
        without: axes of the file without a range, one of which may be meant.
    """
    known = {*names, *names.values(), BATCH}
    if unknown := next((name for name in given if name not in known), None):
        meant = suggestions.meant(unknown, without or [name for name in names.values() if name != BATCH])
        expected = ", ".join(dict.fromkeys(names.values())) or "no dynamic axes"
        raise UsageError.of(wording.NO_SUCH_AXIS, where=where, expected=expected, found=unknown, meant=meant, name=unknown)


def _has_batch_axis(inspected: Inspection) -> bool:
    """Whether the first axis of every input is the same dynamic axis."""
    first_axes = {tensor.shape[:1] for tensor in inspected.inputs}
    return len(first_axes) == 1 and all(shape and isinstance(shape[0], str) for shape in first_axes)


def _from_example(model: schema.Model, source: Source, inspected: Inspection) -> schema.Model:
    """The model with the inputs of the example that its module has, and with the range of its integers, which may be indices.

    Raises:
        UsageError: the example has no axis for the batch, or a name, type or size that is not allowed in a spec.
    """
    tensors = [from_json(TensorSpec, each) for each in cast("Sequence[object]", inspected.details["example"])]
    ranges = cast("Mapping[str, tuple[int, int]]", inspected.details["example_ranges"])
    inputs = inputs_like(tensors, batched=bool(model.max_batch_size), where=f"example_input_array of {source.location}")
    for name, (low, high) in ranges.items():
        if low < high:  # a single value is not a range
            inputs[name] = inputs[name].model_copy(update={"range": (low, high)})
    return _checked(model.model_copy(update={"inputs": inputs}), source.location)


def _with_named_axes(tensors: Sequence[TensorSpec], *, batched: bool) -> list[TensorSpec]:
    """The tensors, with a symbol of its own for every unnamed dynamic axis: the file does not say that two of them are equal.

    A batch axis keeps its symbol, since it is the same in all inputs.
    """

    def symbol(tensor: TensorSpec, position: int, size: int | str) -> int | str:
        return f"{UNNAMED}{tensor.name}{position}" if size == UNNAMED and (position or not batched) else size

    return [
        replace(tensor, shape=tuple(symbol(tensor, position, size) for position, size in enumerate(tensor.shape)))
        for tensor in tensors
    ]


def _with_axis_names(tensor: TensorSpec, names: Mapping[str, str]) -> TensorSpec:
    """The tensor with the spec's axis names in the place of the file's symbols."""
    return replace(tensor, shape=tuple(names[size] if isinstance(size, str) else size for size in tensor.shape))


def _axis_names(tensors: Sequence[TensorSpec], *, batched: bool) -> dict[str, str]:
    """The file's symbol for each dynamic axis to its name in the spec: the symbol itself, or axis_1, axis_2 and so on."""
    names: dict[str, str] = {}
    for tensor in tensors:
        for position, size in enumerate(tensor.shape):
            if isinstance(size, str) and size not in names:
                free = (f"axis_{number}" for number in itertools.count(1) if f"axis_{number}" not in names.values())
                # A file may call an axis other than the first `batch`.
                name = size if size.isidentifier() and not (batched and size == BATCH) else next(free)
                names[size] = BATCH if batched and position == 0 else name
    return names
