"""The contract of a stateful model: what `sequence_batching` says about its controls and states, and whether its spec fits it.

Sources: core, `model_config.proto` (the kinds of controls), `sequence_batch_scheduler.cc` (their values, initial states).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal  # Any: values of a spec or of a configuration, which protobuf checks

from tritonize.core import dtypes

if TYPE_CHECKING:
    from tritonize.spec import schema

SECTION = "sequence_batching"
Kind = Literal["START", "READY", "END", "CORRID"]
_KINDS: tuple[Kind, ...] = ("START", "READY", "END", "CORRID")
"""By their number in the protobuf, whose JSON form leaves out the first."""
_PREFIX = "CONTROL_SEQUENCE_"
_PAIRS = {"fp32_false_true": "fp32", "int32_false_true": "int32", "bool_false_true": "bool"}

Problem = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True, kw_only=True)
class Control:
    """An input that the sequence batcher adds to every request."""

    name: str
    kind: Kind
    dtype: str
    """A name of `dtypes.TABLE`."""
    values: tuple[float, ...]
    """For false and for true; empty for the correlation id."""


@dataclass(frozen=True, kw_only=True)
class State:
    """A tensor that Triton keeps between the requests of one sequence."""

    input: str
    output: str
    dtype: str
    dims: tuple[int, ...]
    """Without the batch; -1 is any size."""
    initial_dims: tuple[int, ...] | None
    """The sizes of the initial state; `None` without one: then Triton does not initialize the state of a first request."""
    initial_file: str
    """The file in `initial_state/` with its values; empty for zeros."""

    @property
    def first_dims(self) -> tuple[int, ...]:
        """The sizes in the first request: without an initial state, Triton uses 1 for each that is not fixed."""
        return tuple(1 if size < 0 else size for size in self.dims) if self.initial_dims is None else self.initial_dims


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The controls and states of a model; no client sends or receives them."""

    controls: tuple[Control, ...]
    states: tuple[State, ...]

    @property
    def inputs(self) -> frozenset[str]:
        """The inputs that Triton provides."""
        return frozenset([*(each.name for each in self.controls), *(each.input for each in self.states)])

    @property
    def outputs(self) -> frozenset[str]:
        """The outputs that Triton keeps."""
        return frozenset(each.output for each in self.states)

    def control(self, kind: Kind) -> Control | None:
        """The control of a kind; `None` if the model does not take it."""
        return next((each for each in self.controls if each.kind == kind), None)


def contract(config: Mapping[str, Any]) -> Contract | None:
    """Read the contract from the `triton:` section of a spec or from a parsed configuration; `None` without sequence batching.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: a value does not have the form of its field.
    """
    section = config.get(SECTION)
    if section is None:
        return None
    return Contract(
        controls=tuple(
            _control(str(entry["name"]), control)
            for entry in section.get("control_input", ())
            for control in entry.get("control", ())
        ),
        states=tuple(map(_state, section.get("state", ()))),
    )


def of(model: schema.Model) -> Contract | None:
    """The contract of a model whose spec was checked."""
    return contract(model.triton)


def _control(name: str, control: Mapping[str, Any]) -> Control:
    written = control.get("kind", 0)
    kind = _KINDS[written if isinstance(written, int) else _KINDS.index(str(written).removeprefix(_PREFIX))]
    pair = next((field for field in _PAIRS if control.get(field)), None)
    dtype = _PAIRS[pair] if pair else dtypes.by_triton(str(control.get("data_type", ""))).name
    return Control(name=name, kind=kind, dtype=dtype, values=tuple(float(value) for value in control[pair]) if pair else ())


def _state(state: Mapping[str, Any]) -> State:
    initial = next(iter(state.get("initial_state", ())), None)
    return State(
        input=str(state["input_name"]),
        output=str(state["output_name"]),
        dtype=dtypes.by_triton(str(state["data_type"])).name,
        dims=_sizes(state),
        initial_dims=None if initial is None else _sizes(initial),
        initial_file=str(initial.get("data_file", "")) if initial else "",
    )


def _sizes(entry: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in entry.get("dims", ()))


def problems(model: schema.Model) -> Iterator[Problem]:
    """Yield what does not fit between a model's spec and its sequence batching."""
    if SECTION not in model.triton:
        if model.samples.sequence_length is not None:
            yield ("samples", "sequence_length"), f"needs triton.{SECTION}: only a stateful model gets sequences"
        return
    where = ("triton", SECTION)
    if not model.is_exported:
        kind = "a Python step" if model.python else "an ensemble"
        yield where, f"{kind} has no reference with state in tritonize; export the stateful model, and give it the state as tensors"
        return
    try:
        found = of(model)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        yield where, f"a control needs name, kind and values, a state input_name, output_name, data_type and dims; found {error!r}"
        return
    assert found is not None
    if model.inputs and not set(model.inputs) - found.inputs:
        yield where, "every input is a control or a state, so a client has nothing to send"
    for control in found.controls:
        if control.values and len(control.values) != 2:
            yield (*where, "control_input"), f"{control.name!r} needs one value for false and one for true"
        yield from _misfits(model, control.name, "the control", dtype=control.dtype, dims=(1,))
    for state in found.states:
        yield from _misfits(model, state.input, "the state", dtype=state.dtype, dims=state.dims)
        if model.outputs and state.output not in model.outputs:
            yield (
                ("outputs",),
                f"the state's output {state.output!r} is missing; outputs are listed in the order of the model's own",
            )
        if state.initial_file:
            yield (*where, "state"), f"{state.input!r}: tritonize does not publish initial states from files; use zero_data: true"


def _misfits(model: schema.Model, name: str, what: str, *, dtype: str, dims: tuple[int, ...]) -> Iterator[Problem]:
    """Compare an input of the spec with what the configuration says about it."""
    if not model.inputs:
        return
    tensor = model.inputs.get(name)
    if tensor is None:
        yield ("inputs",), f"{what} {name!r} of {SECTION} is missing; it is an input of the model"
        return
    if tensor.dtype != dtype:
        yield ("inputs", name, "dtype"), f"{SECTION} gives {what} the type {dtype}; found {tensor.dtype}"
    own = tensor.shape[bool(model.max_batch_size) :]
    if len(own) != len(dims) or any(
        size not in (-1, axis) or (size == -1 and isinstance(axis, int)) for size, axis in zip(dims, own, strict=True)
    ):
        expected = [*(["batch"] if model.max_batch_size else []), *dims]
        yield ("inputs", name, "shape"), f"{SECTION} gives {what} the shape {expected}; found {list(tensor.shape)}"
