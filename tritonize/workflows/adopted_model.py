"""Describe a model of a hand-made repository as a spec does: inputs from its configuration and its ONNX file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast  # Any: fields of a configuration that `ModelConfig` does not list

from pydantic import ValidationError

from tritonize.core import dtypes
from tritonize.core.errors import UsageError
from tritonize.core.messages import adoption as wording
from tritonize.core.onnx_graph import Graph, GraphValue
from tritonize.spec import rules, schema
from tritonize.triton.protocol import ModelConfig, TensorConfig

BATCH = "batch"
_COMPLETED = ("max_batch_size", "input", "output", "dynamic_batching")
"""Fields that Triton completes for an ONNX file."""


def completed(written: ModelConfig, served: ModelConfig) -> dict[str, object]:
    """Return the fields that Triton completed: those that the configuration lacks, or of which it has a part.

    Args:
        written: the parsed config.pbtxt.
        served: the configuration as the server reports it.
    """
    ours, theirs = cast("Mapping[str, Any]", written), cast("Mapping[str, Any]", served)
    found: dict[str, object] = {}
    kind = () if "platform" in ours or "backend" in ours else ("platform", "backend")
    for field in (*kind, *_COMPLETED):
        value = theirs.get(field)
        if field in ("input", "output"):
            if value and not _says_all(ours.get(field, ()), value):
                found[field] = value
        elif value not in (None, 0) and field not in ours:
            found[field] = value
    return found


def _says_all(written: Sequence[Mapping[str, Any]], served: Sequence[Mapping[str, Any]]) -> bool:
    names = [each.get("name") for each in written]
    complete = all(each.get("name") and each.get("dims") and "data_type" in each for each in written)
    return complete and sorted(map(str, names)) == sorted(str(each.get("name")) for each in served)


def describe(
    config: ModelConfig, graph: Graph, *, name: str, file: Path, source: Path, given: schema.Model | None = None
) -> schema.Model:
    """Return the model's part of a spec, with every input described.

    Args:
        config: the configuration as the server uses it, with completed fields.
        graph: inputs and outputs of the ONNX file.
        name: the model's name, for the proposed spec.
        file: the ONNX file in the repository, for the proposed spec.
        source: the ONNX file to run, for a model without a source in a spec.
        given: the model's part of the user's spec.

    Raises:
        UsageError: the model cannot be compared, or the spec contradicts it; the error says why.
    """
    _require_comparable(config)
    _require_same_tensors(config, graph)
    size = int(config.get("max_batch_size", 0))
    given_axes = dict(given.axes) if given else {}
    inputs = _inputs(config, graph, batched=size > 0)
    own = schema.Model(source=str(source)) if given is None else given
    if given and given.inputs:
        spec, served = (", ".join(sorted(names)) for names in (given.inputs, inputs))
        if spec != served:
            raise UsageError.of(wording.SPEC_INPUTS, where="inputs", spec=spec, config=served)
    if given and "max_batch_size" in given.model_fields_set and given.max_batch_size != size:
        raise UsageError.of(wording.SPEC_BATCH, where="max_batch_size", spec=given.max_batch_size, config=size)
    updates: dict[str, object] = {"max_batch_size": size}
    if not own.inputs:
        _require_ranges(inputs, given_axes, name=name, file=file if given is None else Path(given.source), batched=size > 0)
        updates["inputs"] = inputs
    if not own.outputs:
        updates["outputs"] = {value.name: schema.Output() for value in graph.outputs}
    libraries = cast("Mapping[str, Any]", config).get("model_operations", {}).get("op_library_filename", ())
    if libraries and not own.custom_op_libraries:
        updates["custom_op_libraries"] = list(libraries)
    model = own.model_copy(update=updates)
    if problems := [f"{'.'.join(map(str, place))}: {text}" for place, text in rules.problems(model)]:
        raise UsageError.of(wording.NOT_DESCRIBABLE, problems="; ".join(problems))
    return model


def _require_comparable(config: ModelConfig) -> None:
    """Refuse what single requests cannot show.

    Raises:
        UsageError: it says what.
    """
    plain = cast("Mapping[str, Any]", config)
    if "sequence_batching" in plain:
        raise UsageError.of(wording.STATEFUL)
    if plain.get("model_transaction_policy", {}).get("decoupled"):
        raise UsageError.of(wording.DECOUPLED)
    for field in ("batch_input", "batch_output"):
        if plain.get(field):
            raise UsageError.of(wording.RAGGED, tensor=field)
    for each in (*plain.get("input", ()), *plain.get("output", ())):
        if each.get("allow_ragged_batch"):
            raise UsageError.of(wording.RAGGED, tensor=each["name"])
        if "reshape" in each and not _is_scalar(each):
            raise UsageError.of(wording.RESHAPED, tensor=each["name"])
    size = int(config.get("max_batch_size", 0))
    if size > schema.MAX_BATCH_SIZE:
        raise UsageError.of(wording.TOO_LARGE_BATCH, size=size, limit=schema.MAX_BATCH_SIZE)


def _require_same_tensors(config: ModelConfig, graph: Graph) -> None:
    """Require that the configuration names all outputs of the file, and nothing that the file lacks.

    Raises:
        UsageError: it names the tensor.
    """
    plain = cast("Mapping[str, Any]", config)
    known = {"output": {each.name for each in graph.outputs}}
    known["input"] = {each.name for each in (*graph.inputs, *graph.overridable)}
    for kind, names in known.items():
        for each in plain.get(kind, ()):
            if each["name"] not in names:
                raise UsageError.of(wording.NO_TENSOR, tensor=f"{kind} {each['name']}")
    if left_out := sorted(known["output"] - {each["name"] for each in plain.get("output", ())}):
        raise UsageError.of(wording.SOME_OUTPUTS, outputs=", ".join(left_out))


def _is_scalar(tensor: Mapping[str, Any]) -> bool:
    """Whether a tensor has no axis in the model, so that it is served as one element."""
    return not tensor["reshape"].get("shape") and [int(each) for each in tensor.get("dims", ())] == [1]


def _inputs(config: ModelConfig, graph: Graph, *, batched: bool) -> dict[str, schema.Input]:
    """Describe the inputs: a size where configuration or file fixes it, else the file's name of the axis."""
    values = {each.name: each for each in (*graph.inputs, *graph.overridable)}
    written = {each["name"]: each for each in config.get("input", ())}
    tensors = {name: written[name] for name in values if name in written}  # in the order of the file, as PyTorch's arguments are
    sizes = {name: list(_sizes(tensor, values[name], batched=batched)) for name, tensor in tensors.items()}
    fixed = {symbol: size for pairs in sizes.values() for symbol, size in pairs if symbol and size is not None}
    names: dict[str, str] = {}
    plain: dict[str, dict[str, object]] = {}
    for name, pairs in sizes.items():
        shape: list[int | str] = [BATCH] if batched else []
        for position, (symbol, size) in enumerate(pairs):
            found = size if size is not None else fixed.get(symbol)
            # An axis without a name is not known to be equal to any other.
            shape.append(_axis_name(symbol or f"?{name}:{position}", names, batched=batched) if found is None else found)
        plain[name] = {"dtype": _dtype(tensors[name]), "shape": shape, "optional": bool(tensors[name].get("optional"))}
    try:
        return dict(schema.Model.model_validate({"source": "-", "inputs": plain}).inputs)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
        raise UsageError.of(wording.NOT_DESCRIBABLE, problems=problems) from error


