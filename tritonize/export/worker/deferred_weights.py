"""Keep the weights out of the protobuf that PyTorch's TorchScript-based exporter serializes. Runs in a worker process.

The exporter holds a model's weights four times: in the model, in a protobuf, in its serialized form, and in a copy of that for
Python. Its C++ part can also return the weights beside the protobuf (`defer_weight_export` of `Graph._export_onnx` in PyTorch's
`torch/csrc/jit/passes/onnx` and `torch/csrc/jit/serialization/export.cpp`), but no public argument asks for it. It holds them twice
then, measured with 512 MiB of weights: 2.1 times their size instead of 4.1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any  # Any: values of PyTorch's private interface

import onnx
import torch

LARGE = 1 << 26
"""Bytes of parameters and buffers from which on it is worth a data file."""
_LARGEST = 1 << 31
"""From here on the exporter writes data files by itself, since protobuf allows no more."""
_MARK = b"__EXTERNAL"
"""What the exporter writes instead of the bytes of a weight that it returns."""


@contextlib.contextmanager
def deferred(model: torch.nn.Module, path: Path) -> Iterator[None]:
    """Within this context, the exporter's file at `path` refers to a data file beside it, if the model is large.

    Args:
        model: the model whose parameters and buffers decide whether it is large.
        path: path of the ONNX file that the exporter writes.
    """
    if not LARGE <= sum(tensor.nbytes for tensor in model.state_dict().values()) < _LARGEST:
        yield
        return
    graph: Any = torch._C.Graph
    original = graph._export_onnx

    def export(subject: Any, parameters: Any, opset: Any, axes: Any, _defer: bool, *rest: Any) -> tuple[Any, ...]:
        serialized, weights, external, names = original(subject, parameters, opset, axes, True, *rest)
        return _with_data(serialized, weights, path), {}, external, names

    graph._export_onnx = export
    try:
        yield
    finally:
        graph._export_onnx = original


def _with_data(serialized: bytes, weights: Mapping[str, bytes], path: Path) -> bytes:
    """Write the weights into a data file, and return the model that refers to it."""
    proto = onnx.ModelProto.FromString(serialized)
    data = path.with_name(f"{path.name}.weights")
    with data.open("wb") as file:
        for tensor in proto.graph.initializer:
            if tensor.raw_data != _MARK:
                continue
            content = weights[tensor.name]
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", file.tell()), ("length", len(content))):
                tensor.external_data.add(key=key, value=str(value))
            file.write(content)
    return proto.SerializeToString()
