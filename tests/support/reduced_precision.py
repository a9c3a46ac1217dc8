"""A small network, the spec that reduces its precision, and the types its nodes compute in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
from onnx import TensorProto

FLOAT, FP16, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16


COMPUTING = ("Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM", "GRU")


def types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True).graph
    found = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def computed(path: Path, operators: tuple[str, ...] = COMPUTING) -> Counter:
    """How many nodes of those operators take which type first."""
    model = onnx.load(path)
    known = types(model)
    return Counter((node.op_type, known[node.input[0]]) for node in model.graph.node if node.op_type in operators)


SPEC = """
schema: 1
target: {{compute_capabilities: ["8.9"]}}
models:
  net:
    source: {source}
    backend: {backend}
    precision: {precision}
    inputs: {{x: {{shape: [batch, 3, 12, 12]}}}}
    outputs: {{y: {{tolerance: {{rtol: 0, atol: {atol}}}}}}}
    max_batch_size: 2
{more}
"""


NETWORK = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 4)

    def forward(self, x):
        return self.head(torch.relu(self.first(x)).mean((2, 3)))
"""


def written(source: str | Path, precision: str, atol: float, backend: str = "onnxruntime", more: str = "") -> None:
    Path("spec.yaml").write_text(SPEC.format(source=source, precision=precision, atol=atol, backend=backend, more=more))
