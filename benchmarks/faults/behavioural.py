"""Behavioural faults: a right model behind a server that answers wrongly. They always count.

Each `put` wraps what answers; `None` where the model gives the fault nothing to do.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.faults.situation import Answering, Put, Question, Situation, rows
from tritonize.core.arrays import Array, Arrays


@dataclass(frozen=True, kw_only=True)
class Behavioural:
    """A fault of what serves a model."""

    name: str
    put: Put
    concurrent: bool = False
    """Whether only clients that ask at the same time can see it."""


def _after(change: Callable[[Situation, Question, Arrays], Arrays]) -> Put:
    """A fault that changes every answer."""

    def put(at: Situation) -> Answering:
        return lambda asked: change(at, asked, at.answer(asked))

    return put


def _before(change: Callable[[Situation, Arrays], Arrays]) -> Put:
    """A fault that changes every question."""

    def put(at: Situation) -> Answering | None:
        if all(np.array_equal(array, at.sample[name]) for name, array in change(at, at.sample).items()):
            return None
        return lambda asked: at.answer(
            Question(inputs=change(at, asked.inputs), connection=asked.connection, clients=asked.clients)
        )

    return put


def _outputs_swapped(at: Situation) -> Answering | None:
    names = list(at.expected)
    if len(names) < 2:
        return None

    def answer(asked: Question) -> Arrays:
        found = at.answer(asked)
        return {name: found[other] for name, other in zip(names, names[1:] + names[:1], strict=True)}

    return answer


def _square(array: Array) -> bool:
    return array.ndim > 2 and array.shape[-1] == array.shape[-2] > 1


def _transposed(arrays: Arrays) -> Arrays:
    return {name: array.swapaxes(-1, -2).copy() if _square(array) else array for name, array in arrays.items()}


def _answer_transposed(at: Situation) -> Answering | None:
    if not any(_square(array) for array in at.expected.values()):
        return None
    return lambda asked: _transposed(at.answer(asked))


def _answer_reordered(at: Situation) -> Answering | None:
    """Channels last in memory, handed out under the old shape."""
    if not any(array.ndim > 2 for array in at.expected.values()):
        return None

    def change(array: Array) -> Array:
        return np.moveaxis(array, 1, -1).reshape(array.shape).copy() if array.ndim > 2 else array

    return lambda asked: {name: change(array) for name, array in at.answer(asked).items()}


def _first(change: Callable[[Array], Array]) -> Put:
    """The first output changed as a whole."""

    def changed(_: Situation, __: Question, found: Arrays) -> Arrays:
        name = next(iter(found))
        return {**found, name: change(found[name])}

    return _after(changed)


def _element(change: Callable[[float, float], float], *, every: int = 1) -> Put:
    """One element of the first output in every so many answers, given its value and the output's scale."""

    def put(at: Situation) -> Answering:
        count = itertools.count(int(at.generator.integers(every)))
        place = int(at.generator.integers(1 << 30))

        def answer(asked: Question) -> Arrays:
            found = at.answer(asked)
            if next(count) % every:
                return found
            name = next(iter(found))
            array = found[name].copy()
            spot = place % array.size
            array.flat[spot] = change(float(array.flat[spot]), at.scales[name])
            return {**found, name: array}

        return answer

    return put


def _missing(_: Situation, __: Question, found: Arrays) -> Arrays:
    return dict(list(found.items())[:-1])


def _extra(_: Situation, __: Question, found: Arrays) -> Arrays:
    return {**found, "extra": next(iter(found.values()))}


def _batch(change: Callable[[Array], Array]) -> Put:
    """The rows of a batch changed, where there are several."""

    def changed(_: Situation, asked: Question, found: Arrays) -> Arrays:
        return {name: change(array) for name, array in found.items()} if rows(asked.inputs) > 1 else found

    return _after(changed)


def _one_off(at: Situation) -> Answering:
    """The answer to the request before, where it has the same shape."""
    last: list[Arrays] = []

    def answer(asked: Question) -> Arrays:
        found = at.answer(asked)
        before = last[-1] if last else found
        last.append(found)
        same = all(before[name].shape == array.shape for name, array in found.items())
        return before if same else found

    return answer


def _row_off(at: Situation) -> Answering:
    """A queue that is one row behind: of every batch the first row is the last one of the batch before."""
    last: list[Arrays] = []

    def answer(asked: Question) -> Arrays:
        found = at.answer(asked)
        before = last[-1] if last else found
        last.append(found)
        if any(before[name].shape[1:] != array.shape[1:] for name, array in found.items()):
            return found
        return {name: np.concatenate([before[name][-1:], array[:-1]]) for name, array in found.items()}

    return answer


def _padding_leak(at: Situation) -> Answering:
    """Rows of zeros in a batch shift the others by a thousandth of the output's size."""

    def answer(asked: Question) -> Arrays:
        found = at.answer(asked)
        count = rows(asked.inputs)
        empty = sum(all(not array[row].any() for array in asked.inputs.values()) for row in range(count))
        if count == 1 or not empty:
            return found
        return {name: array + np.float32(1e-3 * at.scales[name]) for name, array in found.items()}

    return answer


