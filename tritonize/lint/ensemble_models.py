"""Rules about an ensemble and the models of its steps: names, types, shapes, batches, versions and circles.

Source: core, `ValidateEnsembleConfig` in `ensemble_utils.cc`, and `DependencyGraph` in `model_repository_manager.cc`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tritonize.lint.ensembles import entry_path, is_ensemble
from tritonize.lint.files import listed
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule

_CORE = "Triton checks this once the models of all steps are loaded (core, `ValidateEnsembleConfig`)."

NO_MODEL = Rule(
    id="TR511",
    name="step-model-missing",
    severity="error",
    triton="refuses",
    what="The model of a step is not in the repository.",
    why="An ensemble loads only if the models of all its steps are loaded, from any of the server's repositories.",
    fix="add the model, or correct `model_name`",
    wrong='step [ { model_name: "hart" … } ]   # there is heart/',
    right='step [ { model_name: "heart" … } ]',
)
MODEL_REFUSED = Rule(
    id="TR512",
    name="step-model-refused",
    severity="error",
    triton="refuses",
    what="The model of a step has errors itself, so the ensemble cannot be loaded.",
    why="An ensemble loads only if the models of all its steps are loaded.",
    fix="correct the model of the step",
    wrong='step [ { model_name: "heart" … } ]   # Triton refuses heart',
    right='step [ { model_name: "heart" … } ]   # Triton loads heart',
)
NO_VERSION = Rule(
    id="TR513",
    name="step-version-missing",
    severity="error",
    triton="refuses",
    what="A step names a version of its model that is not served.",
    why="`model_version: -1` takes the newest version. A version that the model's version policy does not serve cannot be "
    "asked; 0, which "
    "is the value of a field that is not set, is a version number too.",
    fix="set `model_version: -1`, or a version that is served",
    wrong='step [ { model_name: "heart" … } ]   # model_version is 0 then',
    right='step [ { model_name: "heart" model_version: -1 … } ]',
)
UNKNOWN_INPUT = Rule(
    id="TR514",
    name="step-input-unknown",
    severity="error",
    triton="refuses",
    what="A step maps a tensor to an input that its model does not have.",
    why=_CORE + " The key of an entry in `input_map` is the model's name for it, the value the ensemble's.",
    fix="use the name of the model's input as the key",
    wrong='input_map { key: "x" value: "RAW" }   # the model has X',
    right='input_map { key: "X" value: "RAW" }',
)
UNKNOWN_OUTPUT = Rule(
    id="TR515",
    name="step-output-unknown",
    severity="error",
    triton="refuses",
    what="A step maps an output that its model does not have.",
    why=_CORE + " The key of an entry in `output_map` is the model's name for it, the value the ensemble's.",
    fix="use the name of the model's output as the key",
    wrong='output_map { key: "y" value: "MASK" }   # the model has Y',
    right='output_map { key: "Y" value: "MASK" }',
)
UNMAPPED = Rule(
    id="TR516",
    name="step-input-unmapped",
    severity="error",
    triton="refuses",
    what="A step leaves out an input that its model needs.",
    why=_CORE + " Only inputs with `optional: true` may be left out.",
    fix="add the input to `input_map`",
    wrong='input_map { key: "A" value: "RAW" }   # the model needs A and B',
    right='input_map { key: "A" value: "RAW" }\ninput_map { key: "B" value: "RAW" }',
)
TYPE = Rule(
    id="TR517",
    name="step-type",
    severity="error",
    triton="refuses",
    what="A tensor of an ensemble has different data types.",
    why=_CORE,
    fix="declare the type of the model, or add a step that casts",
    wrong='input [ { name: "RAW" data_type: TYPE_UINT8 … } ]   # the step takes TYPE_FP32',
    right='input [ { name: "RAW" data_type: TYPE_FP32 … } ]',
)
SHAPE = Rule(
    id="TR518",
    name="step-shape",
    severity="error",
    triton="refuses",
    what="A tensor of an ensemble has different shapes.",
    why=_CORE
    + " -1 fits any size. Where a model with batching and one without share a tensor, the shapes with the batch are compared.",
    fix="declare the shape of the model",
    wrong='input [ { name: "RAW" … dims: [ 4 ] } ]   # the step takes [ 3 ]',
    right='input [ { name: "RAW" … dims: [ 3 ] } ]',
)
BATCH = Rule(
    id="TR519",
    name="step-batch-size",
    severity="error",
    triton="refuses",
    what="An ensemble takes larger batches than the model of a step.",
    why=_CORE,
    fix="lower max_batch_size of the ensemble, or raise the model's",
    wrong='name: "pipeline" max_batch_size: 8   # a step takes 4',
    right='name: "pipeline" max_batch_size: 4',
)
CIRCLE = Rule(
    id="TR520",
    name="ensemble-circle",
    severity="error",
    triton="refuses",
    what="Ensembles depend on each other in a circle.",
    why="An ensemble loads after the models of its steps, so none in a circle could be first.",
    fix="remove the step that closes the circle",
    wrong='a: step [ { model_name: "b" … } ]\nb: step [ { model_name: "a" … } ]',
    right='a: step [ { model_name: "b" … } ]\nb: step [ { model_name: "heart" … } ]',
)
DECOUPLED = Rule(
    id="TR521",
    name="step-of-several-decoupled",
    severity="error",
    triton="refuses",
    what="A step or the outputs of an ensemble take tensors from different decoupled models.",
    why="Each decoupled model sends any number of responses, so Triton cannot tell which of them belong together.",
    fix="let each step, and the outputs, take tensors from one decoupled model only",
    wrong="two steps with decoupled models, and one that takes outputs of both",
    right="one step with a decoupled model, and one that takes its outputs",
)
RULES = (NO_MODEL, MODEL_REFUSED, NO_VERSION, UNKNOWN_INPUT, UNKNOWN_OUTPUT, UNMAPPED, TYPE, SHAPE, BATCH, CIRCLE, DECOUPLED)
_SCHEDULING = "ensemble_scheduling"
_MOST_STEPS = 1000
"""Steps of an ensemble up to which decoupled models are followed."""

Resolve = Callable[[str], Model | None]
"""The model of a name; `None` if the repository does not have it."""


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    """What is known of a tensor of the ensemble, and from whom."""

    source: str
    data_type: int
    dims: tuple[int, ...]
    batched: bool

    @property
    def full(self) -> tuple[int, ...]:
        return (-1, *self.dims) if self.batched else self.dims


def check(model: Model, resolve: Resolve) -> Iterator[Diagnostic]:
    """Check an ensemble against the models of its steps."""
    if not is_ensemble(model):
        return
    known: dict[str, _Tensor] = {}
    batched = model.config.max_batch_size > 0
    for each in (*model.config.input, *model.config.output):
        dims = each.reshape.shape if each.HasField("reshape") else each.dims
        known[each.name] = _Tensor(source=model.name, data_type=each.data_type, dims=tuple(dims), batched=batched)
    steps = model.config.ensemble_scheduling.step
    if (circle := _circle(model, resolve)) is not None:
        yield model.at(CIRCLE, _SCHEDULING, found=" -> ".join(circle))
        return
    for index, step in enumerate(steps):
        place = (_SCHEDULING, "step", index)
        member = resolve(step.model_name) if step.model_name else None
        if member is None:
            if step.model_name:
                yield model.at(NO_MODEL, *place, "model_name", found=f"step {index}: {step.model_name!r}")
            continue
        if member.config is None:
            continue  # it has an error of its own, or is completed by Triton
        yield from _version(model, member, index)
        if member.config.input and member.config.output:
            yield from _mapping(model, member, index=index, known=known)
    yield from _decoupled(model, resolve)


def _version(model: Model, member: Model, index: int) -> Iterator[Diagnostic]:
    step = model.config.ensemble_scheduling.step[index]
    if step.model_version != -1 and step.model_version not in member.served and member.served:
        found = f"step {index}: version {step.model_version} of {member.name!r}"
        served = ", ".join(map(str, member.served))
        yield model.at(NO_VERSION, _SCHEDULING, "step", index, "model_version", found=found, expected=f"-1, or one of {served}")
    most, wanted = member.config.max_batch_size, model.config.max_batch_size
    if most and most < wanted:
        yield model.at(BATCH, "max_batch_size", found=f"{wanted}, and {member.name!r} takes {most}", expected=f"at most {most}")


def _mapping(model: Model, member: Model, *, index: int, known: dict[str, _Tensor]) -> Iterator[Diagnostic]:
    step = model.config.ensemble_scheduling.step[index]
    batched = member.config.max_batch_size > 0
    sides = (
        ("input_map", UNKNOWN_INPUT, step.input_map, {each.name: each for each in member.config.input}),
        ("output_map", UNKNOWN_OUTPUT, step.output_map, {each.name: each for each in member.config.output}),
    )
    for field, unknown, mapped, tensors in sides:
        for key, name in sorted(mapped.items()):
            place = entry_path(model, index, field=field, key=key)
            if key not in tensors:
                expected = listed(tensors)
                yield model.at(unknown, *place, found=f"step {index}: {key!r} of {member.name!r}", expected=expected)
                continue
            tensor = tensors[key]
            found = _Tensor(source=member.name, data_type=tensor.data_type, dims=tuple(tensor.dims), batched=batched)
            yield from _consistent(model, name, place=place, pair=(known.setdefault(name, found), found))
    for name, tensor in sides[0][3].items():
        if name not in step.input_map and not tensor.optional:
            found_text = f"step {index}: input {name!r} of {member.name!r}"
            yield model.at(UNMAPPED, _SCHEDULING, "step", index, "input_map", found=found_text)


def _consistent(model: Model, name: str, *, place: tuple[str | int, ...], pair: tuple[_Tensor, _Tensor]) -> Iterator[Diagnostic]:
    one, other = pair
    if one.data_type != other.data_type:
        types = model.config.DESCRIPTOR.fields_by_name["input"].message_type.fields_by_name["data_type"].enum_type
        here, there = (types.values_by_number[each.data_type].name for each in pair)
        yield model.at(TYPE, *place, found=f"{name!r}: {there} by {other.source!r}", expected=f"{here}, by {one.source!r}")
    if not _fits(one.dims, other.dims) and not _fits(one.full, other.full):
        found = f"{name!r}: {list(other.dims)} by {other.source!r}"
        yield model.at(SHAPE, *place, found=found, expected=f"{list(one.dims)}, by {one.source!r}")


def _fits(one: Sequence[int], other: Sequence[int]) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))


def members(model: Model) -> list[str]:
    """The names of the models of an ensemble's steps; none of another model."""
    return sorted({step.model_name for step in model.config.ensemble_scheduling.step}) if is_ensemble(model) else []


