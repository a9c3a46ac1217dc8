"""Wire the steps of an ensemble: which tensor of which step is which tensor of the ensemble, and what does not fit.

The rules are Triton's (core, `ValidateEnsembleSchedulingConfig` and `ValidateEnsembleConfig`), and they are applied twice: to the
spec before any work starts, as far as it describes the tensors, and to the configurations of the steps that were published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tritonize.core import suggestions
from tritonize.spec import schema

Where = tuple[str | int, ...]
Problem = tuple[Where, str]


@dataclass(frozen=True, kw_only=True)
class Port:
    """One input or output of a model; what is `None` is not known yet."""

    dtype: str | None = None
    shape: tuple[int | str, ...] | None = None
    """With the batch axis; a dynamic axis has a name."""
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The inputs and outputs of a model by name; `None` if their names are not known yet."""

    inputs: Mapping[str, Port] | None
    outputs: Mapping[str, Port] | None
    max_batch_size: int


@dataclass(frozen=True, kw_only=True)
class Maps:
    """One step's tensors by the names of its model, each with its name in the ensemble."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(kw_only=True)
class Wiring:
    """The steps of an ensemble with all their tensors, and the problems."""

    steps: list[Maps] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """The path of a field inside the ensemble's part of the spec, and a sentence."""
    outputs: dict[str, Port] = field(default_factory=dict)
    """The ensemble's outputs, as the steps that write them describe them."""


def described(model: schema.Model) -> Ports:
    """The inputs and outputs of a model as far as its spec describes them."""
    inputs = {name: Port(dtype=each.dtype, shape=_served(model, each.shape)) for name, each in model.inputs.items()}
    outputs = {
        name: Port(dtype=each.dtype, shape=None if each.shape is None else _served(model, each.shape))
        for name, each in model.outputs.items()
    }
    return Ports(inputs=inputs or None, outputs=outputs or None, max_batch_size=model.max_batch_size)


def _served(model: schema.Model, shape: Sequence[int | str]) -> tuple[int | str, ...]:
    """Return a shape as a client sees it: a tensor without axes besides the batch has one of size 1."""
    return tuple(shape) if len(shape) > bool(model.max_batch_size) else (*shape, 1)


def problems(specification: schema.Spec) -> Iterator[Problem]:
    """Yield the problems of all ensembles of a spec: the path of a field, and a sentence."""
    models = specification.models
    for name in models:
        yield from ((("models", name, *where), text) for where, text in _problems(models, name))
    if specification.evidence.place == "none" and any(model.ensemble for model in models.values()):
        yield ("evidence", "place"), "an ensemble needs the evidence of its steps; write inside or outside"


def _problems(models: Mapping[str, schema.Model], name: str) -> Iterator[Problem]:
    model = models[name]
    if not model.ensemble:
        return
    steps = model.ensemble
    unknown = [(number, step.model) for number, step in enumerate(steps) if step.model not in models]
    for number, other in unknown:
        yield ("ensemble", number, "model"), f"the specification has no model {other!r}; {suggestions.hint(other, models)}"
    if circle := _circle(models, name):
        yield ("ensemble",), f"ensembles may not contain each other in a circle; found {' -> '.join(circle)}"
    elif not unknown and model.inputs and model.outputs:
        yield from wire(model, {step.model: described(models[step.model]) for step in steps}).problems


