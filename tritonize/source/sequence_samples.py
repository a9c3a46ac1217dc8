"""Lay samples out as the steps of sequences: the controls and the first state that Triton's sequence batcher gives each step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from tritonize.core import arrays
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import Sequences
from tritonize.spec import schema, sequences
from tritonize.spec.sequences import Contract, Control

DEFAULT_LENGTH = 4
_STREAM = 1_000_002
"""Random stream of the correlation ids; no sample, example or case with NaN uses this number."""
_SMALLEST_ID, _LARGEST_ID = 2**20, 2**30
"""Range of the first correlation id: every type of a control holds it, and few clients use such numbers."""


def lengths(model: schema.Model, least: int) -> list[int]:
    """The number of steps of each generated sequence; every second one is shorter, so that they end at different times.

    Args:
        least: the smallest number of steps in all.
    """
    longest = model.samples.sequence_length or DEFAULT_LENGTH
    found: list[int] = []
    while len(found) < model.samples.count or sum(found) < least:
        found.append(max(1, longest // 2) if len(found) % 2 else longest)
    return found


def chunks(items: Iterator[Arrays], sizes: Sequence[int]) -> Iterator[list[Arrays]]:
    """Yield the steps of one sequence after another."""
    for size in sizes:
        yield list(itertools.islice(items, size))


def steps(model: schema.Model, contract: Contract, number: int, *, items: Sequence[Arrays]) -> Iterator[Arrays]:
    """Yield the steps of a sequence with their controls, and with the state of the first one.

    A later state is unknown before the model has run: `core/sequence_states.py` replaces it.

    Args:
        model: the model's part of the spec.
        contract: its controls and states.
        number: the number of the sequence, from which its correlation id follows.
        items: the steps, with values for all other inputs.
    """
    for place, item in enumerate(items):
        first, last = place == 0, place == len(items) - 1
        yield {**item, **controls(model, contract, number, first=first, last=last), **first_states(model, contract)}


def controls(model: schema.Model, contract: Contract, number: int, *, first: bool, last: bool) -> Arrays:
    """The controls of one step, as Triton sets them for a request that is ready."""
    switches = {"START": first, "END": last, "READY": True}
    found: Arrays = {}
    for each in contract.controls:
        value = _correlation_id(model, number) if each.kind == "CORRID" else each.values[switches[each.kind]]
        found[each.name] = _control(model, each, value)
    return found


def _control(model: schema.Model, control: Control, value: float) -> Array:
    shape = (1, 1) if model.max_batch_size else (1,)
    if control.dtype == "string":
        return np.full(shape, str(value), object)
    return np.full(shape, value).astype(arrays.numpy_dtype(control.dtype))


def _correlation_id(model: schema.Model, number: int) -> int:
    generator = np.random.default_rng([model.samples.seed, _STREAM])
    return int(generator.integers(_SMALLEST_ID, _LARGEST_ID)) + number


def first_states(model: schema.Model, contract: Contract) -> Arrays:
    """The states at the start of a sequence: zeros, also where Triton leaves them uninitialized, as nothing may depend on them."""
    batch = (1,) if model.max_batch_size else ()
    return {
        each.input: np.full((*batch, *each.first_dims), "" if each.dtype == "string" else 0, arrays.numpy_dtype(each.dtype))
        for each in contract.states
    }


def alone(model: schema.Model, contract: Contract, number: int) -> Arrays:
    """Controls and states of a sequence of one step, which is its first and its last one."""
    return {**controls(model, contract, number, first=True, last=True), **first_states(model, contract)}


def described(contract: Contract, starts: Sequence[int]) -> Sequences:
    """The sequences whose first samples are `starts`."""
    return Sequences(
        starts=tuple(starts),
        states={each.input: each.output for each in contract.states},
        unset=tuple(each.input for each in contract.states if each.initial_dims is None),
    )


def as_example(model: schema.Model, item: Arrays, place: int) -> Arrays:
    """An item of the exporter's example with valid controls: the first one starts a sequence, and the second one continues one."""
    contract = sequences.of(model)
    return item if contract is None else {**item, **controls(model, contract, place, first=place == 0, last=False)}