def _sizes(tensor: TensorConfig, value: GraphValue, *, batched: bool) -> Iterator[tuple[str, int | None]]:
    """Yield the file's symbol (or nothing) and the fixed size (or `None`) of every axis besides the batch axis."""
    dims = [int(each) for each in tensor.get("dims", ())]
    known = value.shape[batched:] if value.shape is not None else None
    if "reshape" in tensor or (known == () and dims == [1]):
        return
    if known is None or len(known) != len(dims):
        known = ("",) * len(dims)
    for dim, size in zip(dims, known, strict=True):
        symbol = size if isinstance(size, str) else ""
        yield symbol, dim if dim >= 0 else size if isinstance(size, int) else None


def _axis_name(symbol: str, names: dict[str, str], *, batched: bool) -> str:
    """Return the name of an axis in a spec: the file's own if it can be one."""
    if symbol not in names:
        free = (each for number in itertools.count(1) if (each := f"axis_{number}") not in names.values())
        usable = symbol.isidentifier() and not (batched and symbol == BATCH)
        names[symbol] = symbol if usable else next(free)
    return names[symbol]


def _dtype(tensor: TensorConfig) -> str:
    try:
        return dtypes.by_triton(tensor["data_type"]).name
    except KeyError as error:
        problem = f"{tensor['name']} has the data type {tensor.get('data_type', 'none')}"
        raise UsageError.of(wording.NOT_DESCRIBABLE, problems=problem) from error


def _require_ranges(
    inputs: Mapping[str, schema.Input], axes: Mapping[str, schema.Axis], *, name: str, file: Path, batched: bool
) -> None:
    """Require a range of every dynamic axis.

    Raises:
        UsageError: it proposes the spec that gives them.
    """
    open_axes: dict[str, str] = {}
    for tensor, described in inputs.items():
        for size in described.shape[batched:]:
            if isinstance(size, str) and size not in axes:
                open_axes.setdefault(size, tensor)
    if open_axes:
        written = ", ".join(f"{axis}: {{min: .., max: ..}}" for axis in open_axes)
        spec = f"{{schema: 1, models: {{{name}: {{source: {file}, axes: {{{written}}}}}}}}}"
        named = ", ".join(f"{axis} of input {tensor}" for axis, tensor in open_axes.items())
        raise UsageError.of(wording.NO_RANGE, axes=named, spec=spec)
