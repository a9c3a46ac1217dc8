"""Send one request to a served model: a response becomes a check, an error becomes a finding."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from tritonize.core import arrays
from tritonize.core.arrays import Arrays
from tritonize.core.errors import InferenceError
from tritonize.core.messages import client as client_messages
from tritonize.core.reports import Check, Finding
from tritonize.core.stages import StageName
from tritonize.quality.batch_checks import check_outputs
from tritonize.spec import sequences
from tritonize.triton import client, model_config
from tritonize.triton.protocol import ModelConfig, TensorConfig
from tritonize.triton.target import Target


@dataclass(kw_only=True)
class Responses:
    """The results of some requests; each request adds one."""

    checks: list[Check] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    note: str = ""
    """The note of their stage."""
    requests: int = 0
    """How many were sent, where one request has several responses; else 0."""


class Comparing:
    """Compares responses in a second thread, each while the next request is under way: the server need not wait.

    At most one response waits to be compared, so memory holds two of them.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Wait for the last comparison."""
        self._thread.shutdown()
        if self._last is not None and error is None:
            self._last.result()

    def add(self, compare: Callable[[], None]) -> None:
        """Call a function in the second thread, after the one before it has returned. Raises what that one raised."""
        if self._last is not None:
            self._last.result()
        self._last = self._thread.submit(compare)


def send_padded(target: Target, connection: client.Client, index: int, *, batch: Arrays, responses: Responses) -> None:
    """Send one sample followed by padding, and compare the sample's part of the response."""
    size = target.golden.max_batch_size
    target.pace.wait()
    started = time.perf_counter()
    try:
        found = connection.infer(target.model, as_served(batch, target.config, "input"), version=str(target.version))
    except InferenceError as error:
        responses.findings.append(refusal(f"padded, sample {index}", error, stage=StageName.PADDED))
        return
    seconds = time.perf_counter() - started
    own = {name: array[:1] if array.ndim and array.shape[0] == size else array for name, array in found.items()}
    expected = as_served(target.golden.expected_outputs((index,)), target.config, "output")
    golden, tracker = target.golden, target.tracker
    check = check_outputs(
        golden, StageName.PADDED, (index,), expected=expected, found=own, tracker=tracker, seconds=seconds, batch_size=size
    )
    responses.checks.append(check)


def send(
    target: Target,
    connection: client.Client,
    stage: StageName,
    *,
    indices: tuple[int, ...],
    responses: Responses,
    outputs: Sequence[str] | None = None,
    comparing: Comparing | None = None,
) -> None:
    """Send one request; a response becomes a check, an error becomes a finding.

    Args:
        outputs: names of the outputs to request and compare; by default the request names none and gets all.
        comparing: compares the response later; by default it is compared before this function returns.
    """
    inputs = as_served(arrays.stack(target.golden.samples.files, indices), target.config, "input")
    size = len(indices) if target.golden.samples.batched else 0
    target.pace.wait()
    started = time.perf_counter()
    try:
        found = connection.infer(target.model, inputs, version=str(target.version), outputs=outputs)
    except InferenceError as error:
        where = f"{stage}, batch {size}, samples {_some(indices)}{_by_name(outputs)}"
        responses.findings.append(refusal(where, error, stage=stage))
        return
    seconds = time.perf_counter() - started
    compare = functools.partial(
        _compare, target, stage, indices, found=found, seconds=seconds, responses=responses, outputs=outputs
    )
    if comparing is None:
        compare()
    else:
        comparing.add(compare)


def _compare(
    target: Target,
    stage: StageName,
    indices: tuple[int, ...],
    *,
    found: Arrays,
    seconds: float,
    responses: Responses,
    outputs: Sequence[str] | None,
) -> None:
    expected = as_served(target.golden.expected_outputs(indices), target.config, "output")
    if outputs is not None:
        expected = {name: expected[name] for name in outputs}
    digest = arrays.digest(found)
    golden, tracker = target.golden, target.tracker
    responses.checks.append(
        check_outputs(golden, stage, indices, expected=expected, found=found, tracker=tracker, seconds=seconds, digest=digest)
    )
    if outputs is None:
        target.digests.add(stage, indices, digest)


def refusal(where: str, error: InferenceError, *, stage: StageName | None = None) -> Finding:
    """The finding for a request without a usable response."""
    refused = error.code in (None, client_messages.MODEL_REFUSED.code)
    what = "the server refused" if refused else error.what
    return Finding(where=where, what=what, expected=error.expected, found=error.found or error.what, stage=stage)


def _by_name(outputs: Sequence[str] | None) -> str:
    return "" if outputs is None else f", outputs {', '.join(outputs)} by name"


def _some(indices: Sequence[int]) -> str:
    first = ", ".join(str(index) for index in indices[:4])
    return f"{first}, …" if len(indices) > 4 else first


def as_served(batch: Arrays, config: ModelConfig, field: Literal["input", "output"]) -> Arrays:
    """The arrays in the shape that a client sends and receives: a scalar tensor is served with one axis of size 1.

    The controls and states of a stateful model are left out, unless its configuration lists them.
    """
    if sequences.SECTION in config:
        listed = {tensor["name"] for tensor in config.get(field, [])}
        batch = {name: array for name, array in batch.items() if name in listed}
    batched = bool(int(config.get("max_batch_size", 0)))
    reshaped = {
        tensor["name"]
        for tensor in config.get(field, [])
        if "reshape" in tensor or (config.get("platform") == model_config.ENSEMBLE and _is_single(tensor, batch, batched=batched))
    }
    return {name: array.reshape(*array.shape, 1) if name in reshaped or array.ndim == 0 else array for name, array in batch.items()}


def _is_single(tensor: TensorConfig, batch: Arrays, *, batched: bool) -> bool:
    """Whether an array of an ensemble has no axis besides the batch, where its step has one of size 1."""
    array = batch.get(tensor["name"])
    return array is not None and array.ndim == batched and [int(size) for size in tensor["dims"]] == [1]
