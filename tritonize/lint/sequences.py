"""Rules about sequence batching: controls, states and strategies.

Source: core, `GetBooleanSequenceControlProperties` and `GetTypedSequenceControlProperties` in `model_config_utils.cc`,
`SequenceBatchScheduler::Create`, and `SequenceStates`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any  # Any: a message of protobuf's generated classes, which have no types

from tritonize.lint import scheduling
from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Rule

_CORE = "Triton checks this before it loads the model (core, `ValidateModelConfig`)."

CONTROL_NAME = Rule(
    id="TR321",
    name="control-name",
    severity="error",
    triton="refuses",
    what="A control input has no name, or shares it with another one.",
    why=_CORE + " Every control is an input tensor of its own.",
    fix="give every control input a name of its own",
    wrong="control_input [ { control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] } ]",
    right='control_input [ { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] } ]',
)
CONTROL_TWICE = Rule(
    id="TR322",
    name="control-kind-twice",
    severity="error",
    triton="refuses",
    what="Two control inputs have the same kind.",
    why=_CORE,
    fix="remove one",
    wrong='control_input [ { name: "A" control [ { kind: CONTROL_SEQUENCE_START … } ] },\n'
    '                { name: "B" control [ { kind: CONTROL_SEQUENCE_START … } ] } ]',
    right='control_input [ { name: "A" control [ { kind: CONTROL_SEQUENCE_START … } ] },\n'
    '                { name: "B" control [ { kind: CONTROL_SEQUENCE_READY … } ] } ]',
)
CONTROL_VALUES = Rule(
    id="TR323",
    name="control-values",
    severity="error",
    triton="refuses",
    what="A control has no pair of values for false and true, or more than one.",
    why=_CORE + " Start, end and ready take two numbers of one type; the correlation id takes `data_type` instead.",
    fix="set one of fp32_false_true, int32_false_true and bool_false_true to two values",
    wrong="control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 1 ] } ]",
    right="control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ]",
)
CORRELATION_TYPE = Rule(
    id="TR324",
    name="correlation-id-type",
    severity="error",
    triton="refuses",
    what="The correlation id has a type that Triton cannot write.",
    why=_CORE,
    fix="set data_type to TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 or TYPE_STRING",
    wrong="control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 } ]",
    right="control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ]",
)
SLOTS = Rule(
    id="TR325",
    name="slot-utilization",
    severity="error",
    triton="refuses",
    what="`minimum_slot_utilization` is not between 0 and 1.",
    why=_CORE,
    fix="use a share between 0 and 1",
    wrong="direct { minimum_slot_utilization: 2 }",
    right="direct { minimum_slot_utilization: 0.5 }",
)
STATE = Rule(
    id="TR326",
    name="initial-state",
    severity="error",
    triton="refuses",
    what="The initial state of a sequence does not fit the state.",
    why="It has a name, the type and the sizes of the state, no axis of any size, and data (core, `GenerateInitialStateData`).",
    fix="describe the initial state like the state, with fixed sizes and `zero_data: true` or `data_file`",
    wrong='state [ { input_name: "STATE" output_name: "NEXT" data_type: TYPE_FP32 dims: [ -1 ]\n'
    '  initial_state { name: "zero" data_type: TYPE_FP32 dims: [ -1 ] zero_data: true } } ]',
    right='state [ { input_name: "STATE" output_name: "NEXT" data_type: TYPE_FP32 dims: [ -1 ]\n'
    '  initial_state { name: "zero" data_type: TYPE_FP32 dims: [ 1 ] zero_data: true } } ]',
)
RULES = (CONTROL_NAME, CONTROL_TWICE, CONTROL_VALUES, CORRELATION_TYPE, SLOTS, STATE)
_SEQUENCE = "sequence_batching"
_CORRELATION_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")
_PAIRS = ("int32_false_true", "fp32_false_true", "bool_false_true")


def check(model: Model) -> Iterator[Diagnostic]:
    """Check sequence batching, if the model has it."""
    if not model.config.HasField(_SEQUENCE):
        return
    batching = model.config.sequence_batching
    if batching.HasField("oldest"):
        yield from scheduling.preferred(model, _SEQUENCE, "oldest")
    if batching.HasField("direct") and not 0 <= batching.direct.minimum_slot_utilization <= 1:
        found = f"{batching.direct.minimum_slot_utilization:g}"
        yield model.at(SLOTS, _SEQUENCE, "direct", "minimum_slot_utilization", found=found, expected="0 to 1")
    yield from _controls(model)
    for index in range(len(batching.state)):
        yield from _state(model, index)


def _controls(model: Model) -> Iterator[Diagnostic]:
    inputs = model.config.sequence_batching.control_input
    names = Counter(each.name for each in inputs)
    kinds = Counter(control.kind for each in inputs for control in each.control)
    reported = set()
    for index, each in enumerate(inputs):
        place = (_SEQUENCE, "control_input", index)
        if not each.name or (names[each.name] > 1 and each.name not in reported):
            found = f"{names[each.name]} control inputs are called {each.name!r}" if each.name else "a control input without a name"
            yield model.at(CONTROL_NAME, *place, found=found)
        reported.add(each.name)
        for number, control in enumerate(each.control):
            kind = control.Kind.Name(control.kind) if control.kind in control.Kind.values() else str(control.kind)
            if kinds[control.kind] > 1:
                yield model.at(CONTROL_TWICE, *place, "control", number, found=f"{kinds[control.kind]} controls of {kind}")
                kinds[control.kind] = 0
            yield from _values(model, control, kind=kind, place=(*place, "control", number))


def _values(model: Model, control: Any, *, kind: str, place: tuple[str | int, ...]) -> Iterator[Diagnostic]:
    pairs = {name: len(values) for name in _PAIRS if (values := getattr(control, name))}
    written = ", ".join(f"{name} with {count} values" for name, count in pairs.items())
    if kind == "CONTROL_SEQUENCE_CORRID":
        if pairs:
            yield model.at(CONTROL_VALUES, *place, found=f"{kind}: {written}", expected="data_type alone")
        types = model.config.DESCRIPTOR.fields_by_name["input"].message_type.fields_by_name["data_type"].enum_type
        chosen = types.values_by_number.get(control.data_type)
        if chosen is None or chosen.name not in _CORRELATION_TYPES:
            found = chosen.name if chosen is not None else str(control.data_type)
            yield model.at(CORRELATION_TYPE, *place, "data_type", found=found, expected=", ".join(_CORRELATION_TYPES))
    elif list(pairs.values()) != [2]:
        yield model.at(CONTROL_VALUES, *place, found=f"{kind}: {written or 'no values'}", expected="one pair of values")


def _state(model: Model, index: int) -> Iterator[Diagnostic]:
    state = model.config.sequence_batching.state[index]
    place = (_SEQUENCE, "state", index, "initial_state")
    name = f"state {state.input_name!r}"
    if len(state.initial_state) > 1:
        yield model.at(STATE, *place, 1, found=f"{name}: {len(state.initial_state)} initial states", expected="one")
    for initial in state.initial_state[:1]:
        if problem := _unfit(state, initial):
            yield model.at(STATE, *place, 0, found=f"{name}: {problem}")


def _unfit(state: Any, initial: Any) -> str | None:
    """Why an initial state does not fit its state; `None` if it does."""
    dims, wanted = list(initial.dims), list(state.dims)
    if initial.data_type != state.data_type:
        return "another data type than the state"
    if not initial.name:
        return "no name"
    if len(dims) != len(wanted) or any(size != most and most != -1 for size, most in zip(dims, wanted, strict=True)):
        return f"dims {dims}, the state has {wanted}"
    if -1 in dims:
        return f"dims {dims} with an axis of any size"
    return None if initial.WhichOneof("state_data") else "neither zero_data nor data_file"