def _full_batch(at: Situation, asked: Question, found: Arrays) -> Arrays:
    """Only the last row of batches of four is wrong, by a thousandth."""
    if rows(asked.inputs) < 4:
        return found
    changed = {name: array.copy() for name, array in found.items()}
    for name, array in changed.items():
        array[-1] += np.float32(1e-3 * at.scales[name])
    return changed


def _truncated(_: Situation, inputs: Arrays) -> Arrays:
    """The last place of a sequence is lost."""
    if "mask" in inputs:
        return {name: np.where(np.arange(array.shape[-1]) < array.shape[-1] - 1, array, 0) for name, array in inputs.items()}
    name, axis = ("series", 1) if "series" in inputs else ("wave", 2)
    if name not in inputs:
        return inputs
    array = inputs[name].copy()
    array[(slice(None),) * axis + (-1,)] = 0
    return {name: array}


def _mixed_up(every: int) -> Put:
    """Clients that ask at the same time get each other's answer, one request in so many.

    Each time one is due the next answer is kept back for the one that another client was given before, if that was another
    answer of the same shape.
    """

    def put(at: Situation) -> Answering:
        lock = threading.Lock()
        asked_since = 0
        last: dict[tuple[tuple[int, ...], ...], tuple[int, Arrays]] = {}

        def answer(asked: Question) -> Arrays:
            nonlocal asked_since
            found = at.answer(asked)
            if asked.clients < 2:
                return found
            key = tuple(array.shape for array in found.values())
            with lock:
                client, other = last.get(key, (asked.connection, found))
                last[key] = asked.connection, found
                asked_since += 1
                differs = any(not np.array_equal(other[name], array) for name, array in found.items())
                if asked_since < every or client == asked.connection or not differs:
                    return found
                asked_since = 0
                return other

        return answer

    return put


def _edge_only(case: str) -> Put:
    """Wrong by a hundredth of the output's size at one edge case alone."""

    def put(at: Situation) -> Answering | None:
        if case not in at.edges:
            return None
        edge = at.edges[case]

        def answer(asked: Question) -> Arrays:
            found = at.answer(asked)
            here = all(
                array.shape == edge[name].shape and np.array_equal(array, edge[name]) for name, array in asked.inputs.items()
            )
            return {name: array + np.float32(1e-2 * at.scales[name]) for name, array in found.items()} if here else found

        return answer

    return put


def _stale(at: Situation) -> Answering:
    return at.stale


def _stale_at_times(at: Situation) -> Answering:
    """One of three instances serves the version before."""
    count = itertools.count()
    return lambda asked: at.stale(asked) if next(count) % 3 == 2 else at.answer(asked)


_FAULTS = (
    ("outputs swapped", _outputs_swapped),
    ("input layout transposed", _before(lambda _, inputs: _transposed(inputs))),
    ("output layout transposed", _answer_transposed),
    ("channels last, under the old shape", _answer_reordered),
    ("missing output", _after(_missing)),
    ("extra output", _after(_extra)),
    ("wrong shape", _first(lambda array: array[..., None])),
    ("flattened output", _first(lambda array: array.reshape(-1))),
    ("float64 instead of float32", _first(lambda array: array.astype(np.float64))),
    ("float16 instead of float32", _first(lambda array: array.astype(np.float16))),
    ("output cast to int and back", _first(lambda array: array.astype(np.int64).astype(array.dtype))),
    ("all zeros", _first(np.zeros_like)),
    ("NaN in one element", _element(lambda *_: float("nan"))),
    ("infinity in one element", _element(lambda *_: float("inf"))),
    ("NaN in 1 answer of 12", _element(lambda *_: float("nan"), every=12)),
    ("one element 1 % of the scale off", _element(lambda value, scale: value + 0.01 * scale)),
    ("one element off, 1 answer of 12", _element(lambda value, scale: value + 0.01 * scale, every=12)),
    ("stale version served", _stale),
    ("stale version in 1 answer of 3", _stale_at_times),
    ("rows of a batch mixed up", _batch(lambda array: np.roll(array, 1, axis=0))),
    ("first row of a batch repeated", _batch(lambda array: np.repeat(array[:1], len(array), axis=0))),
    ("last row of a batch lost", _batch(lambda array: array[:-1])),
    ("last row of a full batch off", _after(_full_batch)),
    ("one request off", _one_off),
    ("one row off", _row_off),
    ("padding leak", _padding_leak),
    ("truncated sequence", _before(_truncated)),
    ("wrong at zeros alone", _edge_only("zeros")),
    ("wrong at the largest value alone", _edge_only("largest")),
)
BEHAVIOURAL = (
    *(Behavioural(name=name, put=put) for name, put in _FAULTS),
    Behavioural(name="concurrent answers mixed, 1 of 3", put=_mixed_up(3), concurrent=True),
    Behavioural(name="concurrent answers mixed, 1 of 20", put=_mixed_up(20), concurrent=True),
)
