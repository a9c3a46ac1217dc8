"""Send samples that were never sent before: no cache has their responses, and no server has learned them by heart.

With a reference, the samples are a new draw, and every output is compared. Without one, there are two ways to a request that is new
although its expected outputs are known:

- A batch has room for samples of the golden set beside one that was changed a little. The outputs of the others must not change.
- A sample by itself is changed by the smallest possible steps, which must not move its outputs out of their tolerance.

A model with batches gets both in turns. Batch sizes other than the largest are random.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np

from tritonize.core import arrays, dtypes, progress
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import InferenceError
from tritonize.core.messages import server as wording
from tritonize.core.reports import Check
from tritonize.core.stages import StageName, Transport
from tritonize.quality.batch_checks import check_outputs
from tritonize.quality.golden_set import Batch, GoldenSet
from tritonize.triton import client, inference
from tritonize.triton.inference import Responses
from tritonize.triton.target import NewSamples, Target

_STEPS = 4
"""Most steps by which a number is changed; a step is the distance to the next number of its type."""
_FEW = 8
"""Elements of a tensor that are changed in types where one step is large: half precision."""
_MANY_COMBINATIONS = 10_000
"""Batches of unchanged samples that are possible at least, for a random one to be new."""


def send(target: Target, new: NewSamples, transports: Sequence[Transport]) -> Responses:
    """Send new samples over each transport, each transport with samples of its own."""
    responses = Responses()
    for place, transport in enumerate(progress.counted(transports, "transport")):
        with target.connect(transport) as connection:
            if new.golden is not None:
                own = range(place * target.profile.new, (place + 1) * target.profile.new)
                for batch in _batches(new.golden, own, np.random.default_rng([new.seed, place])):
                    _send_drawn(target, connection, new.golden, batch=batch, responses=responses)
            else:
                generator = np.random.default_rng([new.seed, place])
                for batch, inputs, compared in _requests(target.golden, generator, count=target.profile.mixed):
                    _send_changed(target, connection, inputs, batch=batch, compared=compared, responses=responses)
    over = ", ".join(transports)
    responses.note = wording.NEW_SAMPLES_SENT.text(count=len(responses.checks), over=over, origin=new.origin, seed=new.seed)
    return responses


def possible(target: Target, new: NewSamples) -> bool:
    """Whether a new request can be made whose outputs are known."""
    return (
        new.golden is not None
        or next(_requests(target.golden, np.random.default_rng(0), count=target.profile.mixed), None) is not None
    )


def _batches(golden: GoldenSet, own: Sequence[int], generator: np.random.Generator) -> Iterator[Batch]:
    """Batches of some samples: alone, at the largest size and at a random one; only samples of one shape fit into one batch."""
    if not golden.samples.batched:
        yield from ((index,) for index in own)
        return
    for group in arrays.groups(golden.samples):
        if members := [index for index in group if index in own]:
            yield from ((index,) for index in members)
            if golden.max_batch_size > 1:
                for size in sorted({_size(golden, generator), golden.max_batch_size}):
                    yield tuple(members[place % len(members)] for place in range(size))


def _size(golden: GoldenSet, generator: np.random.Generator) -> int:
    return int(generator.integers(2, golden.max_batch_size, endpoint=True))


def _send_drawn(target: Target, connection: client.Client, golden: GoldenSet, *, batch: Batch, responses: Responses) -> None:
    """Send a batch of new samples and compare all outputs with the reference's."""
    inputs = arrays.stack(golden.samples.files, batch)
    target.pace.wait()
    started = time.perf_counter()
    found = _infer(target, connection, inputs, responses=responses)
    if found is None:
        return
    first = target.golden.samples.files.count  # in the report, the new samples follow those of the golden set
    check = check_outputs(
        golden,
        StageName.NEW_SAMPLES,
        tuple(first + index for index in batch),
        expected=inference.as_served(golden.expected_outputs(batch), target.config, "output"),
        found=found,
        seconds=time.perf_counter() - started,
    )
    responses.checks.append(check)