def ordered(models: Mapping[str, schema.Model], names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with the steps of every ensemble before it, otherwise in their order."""
    done: list[str] = []

    def add(name: str, inside: tuple[str, ...]) -> None:
        if name in done or name in inside:
            return
        for step in models[name].ensemble or ():
            if step.model in models:
                add(step.model, (*inside, name))
        if name in names:
            done.append(name)

    for name in names:
        add(name, ())
    return tuple(done)


def _circle(models: Mapping[str, schema.Model], name: str) -> list[str] | None:
    """Return a path from an ensemble through its steps back to itself; `None` if there is none."""
    paths, seen = [[name]], {name}
    while paths:
        path = paths.pop()
        for step in (models[path[-1]].ensemble or ()) if path[-1] in models else ():
            if step.model == name:
                return [*path, name]
            if step.model not in seen:
                seen.add(step.model)
                paths.append([*path, step.model])
    return None


def wire(model: schema.Model, ports: Mapping[str, Ports]) -> Wiring:
    """Map all tensors of an ensemble's steps, and check them.

    Args:
        model: the ensemble, with inputs and outputs.
        ports: the inputs and outputs of every step's model, by the model's name.
    """
    found = Wiring()
    steps = model.ensemble or []
    named = {tensor for step in steps for tensor in step.outputs.values()} | set(model.inputs)
    by_name = {output for step in steps for output in (ports[step.model].outputs or {}) if output not in step.outputs}
    inputs = [_inputs(step, ports[step.model], available=named | by_name) for step in steps]
    wanted = {tensor for each in inputs for tensor in each.values()} | set(model.outputs)
    for step, mapped in zip(steps, inputs, strict=True):
        equal = {output: output for output in ports[step.model].outputs or {} if output not in step.outputs and output in wanted}
        found.steps.append(Maps(inputs=mapped, outputs={**step.outputs, **equal}))
    found.problems += _names(model, ports, found.steps)
    found.problems += _flow(model, ports, found.steps)
    found.problems += _fits(model, ports, found)
    return found


def _inputs(step: schema.Step, ports: Ports, *, available: set[str]) -> dict[str, str]:
    """Return the map of a step's inputs: one that it leaves out has the same name, unless it is optional and nothing writes it."""
    equal = {
        name: name
        for name, port in (ports.inputs or {}).items()
        if name not in step.inputs and (name in available or not port.optional)
    }
    return {**step.inputs, **equal}


def _names(model: schema.Model, ports: Mapping[str, Ports], steps: Sequence[Maps]) -> Iterator[Problem]:
    """Check that the named tensors exist, and the sizes of batches."""
    for number, step in enumerate(model.ensemble or ()):
        own = ports[step.model]
        for kind, named, known in (("inputs", step.inputs, own.inputs), ("outputs", step.outputs, own.outputs)):
            for tensor in named if known is not None else ():
                if tensor not in (known or {}):
                    yield (
                        ("ensemble", number, kind, tensor),
                        f"model {step.model!r} has no such {kind[:-1]}; {suggestions.hint(tensor, known or {})}",
                    )
        if 0 < own.max_batch_size < model.max_batch_size:
            yield (
                ("ensemble", number, "model"),
                f"max_batch_size of {step.model!r} is {own.max_batch_size}, and the ensemble's is {model.max_batch_size}; "
                "a step must take every batch of the ensemble",
            )
        if not steps[number].outputs and own.outputs is not None:
            yield ("ensemble", number), f"nothing takes an output of this step; {step.model!r} has {', '.join(own.outputs)}"


def _flow(model: schema.Model, ports: Mapping[str, Ports], steps: Sequence[Maps]) -> Iterator[Problem]:
    """Check that every tensor has one origin and is taken, and that no step waits for itself."""
    names = [step.model for step in model.ensemble or ()]
    origin = dict.fromkeys(model.inputs, "the ensemble's inputs")
    for number, step in enumerate(steps):
        for output, tensor in step.outputs.items():
            if tensor in origin:
                yield (
                    _place(model, number, "outputs", tensor=output),
                    f"{tensor!r} is written twice: by {origin[tensor]} and by output {output!r} of {names[number]!r}; "
                    "give each a name of its own",
                )
            origin.setdefault(tensor, f"output {output!r} of {names[number]!r}")
    if all(ports[name].outputs is not None for name in names):  # else a step may have further outputs
        yield from _unwritten(model, steps, origin)
    if all(ports[name].inputs is not None for name in names):
        yield from _untaken(model, steps)
    for output in model.outputs:
        if output in model.inputs:
            yield ("outputs", output), "an output may not have the name of an input"


def _unwritten(model: schema.Model, steps: Sequence[Maps], origin: Mapping[str, str]) -> Iterator[Problem]:
    ready = _ready(model, steps)
    for number, step in enumerate(steps):
        for own, tensor in step.inputs.items():
            if tensor not in origin:
                yield _place(model, number, "inputs", tensor=own), f"nothing writes {tensor!r}; {suggestions.hint(tensor, origin)}"
            elif tensor not in ready:
                yield _place(model, number, "inputs", tensor=own), f"{tensor!r} waits for itself: the steps form a circle"
    for output in model.outputs:
        if output not in origin:
            yield ("outputs", output), f"no step writes it; {_tensors(origin)}"


def _untaken(model: schema.Model, steps: Sequence[Maps]) -> Iterator[Problem]:
    taken = {tensor for step in steps for tensor in step.inputs.values()} | set(model.outputs)
    for tensor in model.inputs:
        if tensor not in taken:
            yield ("inputs", tensor), "no step takes this input"
    for number, step in enumerate(model.ensemble or ()):
        for output, tensor in step.outputs.items():
            if tensor not in taken:
                yield ("ensemble", number, "outputs", output), f"no step and no output takes {tensor!r}; remove it"


def _tensors(origin: Mapping[str, str]) -> str:
    return f"the tensors are {', '.join(origin)}"


def _place(model: schema.Model, number: int, kind: str, *, tensor: str) -> Where:
    """Return the place of a tensor in a step: its entry in the map, or the step if the map leaves it out."""
    step = (model.ensemble or [])[number]
    return ("ensemble", number, kind, tensor) if tensor in getattr(step, kind) else ("ensemble", number)


def _ready(model: schema.Model, steps: Sequence[Maps]) -> set[str]:
    """Return the tensors that are written once every step that can start has run."""
    ready = set(model.inputs)
    waiting = list(steps)
    while able := [step for step in waiting if ready.issuperset(step.inputs.values())]:
        waiting = [step for step in waiting if step not in able]
        ready.update(tensor for step in able for tensor in step.outputs.values())
    return ready


def _fits(model: schema.Model, ports: Mapping[str, Ports], found: Wiring) -> Iterator[Problem]:
    """Check that all sides of a tensor have one type and shapes that fit; also collect the ensemble's outputs."""
    sides: dict[str, tuple[Port, str]] = {}
    for name, port in (described(model).inputs or {}).items():
        sides[name] = port, "the ensemble's input"
    names = [step.model for step in model.ensemble or ()]
    for number, step in enumerate(found.steps):
        for output, tensor in step.outputs.items():
            port = (ports[names[number]].outputs or {}).get(output, Port())
            sides.setdefault(tensor, (port, f"output {output!r} of {names[number]!r}"))
            if tensor in model.outputs:
                found.outputs[tensor] = port
    for number, step in enumerate(found.steps):
        for own, tensor in step.inputs.items():
            if tensor in sides:
                port, writer = sides[tensor]
                reader = (ports[names[number]].inputs or {}).get(own, Port())
                if why := _differ(port, reader):
                    yield (
                        _place(model, number, "inputs", tensor=own),
                        f"{tensor!r} is {why[0]} as {writer} and {why[1]} as input {own!r} of {names[number]!r}",
                    )


def _differ(one: Port, other: Port) -> tuple[str, str] | None:
    """Return how two sides of a tensor differ, in type or shape; `None` if they fit as far as they are known."""
    if one.dtype and other.dtype and one.dtype != other.dtype:
        return one.dtype, other.dtype
    if one.shape is None or other.shape is None:
        return None
    alike = len(one.shape) == len(other.shape) and all(
        a == b or isinstance(a, str) or isinstance(b, str) for a, b in zip(one.shape, other.shape, strict=True)
    )
    return None if alike else (_shape(one.shape), _shape(other.shape))


def _shape(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"
