"""Complete what a spec leaves out about a model's inputs: from its file, or from the user's function of samples.

A `.pt2` and an `.onnx` file say it all but for the ranges of dynamic axes. TorchScript and modules keep names alone, so a
function that draws samples, or a description, is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from tritonize import dtypes, inspecting, processes, spec
from tritonize.artifacts import Inspection, Source, TensorSpec
from tritonize.errors import ExportError, UsageError, WorkerError

BATCH = "batch"
"""Name of the batch axis where the file has none that fits."""


def complete(model: spec.Model, source: Source, work: Path) -> spec.Model:
    """The model with its inputs described, and the samples of its function in files.

    Raises:
        UsageError: the inputs cannot be read off; the text says which to describe and how.
    """
    if model.samples.function:
        return _drawn(model, work / "drawn")
    if model.inputs:
        return model
    found = inspecting.inspect(
        source,
        work / "inspect",
        kwargs=model.kwargs,
        weights=model.weights,
        search_path=[path.resolve() for path in model.search_path],
        deadline_s=model.deadline_s,
    )
    if source.kind not in ("exported_program", "onnx"):
        raise _ask_for(source, found)
    return _described(model, source, found)


def _drawn(model: spec.Model, folder: Path) -> spec.Model:
    """The model with the samples that its function draws, and inputs like them."""
    folder.mkdir(parents=True, exist_ok=True)
    request = {
        "function": model.samples.function,
        "count": max(model.samples.count, 2 if model.max_batch_size > 1 else 1),
        "seed": model.samples.seed,
        "directory": str(folder / "samples"),
    }
    try:
        answer = processes.run_worker(
            "sampler.draw",
            request,
            directory=folder,
            deadline_s=model.deadline_s,
            search_path=[path.resolve() for path in model.search_path],
        ).value
    except WorkerError as error:
        raise ExportError(
            "The function of samples ended its process.", where=model.samples.function, found=error.what, details=error.details
        ) from error
    updates: dict[str, object] = {
        "samples": model.samples.model_copy(update={"files": [str(folder / "samples" / "*.npz")]}),
    }
    if not model.inputs:
        if answer["varying"]:
            raise UsageError(
                "The samples of the function differ in shape, so the inputs cannot be read off them.",
                where=model.samples.function,
                found=", ".join(answer["varying"]),
                next_step="describe the inputs in the spec, with a name for every axis that varies and its range under axes",
            )
        tensors = [TensorSpec(name=each["name"], dtype=each["dtype"], shape=tuple(each["shape"])) for each in answer["tensors"]]
        updates["inputs"] = like(tensors, batched=bool(model.max_batch_size), where=str(model.samples.function))
    return model.model_copy(update=updates)


def like(tensors: Sequence[TensorSpec], *, batched: bool, where: str) -> dict[str, spec.Input]:
    """Inputs of the shapes of a sample; with batching its first axis is the batch.

    Raises:
        UsageError: there is no axis for the batch.
    """
    found = {}
    for tensor in tensors:
        if batched and not tensor.shape:
            raise UsageError(
                f"Input {tensor.name!r} has no axis for the batch.", where=where, next_step="set max_batch_size to 0 (--no-batch)"
            )
        found[tensor.name] = spec.Input(dtype=tensor.dtype, shape=[BATCH, *tensor.shape[1:]] if batched else list(tensor.shape))
    return found


def _described(model: spec.Model, source: Source, found: Inspection) -> spec.Model:
    """The inputs as the file has them."""
    unknown = [tensor for tensor in found.inputs if tensor.dtype not in {each.name for each in dtypes.TABLE if each.torch}]
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
    names = _axis_names(found.inputs, batched=batched)
    inputs = {
        tensor.name: spec.Input(dtype=tensor.dtype, shape=[size if isinstance(size, int) else names[size] for size in tensor.shape])
        for tensor in found.inputs
    }
    ranges = found.details.get("ranges", {})
    axes = dict(model.axes)
    for symbol, name in names.items():
        low, high = ranges.get(symbol, (1, None))
        if name != BATCH and name not in axes and high is not None:
            axes[name] = spec.Axis(min=max(1, low), max=high)
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
    return model.model_copy(update={"inputs": inputs, "axes": axes})


def _axis_names(tensors: Sequence[TensorSpec], *, batched: bool) -> dict[str, str]:
    """A name for every symbolic size of the file."""
    names: dict[str, str] = {}
    for tensor in tensors:
        for position, size in enumerate(tensor.shape):
            if isinstance(size, str) and size not in names:
                free = (f"axis_{number}" for number in itertools.count(1) if f"axis_{number}" not in names.values())
                own = size if size.isidentifier() else next(free)
                names[size] = BATCH if batched and position == 0 else own
    return names


def _ask_for(source: Source, found: Inspection) -> UsageError:
    """The error that names the inputs and says how to describe them."""
    wanted = [tensor.name for tensor in found.inputs]
    flags = " ".join(f"--input {name}:fp32:1x…" for name in wanted[:3]) or "--input INPUT__0:fp32:1x…"
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
