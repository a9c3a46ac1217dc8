"""Ask for the top classes of outputs that have labels, and compare value, index and label of each with the reference.

A class is `value:index:label`. The value has six decimals, and the label is left out where the label file has no line. Source: the
classification extension of the KServe v2 protocol, and `classification.cc` in triton-inference-server/server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tritonize.core import arrays, bounded_files, texts
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import InferenceError, UsageError
from tritonize.core.messages import server as wording
from tritonize.core.reports import Check, TensorCheck
from tritonize.core.stages import StageName
from tritonize.quality.golden_set import Batch
from tritonize.spec.schema import Tolerance
from tritonize.triton import client, inference, model_config
from tritonize.triton.inference import Responses
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.target import Target

_TYPES = ("fp32", "fp64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
"""Element types of which Triton returns classes."""
_MOST = 5
"""Classes that are asked for, after a first request for all of them."""
_SAMPLES = 4
"""Samples of each transport that are sent alone; then one batch of the largest size."""
_HALF_DECIMAL = 5e-7
"""Largest rounding error of a value with six decimals."""


class _Class(NamedTuple):
    value: float
    element: int
    label: str


def read(directory: Path, config: ModelConfig) -> dict[str, list[str]]:
    """The labels of every output that has some, in a model's directory.

    Raises:
        UsageError: a label file cannot be read.
    """
    found = {}
    for output, name in model_config.label_files(config).items():
        try:
            found[output] = bounded_files.text(directory / name).removesuffix("\n").split("\n")
        except (OSError, ValueError) as error:
            raise UsageError.of(wording.LABELS_UNREADABLE, where=str(directory / name), found=str(error), output=output) from error
    return found


def batches(target: Target) -> list[Batch]:
    """The batches that are sent over each transport: some samples alone, and one batch of the largest size; or one sample."""
    every = target.golden.batches()
    sent: list[Batch] = []
    sent += [batch for batch in every if len(batch) == 1][: 1 if target.profile.leaves_out else _SAMPLES]
    sent += [] if target.profile.leaves_out else [batch for batch in every[-1:] if len(batch) > 1]
    return sent


def why_not(target: Target) -> str | None:
    """Why nothing is asked of an output with labels; `None` if there are outputs to ask about."""
    kinds = {each.name: each.dtype for each in target.golden.expected.tensors if each.name in target.labels}
    if any(kind in _TYPES for kind in kinds.values()):
        return None
    return wording.CLASSES_IMPOSSIBLE.text(types=", ".join(sorted(set(kinds.values()))))


def send(target: Target) -> Responses:
    """Ask over HTTP and gRPC: first for all classes, so that every label is compared, then for the largest ones."""
    responses = Responses()
    asked = [each.name for each in target.golden.expected.tensors if each.name in target.labels and each.dtype in _TYPES]
    for transport in target.transports:
        with target.connect(transport) as connection:
            for number, batch in enumerate(batches(target)):
                expected = inference.as_served(target.golden.expected_outputs(batch), target.config, "output")
                own = {name: expected[name] for name in asked if np.isfinite(expected[name]).all() and expected[name].size}
                if own:  # the order of NaN is undefined
                    _ask(target, connection, batch, own=own, most=_MOST if number else None, responses=responses)
    count = sum(tensor.elements for check in responses.checks for tensor in check.tensors)
    responses.note = wording.CLASSES_COMPARED.text(count=count, outputs=", ".join(asked))
    return responses


def _ask(target: Target, connection: client.Client, batch: Batch, *, own: Arrays, most: int | None, responses: Responses) -> None:
    batched = target.golden.samples.batched
    inputs = inference.as_served(arrays.stack(target.golden.samples.files, batch), target.config, "input")
    sizes = {name: array[0].size if batched else array.size for name, array in own.items()}
    classes = {name: size if most is None else min(size, most) for name, size in sizes.items()}
    target.pace.wait()
    started = time.perf_counter()
    try:
        found = connection.classify(target.model, inputs, classes, version=str(target.version))
    except InferenceError as error:
        responses.findings.append(inference.refusal(f"{StageName.CLASSIFICATION}, {connection.transport}", error))
        return
    tensors = tuple(_checked(target, name, array, found=found.get(name), count=classes[name]) for name, array in own.items())
    responses.checks.append(
        Check(
            stage=StageName.CLASSIFICATION,
            batch_size=len(batch) if batched else 0,
            samples=batch,
            tensors=tensors,
            seconds=time.perf_counter() - started,
        )
    )


def _checked(target: Target, name: str, expected: Array, *, found: Array | None, count: int) -> TensorCheck:
    """Compare the classes of one output with the elements of the expected one."""
    batched = target.golden.samples.batched
    rows = expected.reshape(len(expected), -1) if batched else expected.reshape(1, -1)
    shape = (len(rows), count) if batched else (count,)
    exact = expected.dtype.kind in "iub"
    tolerance = Tolerance(rtol=0, atol=0) if exact else target.golden.tolerances.get(name, Tolerance())
    if found is None or found.dtype != object or found.shape != shape:
        described = "nothing" if found is None else f"{arrays.dtype_name(found)} {list(found.shape)}"
        reasons = [wording.CLASSES_SHAPE.text(expected=f"string {list(shape)}", found=described)]
    else:
        lines = texts.decoded(found).reshape(len(rows), count)
        reasons = [
            why
            for row, line in zip(rows, lines, strict=True)
            for why in _wrong(row, line, target.labels[name], tolerance=tolerance)
        ]
    return TensorCheck(
        name=name,
        passed=not reasons,
        reason=f"{len(reasons)} of {len(rows) * count} classes differ; the first one: {reasons[0]}" if reasons else None,
        expected_shape=shape,
        found_shape=None if found is None else found.shape,
        expected_dtype="string",
        found_dtype=None if found is None else arrays.dtype_name(found),
        rtol=tolerance.rtol,
        atol=tolerance.atol,
        elements=len(rows) * count,
    )


def _wrong(row: Array, lines: Array, labels: Sequence[str], *, tolerance: Tolerance) -> Iterator[str]:
    """Why each class of one sample is wrong. Equal elements, and those within the tolerance of each other, have any order."""
    values = row.astype(np.float64)
    descending = np.sort(values)[::-1]
    seen: set[int] = set()
    for rank, line in enumerate(lines):
        found = _parsed(line)
        if found is None or not 0 <= found.element < len(values) or found.element in seen:
            yield wording.CLASS_INVALID.text(found=repr(line[:60]))
            continue
        seen.add(found.element)
        label = labels[found.element] if found.element < len(labels) else ""
        value, ranked = float(values[found.element]), float(descending[rank])
        allowed = tolerance.atol + tolerance.rtol * max(abs(value), abs(ranked))
        in_place = abs(value - ranked) <= 2 * allowed
        equal = abs(found.value - value) <= allowed + _HALF_DECIMAL  # false for NaN
        if not (in_place and equal and found.label == label):
            best = found.element if in_place else int(np.flatnonzero(values == ranked)[0])
            wanted = f"{values[best]:f}:{best}:{labels[best] if best < len(labels) else ''}"
            yield wording.CLASS_DIFFERS.text(found=repr(line[:60]), expected=repr(wanted[:60]), rank=rank + 1)


def _parsed(line: str) -> _Class | None:
    value, _, rest = line.partition(":")
    index, _, label = rest.partition(":")
    try:
        return _Class(float(value), int(index), label)
    except ValueError:
        return None
