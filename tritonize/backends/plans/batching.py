"""Batching for the backends that serve plans: requests with equal shapes and types run as one batch; each gets its own response.

Subclasses define what runs. Triton runs this file in its own process and environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bfloat16  # type: ignore[import-not-found] # it is in the folder of this file
import numpy as np
import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from tritonize.backends.python_backend import Request, Tensor

Array = np.ndarray


@dataclass(kw_only=True)
class _Job:
    """One request while it is processed."""

    index: int
    feeds: dict[str, Array]
    outputs: tuple[str, ...]
    """Names of the requested outputs."""
    rows: int
    """Size of the batch; 0 in a model without batching."""

    def kind(self) -> tuple[object, ...]:
        """The key of requests that can run as one batch: input names, types, and shapes without the batch axis."""
        return tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in self.feeds.items()))


class BatchingModel:
    """A model that processes lists of requests; a backend's `initialize` sets the three attributes."""

    batched: bool
    """Whether the first axis of every tensor is the batch."""
    outputs: dict[str, list[int]]
    """Name of every output to its dims in the configuration."""
    bf16_outputs: set[str]
    """Outputs that are computed as the bits of bfloat16, for which NumPy has no type."""

    def __init__(self) -> None:
        self._kept: list[Array] = []

    def feed(self, tensor: Tensor) -> Array:
        """Convert an input tensor to the array that the model expects."""
        raise NotImplementedError

    def compute(self, names: list[str], feeds: dict[str, Array]) -> dict[str, Array]:
        """Compute at least the named outputs for one batch."""
        raise NotImplementedError

    def release(self) -> None:
        """Free the arrays that the last responses refer to."""
        self._kept.clear()

    def execute(self, requests: Sequence[Request]) -> list[object]:
        """Return a response for every request, with outputs or an error; requests with equal shapes and types run as one batch."""
        self.release()  # the previous responses have been sent
        answers: list[object] = [None] * len(requests)
        groups: dict[object, list[_Job]] = {}
        for index, request in enumerate(requests):
            try:
                job = self._read(index, request)
            except Exception as error:  # noqa: BLE001 - an error of one request becomes its response
                answers[index] = _refusal(error)
            else:
                groups.setdefault(job.kind() if self.batched else index, []).append(job)
        for group in groups.values():
            for job, answer in self._answer(group):
                answers[job.index] = answer
        return answers

    def _read(self, index: int, request: Request) -> _Job:
        feeds = {tensor.name(): self.feed(tensor) for tensor in request.inputs()}
        outputs = tuple(request.requested_output_names()) or tuple(self.outputs)
        rows = next(iter(feeds.values())).shape[0] if self.batched and feeds else 0
        return _Job(index=index, feeds=feeds, outputs=outputs, rows=rows)

    def _answer(self, group: list[_Job]) -> Iterator[tuple[_Job, object]]:
        """Run the jobs as one batch; if that fails, run each alone, so that only the faulty one gets an error."""
        try:
            answers = self._responses(group, self._run(group))
        except Exception as error:  # noqa: BLE001 - an exception would end the stub process
            if len(group) == 1:
                yield group[0], _refusal(error)
                return
            for job in group:
                yield from self._answer([job])
        else:
            yield from zip(group, answers, strict=True)

    def _run(self, group: list[_Job]) -> dict[str, Array]:
        feeds = group[0].feeds
        if len(group) > 1:
            feeds = {name: np.concatenate([job.feeds[name] for job in group]) for name in feeds}
        names = [name for name in self.outputs if any(name in job.outputs for job in group)]
        found = self.compute(names, feeds)
        if self.batched:
            rows = sum(job.rows for job in group)
            for name in names:
                shape = found[name].shape
                if not shape or shape[0] != rows:
                    raise ValueError(f"output '{name}' has shape {list(shape)} for a batch of {rows}; expected {rows} first")
        return found

    def _responses(self, group: list[_Job], found: dict[str, Array]) -> list[object]:
        answers, start = [], 0
        for job in group:
            part = slice(start, start + job.rows) if len(group) > 1 else slice(None)
            start += job.rows
            tensors = []
            for name in job.outputs:
                array = found[name]
                tensors.append(self._tensor(name, array[part] if array.ndim else array.reshape(self.outputs[name])))
            answers.append(pb_utils.InferenceResponse(output_tensors=tensors))
        return answers

    def _tensor(self, name: str, array: Array) -> object:
        if name not in self.bf16_outputs:
            return pb_utils.Tensor(name, array)
        bits = np.ascontiguousarray(array)
        self._kept.append(bits)
        return pb_utils.Tensor.from_dlpack(name, bfloat16.capsule(bits))


def _refusal(error: Exception) -> object:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(f"{error}" or type(error).__name__))