def _circle(model: Model, resolve: Resolve) -> list[str] | None:
    """The ensembles of a circle that the model is part of; `None` if it is part of none."""
    paths = [[model.name]]
    seen = set()
    while paths:
        path = paths.pop()
        member = model if path[-1] == model.name else resolve(path[-1])
        for name in members(member) if member is not None else ():
            if name == model.name:
                return [*path, name]
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return None


def _decoupled(model: Model, resolve: Resolve) -> Iterator[Diagnostic]:
    """Follow which decoupled model each tensor comes from, step by step, as soon as all its inputs are known."""
    origin: dict[str, str] = {each.name: "" for each in model.config.input}
    waiting = list(enumerate(model.config.ensemble_scheduling.step))
    if len(waiting) > _MOST_STEPS:
        return
    while waiting:
        able = [each for each in waiting if all(tensor in origin for tensor in each[1].input_map.values())]
        if not able:
            return  # `ensembles` reports what is never written
        waiting = [each for each in waiting if each not in able]
        for index, step in able:
            origins = {origin[tensor] for tensor in step.input_map.values()}
            if len(origins) > 1:
                found = f"step {index} ({step.model_name}) takes tensors of {_list(origins)}"
                yield model.at(DECOUPLED, _SCHEDULING, "step", index, found=found)
                return
            member = resolve(step.model_name)
            config = member.config if member is not None else None
            decoupled = config is not None and config.model_transaction_policy.decoupled
            for tensor in step.output_map.values():
                origin[tensor] = f"step {index} ({step.model_name})" if decoupled else next(iter(origins), "")

    ends = {origin.get(each.name, "") for each in model.config.output}
    if len(ends) > 1:
        yield model.at(DECOUPLED, "output", found=f"the outputs are tensors of {_list(ends)}")


def _list(origins: set[str]) -> str:
    return " and ".join(each or "no decoupled model" for each in sorted(origins))
