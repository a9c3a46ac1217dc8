"""A small network and requests to build plans of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonize.plans.request import BuildRequest

SHAPE = ("batch", 3, 16, 16)


PROFILE = {"x": {"min": [1, 3, 16, 16], "opt": [2, 3, 16, 16], "max": [4, 3, 16, 16]}}


def network(path: str, dtype: int = TensorProto.FLOAT, operators: tuple[str, ...] = ("Relu",)) -> Path:
    """A convolution and operators behind it."""
    weight = np.random.default_rng(0).standard_normal((8, 3, 3, 3))
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], name="convolution", pads=[1, 1, 1, 1])]
    outputs = []
    for number, operator in enumerate(operators):
        nodes.append(helper.make_node(operator, ["a"], [f"y{number}"], name=f"node{number}"))
        kind = TensorProto.INT64 if operator == "NonZero" else dtype
        outputs.append(helper.make_tensor_value_info(f"y{number}", kind, None))
    tensor = helper.make_tensor("w", dtype, weight.shape, weight.flatten().tolist())
    if dtype == TensorProto.FLOAT:
        tensor = numpy_helper.from_array(weight.astype(np.float32), "w")  # raw bytes, which may lie in another file
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", dtype, list(SHAPE))], outputs, [tensor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return Path(path)


def request(model: Path | str = "m.onnx", **fields) -> BuildRequest:
    known = {"onnx": str(model), "module": "tensorrt_rtx", "compute_capabilities": ["8.9"], "profiles": [PROFILE]}
    return BuildRequest.model_validate({**known, **fields})


def stock_plan(path: str, version: tuple[int, int, int, int]) -> Path:
    """A header as TensorRT's plans have it by their documentation, made here because no real plan was available."""
    Path(path).write_bytes(b"ftrt" + bytes(20) + bytes(version) + bytes(32))
    return Path(path)
