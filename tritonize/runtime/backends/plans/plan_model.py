"""A Triton model that is a TensorRT plan: what the backends `tensorrt` and `tensorrt_rtx` share.

It takes the very repository that stock Triton serves with its native backend: `platform: "tensorrt_plan"`, a plan per compute
capability by `cc_model_filenames`, profiles by `instance_group`. The TensorRT module comes from the environment that tritonize
runs in, since a plan loads only in the very version that built it; nothing else does. Triton runs this file in its own process and
environment (NumPy 1.26); nothing of tritonize imports it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "onnxruntime"))  # for bfloat16.py; behind everything else

import bfloat16  # type: ignore[import-not-found]
import cuda  # type: ignore[import-not-found] # it lies beside this file
import numpy as np
import plan_contract  # type: ignore[import-not-found]
import runner  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils

LIBCUDA = "TRITONIZE_LIBCUDA"
"""Path of NVIDIA's driver library, where tritonize found it."""

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


class PlanModel:
    """One instance of one version of a model; the names of the methods are Triton's."""

    MODULE = ""
    """Of TensorRT, and the backend's name: said by the backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the plan for this GPU and compare it with its configuration; raises with the reason, which Triton logs."""
        config = json.loads(args["model_config"])
        plan_contract.check_supported(config)
        number = int(args.get("model_instance_device_id") or 0) if args["model_instance_kind"] == "GPU" else 0
        try:
            self._device = device = cuda.Device(number, os.environ.get(LIBCUDA) or cuda.LIBRARY)
        except cuda.CudaError as error:
            raise ValueError(f"backend {self.MODULE} runs plans on a GPU: {error}") from error
        directory = Path(args["model_repository"]) / args["model_version"]
        file = plan_contract.plan_file(config, directory, device.compute_capability)
        plan_contract.allow_packages()
        try:
            trt = importlib.import_module(self.MODULE)
        except Exception as error:
            raise ValueError(f"the Python package {self.MODULE} cannot be loaded: {type(error).__name__}: {error}") from error
        known = plan_contract.metadata(file)
        plan_contract.check_version(file, self.MODULE, trt.__version__, known)
        settings = known.get("settings", {})
        self._engine = runner.Engine(
            trt,
            device,
            file.read_bytes(),
            plugins=settings.get("plugins", ()),
            host_code=bool(settings.get("version_compatible")),  # a repository is trusted like the libraries that it may name
            log=_log,
        )
        profiles = plan_contract.profiles(config, args["model_instance_name"], self._engine.profiles)
        plan_contract.check(config, self._engine, profiles)
        self._stream = device.stream()
        self._contexts = [self._engine.context(profile, self._stream) for profile in profiles]
        self._batched = int(config.get("max_batch_size", 0)) > 0
        self._outputs = {entry["name"]: [int(dim) for dim in entry["dims"]] for entry in config.get("output", [])}
        self._kept: list[Array] = []
        python = sys.version.split()[0]
        pb_utils.Logger.log_info(
            f"{args['model_instance_name']}: {self.MODULE} {trt.__version__}, {file.name} on {device.name}, "
            f"profiles {', '.join(map(str, profiles))}, Python {python}"
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request, with its outputs or with an error of its own; requests that are alike run as one batch."""
        self._kept.clear()  # the previous responses have been sent
        self._device.use()
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
        """Free contexts, engine and device."""
        self._kept.clear()
        for context in self._contexts:
            context.release()
        self._contexts.clear()
        self._device.free_stream(self._stream)
        del self._engine  # before its context goes
        self._device.close()

    def _read(self, index: int, request: Any) -> _Job:
        feeds = {}
        for tensor in request.inputs():
            name = tensor.name()
            described = self._engine.inputs[name]
            array = bfloat16.read(tensor) if described.dtype == "BF16" else tensor.as_numpy()
            feeds[name] = array if described.shape else array.reshape(())  # Triton has no scalars: they come as one element
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
        context = plan_contract.nearest(self._contexts, {name: tuple(array.shape) for name, array in feeds.items()})
        outputs: dict[str, Array] = context.run(feeds)
        if self._batched:
            rows = sum(job.rows for job in group)
            for name in self._outputs:
                shape = outputs[name].shape
                if not shape or shape[0] != rows:
                    raise ValueError(f"output '{name}' has shape {list(shape)} for a batch of {rows}; expected {rows} first")
        return outputs

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
        if self._engine.outputs[name].dtype != "BF16":
            return pb_utils.Tensor(name, array)
        bits = np.ascontiguousarray(array)
        self._kept.append(bits)
        return pb_utils.Tensor.from_dlpack(name, bfloat16.capsule(bits))


def _log(severity: str, text: str) -> None:
    if severity in ("ERROR", "INTERNAL_ERROR"):
        pb_utils.Logger.log_error(text)
    elif severity == "WARNING":
        pb_utils.Logger.log_warn(text)


def _refusal(error: Exception) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(f"{error}" or type(error).__name__))