def _send_changed(
    target: Target, connection: client.Client, inputs: Arrays, *, batch: Batch, compared: int, responses: Responses
) -> None:
    """Send a batch and compare the outputs of its first `compared` samples, or of all of an unbatched model."""
    golden, size = target.golden, len(batch)
    target.pace.wait()
    started = time.perf_counter()
    found = _infer(target, connection, inputs, responses=responses)
    if found is None:
        return
    own = {
        name: array[:compared] if compared < size and array.ndim and array.shape[0] == size else array
        for name, array in found.items()
    }
    expected = inference.as_served(golden.expected_outputs(batch[:compared]), target.config, "output")
    changed = compared == size == 1
    if changed:  # an integer or a truth value may change with its input
        expected = {name: array for name, array in expected.items() if _floating(array)}
        own = {name: array for name, array in own.items() if name in expected}
    check: Check = check_outputs(
        golden,
        StageName.NEW_SAMPLES,
        batch[:compared],
        expected=expected,
        found=own,
        tracker=None if changed else target.tracker,
        seconds=time.perf_counter() - started,
        batch_size=size if golden.samples.batched else 0,
    )
    responses.checks.append(check)


def _infer(target: Target, connection: client.Client, inputs: Arrays, *, responses: Responses) -> Arrays | None:
    try:
        return connection.infer(target.model, inference.as_served(inputs, target.config, "input"), version=str(target.version))
    except InferenceError as error:
        responses.findings.append(inference.refusal(f"{StageName.NEW_SAMPLES}, {connection.transport}", error))
        return None


def _requests(golden: GoldenSet, generator: np.random.Generator, *, count: int) -> Iterator[tuple[Batch, Arrays, int]]:
    """New requests with known outputs: samples, inputs, and how many of the samples are unchanged, or the changed one itself."""
    size = golden.max_batch_size
    groups = arrays.groups(golden.samples)
    for turn in range(count if groups else 0):
        members = groups[turn // 2 % len(groups)]
        batch: Batch = (int(generator.choice(members)),)
        if size < 2 or turn % 2:
            inputs = changed(arrays.load(golden.samples.files, batch[0]), generator)
            comparable = any(map(_floating, arrays.load(golden.expected, batch[0]).values()))
            if inputs is not None and comparable:
                yield batch, inputs, 1
                continue
        if size < 2:
            continue
        batch = tuple(int(index) for index in generator.choice(members, size))
        last = changed(arrays.load(golden.samples.files, batch[-1]), generator)
        if last is not None:
            batch = batch[-_size(golden, generator) :] if turn else batch
            items = [*(arrays.load(golden.samples.files, index) for index in batch[:-1]), last]
            yield batch, {name: np.concatenate([item[name] for item in items]) for name in last}, len(batch) - 1
        elif math.log(max(1, len(members))) * size > math.log(_MANY_COMBINATIONS):
            yield batch, arrays.stack(golden.samples.files, batch), size


def changed(item: Arrays, generator: np.random.Generator) -> Arrays | None:
    """A sample with its numbers moved by single steps of their types; `None` if it has no number that may move.

    Integers, text and whole numbers stay: they can be indices, lengths, masks and classes.
    """
    moved = {name: _moved(array, generator) for name, array in item.items()}
    if all(moved[name] is array for name, array in item.items()):
        return None
    return moved


def _moved(array: Array, generator: np.random.Generator) -> Array:
    if not _floating(array):
        return array
    with np.errstate(invalid="ignore"):
        wide = array.astype(np.float64)
        places = np.flatnonzero(np.isfinite(wide) & (wide != np.floor(wide)))
    if not places.size:
        return array
    steps = _STEPS
    if array.itemsize < np.dtype(np.float32).itemsize:
        places, steps = generator.choice(places, min(places.size, _FEW), replace=False), 1
    result = np.array(array, order="C")
    bits = result.reshape(-1).view(f"int{8 * array.itemsize}")
    bits[places] += (generator.integers(1, steps, places.size, endpoint=True) * generator.choice((-1, 1), places.size)).astype(
        bits.dtype
    )
    return result


def _floating(array: Array) -> bool:
    return array.dtype != object and dtypes.by_numpy(str(array.dtype)).floating
