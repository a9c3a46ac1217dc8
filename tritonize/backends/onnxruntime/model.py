"""A Python-based Triton backend that serves ONNX models with ONNX Runtime on the CPU.

It serves the same repository that stock Triton serves with its native backend: `platform: "onnxruntime_onnx"`,
`<version>/model.onnx`, the same parameters. Triton runs this file in its own process and environment (NumPy 1.26); no module of
tritonize imports it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import batching  # type: ignore[import-not-found] # it is in the folder of this file
import bfloat16  # type: ignore[import-not-found]
import contract  # type: ignore[import-not-found]
import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from tritonize.backends.python_backend import Tensor

_BF16 = 16  # TensorProto.BFLOAT16

Array = np.ndarray


class TritonPythonModel(batching.BatchingModel):  # type: ignore[misc]
    """One instance of one version of a model; the names of the methods are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model and compare it with its configuration; raises with the reason, which Triton logs."""
        config = json.loads(args["model_config"])
        # A server that also serves plans sees a GPU, and Triton assigns it to every instance group without a kind.
        if args["model_instance_kind"] == "GPU" and "TRITONIZE_TENSORRT" not in os.environ:
            raise ValueError("instance_group: the kind is KIND_GPU, but the embedded server runs ONNX models on the CPU")
        directory = Path(args["model_repository"]) / args["model_version"]
        file = contract.model_file(config, directory)
        options = contract.session_options(config)
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        contract.check(config, session)
        self._session = session
        self._run_options = contract.run_options(config)
        self.batched = int(config.get("max_batch_size", 0)) > 0
        inputs = (*session.get_inputs(), *session.get_overridable_initializers())
        self._inputs = {tensor.name: tensor.type for tensor in inputs}
        self._scalar_inputs = {tensor.name for tensor in inputs if not tensor.shape}
        self.outputs = {entry["name"]: [int(dim) for dim in entry["dims"]] for entry in config.get("output", [])}
        types = {tensor.name: tensor.type for tensor in session.get_outputs()}
        self.bf16_outputs = {name for name in self.outputs if types[name] == "tensor(bfloat16)"}
        self._has_bf16 = bool(self.bf16_outputs) or "tensor(bfloat16)" in self._inputs.values()
        pb_utils.Logger.log_info(f"{args['model_instance_name']}: ONNX Runtime {ort.__version__}, Python {sys.version.split()[0]}")

    def finalize(self) -> None:
        """Free the model."""
        self.release()
        del self._session

    def feed(self, tensor: Tensor) -> Array:
        """Convert an input tensor to the array that ONNX Runtime expects."""
        name = tensor.name()
        array = bfloat16.read(tensor) if self._inputs[name] == "tensor(bfloat16)" else tensor.as_numpy()
        if name in self._scalar_inputs:
            array = array.reshape(())  # Triton has no scalars: they come as one element
        return _as_text(name, array) if array.dtype == object else array

    def compute(self, names: list[str], feeds: dict[str, Array]) -> dict[str, Array]:
        """Compute the named outputs for one batch."""
        if self._has_bf16:
            return self._run_with_bf16(names, feeds)
        return dict(zip(names, self._session.run(names, feeds, self._run_options), strict=True))

    def _run_with_bf16(self, names: list[str], feeds: dict[str, Array]) -> dict[str, Array]:
        """Run through OrtValues, which carry their ONNX type, because NumPy has no bfloat16."""
        values = {}
        for name, array in feeds.items():
            if self._inputs[name] == "tensor(bfloat16)":
                values[name] = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(array), _BF16)
            else:
                values[name] = ort.OrtValue.ortvalue_from_numpy(array)
        results = self._session.run_with_ort_values(names, values, self._run_options)
        return {
            name: bfloat16.bits_of(value) if name in self.bf16_outputs else value.numpy()
            for name, value in zip(names, results, strict=True)
        }


def _as_text(name: str, array: Array) -> Array:
    """Decode text: ONNX Runtime expects `str`, and Triton passes `bytes`."""
    try:
        flat = [item.decode() if isinstance(item, bytes) else str(item) for item in array.reshape(-1)]
    except UnicodeDecodeError as error:
        raise ValueError(f"input '{name}': an element is not valid UTF-8, which ONNX Runtime requires: {error}") from error
    text = np.empty(len(flat), dtype=object)
    text[:] = flat
    return text.reshape(array.shape)
