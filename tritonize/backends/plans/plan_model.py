"""The model class that the backends `tensorrt` and `tensorrt_rtx` share: a Triton model that runs a TensorRT plan.

It serves the same repository that stock Triton serves with its native backend: `platform: "tensorrt_plan"`, a plan per compute
capability by `cc_model_filenames`, profiles by `instance_group`. The TensorRT module alone comes from the environment that
tritonize runs in, because a plan loads only in the version that built it. Triton runs this file in its own process and
environment (NumPy 1.26); no module of tritonize imports it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import batching  # type: ignore[import-not-found] # it is in the folder of this file, like those below
import bfloat16  # type: ignore[import-not-found]
import cuda  # type: ignore[import-not-found]
import plan_contract  # type: ignore[import-not-found]
import runner  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    import numpy as np

    from tritonize.backends.python_backend import Request, Tensor

LIBCUDA = "TRITONIZE_LIBCUDA"
"""Variable with the path at which tritonize found NVIDIA's driver library."""


class PlanModel(batching.BatchingModel):  # type: ignore[misc]
    """One instance of one version of a model; the names of the methods are Triton's."""

    MODULE = ""
    """Name of the TensorRT module and of the backend; set by the subclass."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the plan for this GPU and compare it with its configuration; raises ValueError, whose text Triton logs."""
        config = json.loads(args["model_config"])
        plan_contract.check_supported(config)
        plan_contract.check_groups(_text(Path(args["model_repository"]) / "config.pbtxt"))
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
        plan_contract.check_version(file, self.MODULE, trt.__version__, known=known)
        settings = known.get("settings", {})
        self._engine = runner.Engine(
            trt,
            device,
            file.read_bytes(),
            plugins=plan_contract.plugins(settings.get("plugins", ())),
            host_code=bool(settings.get("version_compatible")),  # a repository is trusted like the libraries that it may name
            log=_log,
        )
        profiles = plan_contract.profiles(config, args["model_instance_name"], self._engine.profiles)
        plan_contract.check(config, self._engine, profiles)
        self._stream = device.stream()
        self._contexts = [self._engine.context(profile, self._stream) for profile in profiles]
        self.batched = int(config.get("max_batch_size", 0)) > 0
        self.outputs = {entry["name"]: [int(dim) for dim in entry["dims"]] for entry in config.get("output", [])}
        self.bf16_outputs = {name for name in self.outputs if self._engine.outputs[name].dtype == "BF16"}
        python = sys.version.split()[0]
        pb_utils.Logger.log_info(
            f"{args['model_instance_name']}: {self.MODULE} {trt.__version__}, {file.name} on {device.name}, "
            f"profiles {', '.join(map(str, profiles))}, Python {python}"
        )

    def execute(self, requests: Sequence[Request]) -> list[object]:
        """Return a response for every request; see `BatchingModel`."""
        self._device.use()
        responses: list[object] = super().execute(requests)
        return responses

    def finalize(self) -> None:
        """Free contexts, engine and device."""
        self.release()
        while self._contexts:  # no variable may keep a context, and through it the engine, alive
            self._contexts.pop().release()
        self._device.free_stream(self._stream)
        del self._engine  # before the device's context is released
        self._device.close()

    def feed(self, tensor: Tensor) -> np.ndarray:
        """Convert an input tensor to the array that the engine expects."""
        described = self._engine.inputs[tensor.name()]
        array = bfloat16.read(tensor) if described.dtype == "BF16" else tensor.as_numpy()
        return array if described.shape else array.reshape(())  # Triton has no scalars: it passes a scalar as one element

    def compute(self, names: list[str], feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:  # noqa: ARG002 - an engine always computes all outputs
        """Compute all outputs for one batch with the nearest profile."""
        context = plan_contract.nearest(self._contexts, {name: tuple(array.shape) for name, array in feeds.items()})
        found: dict[str, np.ndarray] = context.run(feeds)
        return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _log(severity: str, text: str) -> None:
    if severity in ("ERROR", "INTERNAL_ERROR"):
        pb_utils.Logger.log_error(text)
    elif severity == "WARNING":
        pb_utils.Logger.log_warn(text)
