"""A Python-based Triton backend that serves ONNX models with ONNX Runtime on the CPU.

It takes the very repository that stock Triton serves with its native backend: `platform: "onnxruntime_onnx"`, a plain
`<version>/model.onnx`, the same parameters. Triton runs this file in its own process and environment (NumPy 1.26);
nothing of tritonize imports it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import bfloat16  # type: ignore[import-not-found] # it lies beside this file
import contract  # type: ignore[import-not-found]
import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

_BF16 = 16  # TensorProto.BFLOAT16

Array = Any


@dataclass(kw_only=True)
class _Job:
    """One request on its way through."""

    index: int
    feeds: dict[str, Array]
    wanted: tuple[str, ...]
    rows: int
    """Size of the batch; 0 in a model without batching."""

    def kind(self) -> tuple[Any, ...]:
        """Requests of one kind can be joined: the same inputs, alike in everything but the batch."""
        return tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in self.feeds.items()))


class TritonPythonModel:
    """One instance of one version of a model; the names of the methods are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model and compare it with its configuration; raises with the reason, which Triton logs."""
        config = json.loads(args["model_config"])
        # Where plans are served beside it the server sees a GPU, and gives it to every group that names no kind.
        if args["model_instance_kind"] == "GPU" and "TRITONIZE_TENSORRT" not in os.environ:
            raise ValueError("instance_group: KIND_GPU is asked for, the embedded server runs models on the CPU")
        directory = Path(args["model_repository"]) / args["model_version"]
        file = contract.model_file(config, directory)
        options = contract.session_options(config)
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        contract.check(config, session)
        self._session = session
        self._run_options = contract.run_options(config)
        self._batched = int(config.get("max_batch_size", 0)) > 0
        inputs = (*session.get_inputs(), *session.get_overridable_initializers())
        self._inputs = {tensor.name: tensor.type for tensor in inputs}
        self._scalar_inputs = {tensor.name for tensor in inputs if not tensor.shape}
        self._outputs = {entry["name"]: [int(dim) for dim in entry["dims"]] for entry in config.get("output", [])}
        types = {tensor.name: tensor.type for tensor in session.get_outputs()}
        self._bf16_outputs = {name for name in self._outputs if types[name] == "tensor(bfloat16)"}
        self._has_bf16 = bool(self._bf16_outputs) or "tensor(bfloat16)" in self._inputs.values()
        self._kept: list[Array] = []
        pb_utils.Logger.log_info(f"{args['model_instance_name']}: ONNX Runtime {ort.__version__}, Python {sys.version.split()[0]}")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request, with its outputs or with an error of its own; requests that are alike run as one batch."""
        self._kept.clear()  # the previous responses have been sent
        answers: list[Any] = [None] * len(requests)
        groups: dict[Any, list[_Job]] = {}
        for index, request in enumerate(requests):
            try:
                job = self._read(index, request)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one request is its own answer
                answers[index] = _refusal(error)
            else:
                groups.setdefault(job.kind() if self._batched else index, []).append(job)
        for group in groups.values():
            for job, answer in self._answer(group):
                answers[job.index] = answer
        return answers

    def finalize(self) -> None:
        """Free the model."""
        self._kept.clear()
        del self._session

    def _read(self, index: int, request: Any) -> _Job:
        feeds = {}
        for tensor in request.inputs():
            name = tensor.name()
            array = bfloat16.read(tensor) if self._inputs[name] == "tensor(bfloat16)" else tensor.as_numpy()
            if name in self._scalar_inputs:
                array = array.reshape(())  # Triton has no scalars: they come as one element
            feeds[name] = _as_text(name, array) if array.dtype == object else array
        wanted = tuple(request.requested_output_names()) or tuple(self._outputs)
        rows = next(iter(feeds.values())).shape[0] if self._batched and feeds else 0
        return _Job(index=index, feeds=feeds, wanted=wanted, rows=rows)

    def _answer(self, group: list[_Job]) -> Iterator[tuple[_Job, Any]]:
        """Run the jobs as one batch; where that fails, each alone, so that only the one at fault is refused."""
        try:
            answers = self._responses(group, self._run(group))
        except Exception as error:  # noqa: BLE001 - an error must never end the stub
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
        names = [name for name in self._outputs if any(name in job.wanted for job in group)]
        if self._has_bf16:
            outputs = self._run_with_bf16(names, feeds)
        else:
            outputs = dict(zip(names, self._session.run(names, feeds, self._run_options), strict=True))
        if self._batched:
            rows = sum(job.rows for job in group)
            for name, array in outputs.items():
                if array.ndim == 0 or array.shape[0] != rows:
                    raise ValueError(f"output '{name}' has shape {list(array.shape)} for a batch of {rows}; expected {rows} first")
        return outputs

    def _run_with_bf16(self, names: list[str], feeds: dict[str, Array]) -> dict[str, Array]:
        """The same through values that carry their ONNX type, since NumPy has none for bfloat16."""
        values = {}
        for name, array in feeds.items():
            if self._inputs[name] == "tensor(bfloat16)":
                values[name] = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(array), _BF16)
            else:
                values[name] = ort.OrtValue.ortvalue_from_numpy(array)
        results = self._session.run_with_ort_values(names, values, self._run_options)
        return {
            name: bfloat16.bits_of(value) if name in self._bf16_outputs else value.numpy()
            for name, value in zip(names, results, strict=True)
        }

    def _responses(self, group: list[_Job], outputs: dict[str, Array]) -> list[Any]:
        answers, start = [], 0
        for job in group:
            part = slice(start, start + job.rows) if len(group) > 1 else slice(None)
            start += job.rows
            tensors = []
            for name in job.wanted:
                array = outputs[name]
                tensors.append(self._tensor(name, array[part] if array.ndim else array.reshape(self._outputs[name])))
            answers.append(pb_utils.InferenceResponse(output_tensors=tensors))
        return answers

    def _tensor(self, name: str, array: Array) -> Any:
        if name not in self._bf16_outputs:
            return pb_utils.Tensor(name, array)
        bits = np.ascontiguousarray(array)
        self._kept.append(bits)
        return pb_utils.Tensor.from_dlpack(name, bfloat16.capsule(bits))


def _as_text(name: str, array: Array) -> Array:
    """ONNX Runtime takes strings as `str` and Triton gives `bytes`."""
    try:
        flat = [item.decode() if isinstance(item, bytes) else str(item) for item in array.reshape(-1)]
    except UnicodeDecodeError as error:
        raise ValueError(f"input '{name}': an element is no UTF-8 text, which ONNX Runtime needs: {error}") from error
    text = np.empty(len(flat), dtype=object)
    text[:] = flat
    return text.reshape(array.shape)


def _refusal(error: Exception) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(f"{error}" or type(error).__name__))
