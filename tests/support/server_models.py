"""Small ONNX models and the repositories they are served from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Value = tuple[str, int, Sequence[int | str]]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    constants: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write a checked ONNX file."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def add_sub(path: Path) -> Path:
    """SUM = A + B, DIFF = A - B; fp32, batch first."""
    return save(
        path,
        [helper.make_node("Add", ["A", "B"], ["SUM"]), helper.make_node("Sub", ["A", "B"], ["DIFF"])],
        [("A", TensorProto.FLOAT, ["batch", 3]), ("B", TensorProto.FLOAT, ["batch", 3])],
        [("SUM", TensorProto.FLOAT, ["batch", 3]), ("DIFF", TensorProto.FLOAT, ["batch", 3])],
    )


ADD_SUB = """
platform: "onnxruntime_onnx"
max_batch_size: 4
input [ { name: "A" data_type: TYPE_FP32 dims: [ 3 ] }, { name: "B" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "SUM" data_type: TYPE_FP32 dims: [ 3 ] }, { name: "DIFF" data_type: TYPE_FP32 dims: [ 3 ] } ]
dynamic_batching { }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def identity(path: Path, onnx_type: int) -> Path:
    """Y = X of one type and any shape [batch, n]."""
    return save(
        path,
        [helper.make_node("Identity", ["X"], ["Y"])],
        [("X", onnx_type, ["batch", "n"])],
        [("Y", onnx_type, ["batch", "n"])],
    )


def identity_config(triton_type: str, extra: str = "") -> str:
    return f"""
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ {{ name: "X" data_type: {triton_type} dims: [ -1 ] }} ]
output [ {{ name: "Y" data_type: {triton_type} dims: [ -1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
{extra}
"""


def lookup(path: Path) -> Path:
    """Y = TABLE[X] with ten rows: an index out of range fails when the model runs, and no earlier."""
    return save(
        path,
        [helper.make_node("Gather", ["TABLE", "X"], ["Y"])],
        [("X", TensorProto.INT64, ["batch", 1])],
        [("Y", TensorProto.FLOAT, ["batch", 1])],
        {"TABLE": np.arange(10, dtype=np.float32)},
    )


LOOKUP = """
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] } ]
dynamic_batching { preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 300000 }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def scalar(path: Path) -> Path:
    """TOTAL, without axes, is the sum of X, of any length; WHERE lists where X is not zero. Not batched."""
    return save(
        path,
        [
            helper.make_node("ReduceSum", ["X"], ["TOTAL"], keepdims=0),
            helper.make_node("NonZero", ["X"], ["WHERE"]),
        ],
        [("X", TensorProto.FLOAT, ["n"])],
        [("TOTAL", TensorProto.FLOAT, []), ("WHERE", TensorProto.INT64, [1, "hits"])],
    )


SCALAR = """
platform: "onnxruntime_onnx"
max_batch_size: 0
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "TOTAL" data_type: TYPE_FP32 dims: [ 1 ] }, { name: "WHERE" data_type: TYPE_INT64 dims: [ 1, -1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def bfloat16(path: Path) -> Path:
    """Y = X, through fp32, since ONNX Runtime has no other operator for bfloat16 on the CPU than Cast."""
    return save(
        path,
        [
            helper.make_node("Cast", ["X"], ["F"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["F"], ["Y"], to=TensorProto.BFLOAT16),
        ],
        [("X", TensorProto.BFLOAT16, ["batch", "n"])],
        [("Y", TensorProto.BFLOAT16, ["batch", "n"])],
    )


def sequence_sum(path: Path) -> Path:
    """SUM = X + STATE, or X alone at the START of a sequence; NEXT is the same, as the sequence's new state."""
    names = ("X", "STATE", "START")
    return save(
        path,
        [
            helper.make_node("Sub", ["ONE", "START"], ["KEPT"]),
            helper.make_node("Mul", ["STATE", "KEPT"], ["BEFORE"]),
            helper.make_node("Add", ["X", "BEFORE"], ["SUM"]),
            helper.make_node("Identity", ["SUM"], ["NEXT"]),
        ],
        [(name, TensorProto.FLOAT, ["batch", 1]) for name in names],
        [(name, TensorProto.FLOAT, ["batch", 1]) for name in ("SUM", "NEXT")],
        {"ONE": np.ones((1, 1), np.float32)},
    )


SEQUENCE_SUM = """
platform: "onnxruntime_onnx"
max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "SUM" data_type: TYPE_FP32 dims: [ 1 ] } ]
sequence_batching {
  control_input [ { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] } ]
  state [ { input_name: "STATE" output_name: "NEXT" data_type: TYPE_FP32 dims: [ 1 ] } ]
  oldest { max_candidate_sequences: 8 }
}
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def ragged_sum(path: Path) -> Path:
    """SUM[i] = sum of the elements of request i: X are all requests' elements in a row, ENDS where each request ends."""
    return save(
        path,
        [
            helper.make_node("Sub", ["ENDS", "ONE"], ["LAST"]),
            helper.make_node("CumSum", ["X", "AXIS"], ["SUMS"]),
            helper.make_node("Gather", ["SUMS", "LAST"], ["TOTALS"]),
            helper.make_node("Slice", ["TOTALS", "ZERO", "MINUS_ONE"], ["OTHERS"]),
            helper.make_node("Concat", ["NOTHING", "OTHERS"], ["BEFORE"], axis=0),
            helper.make_node("Sub", ["TOTALS", "BEFORE"], ["OWN"]),
            helper.make_node("Unsqueeze", ["OWN", "SECOND"], ["SUM"]),
        ],
        [("X", TensorProto.FLOAT, ["n"]), ("ENDS", TensorProto.INT32, ["batch"])],
        [("SUM", TensorProto.FLOAT, ["batch", 1])],
        {
            "ONE": np.ones(1, np.int32),
            "AXIS": np.array(0, np.int64),
            "ZERO": np.zeros(1, np.int64),
            "MINUS_ONE": np.full(1, -1, np.int64),
            "NOTHING": np.zeros(1, np.float32),
            "SECOND": np.ones(1, np.int64),
        },
    )


RAGGED_SUM = """
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true } ]
output [ { name: "SUM" data_type: TYPE_FP32 dims: [ 1 ] } ]
batch_input [ { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ENDS" data_type: TYPE_INT32 source_input: "X" } ]
dynamic_batching { max_queue_delay_microseconds: 200000 }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def overridable(path: Path, value: np.ndarray = np.array([10, 20, 30], np.float32)) -> Path:  # noqa: B008 - never changed
    """Y = X + W, with a value for W in the file, which a request may override."""
    return save(
        path,
        [helper.make_node("Add", ["X", "W"], ["Y"])],
        [("X", TensorProto.FLOAT, ["n", 3]), ("W", TensorProto.FLOAT, [3])],
        [("Y", TensorProto.FLOAT, ["n", 3])],
        {"W": value},
    )


OVERRIDABLE = """
platform: "onnxruntime_onnx"
max_batch_size: 0
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1, 3 ] }, { name: "W" data_type: TYPE_FP32 dims: [ 3 ] optional: true } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def sums(path: Path) -> Path:
    """SUM[i] = sum of X[i], EXP = exp(X): kernels that group elements by their addresses."""
    return save(
        path,
        [helper.make_node("ReduceSum", ["X", "SECOND"], ["SUM"], keepdims=1), helper.make_node("Exp", ["X"], ["EXP"])],
        [("X", TensorProto.FLOAT, ["batch", 37])],
        [("SUM", TensorProto.FLOAT, ["batch", 1]), ("EXP", TensorProto.FLOAT, ["batch", 37])],
        {"SECOND": np.ones(1, np.int64)},
    )


SUMS = """
platform: "onnxruntime_onnx"
max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ 37 ] } ]
output [ { name: "SUM" data_type: TYPE_FP32 dims: [ 1 ] }, { name: "EXP" data_type: TYPE_FP32 dims: [ 37 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def doubling(path: Path) -> Path:
    """Y = 2 X, in Python; `path` is where an ONNX file would be."""
    code = path.with_name("model.py")
    code.write_text(
        "import numpy\nimport triton_python_backend_utils as utils\n\n\n"
        "class TritonPythonModel:\n"
        "    def execute(self, requests):\n"
        "        found = [utils.get_input_tensor_by_name(each, 'X').as_numpy() for each in requests]\n"
        "        return [utils.InferenceResponse([utils.Tensor('Y', each * numpy.float32(2))]) for each in found]\n"
    )
    return code


DOUBLING = """
backend: "python"
max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 2 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


TYPES = {
    "fp32": TensorProto.FLOAT,
    "fp16": TensorProto.FLOAT16,
    "fp64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


def write(repository: Path, name: str, config: str) -> Path:
    """Write a model's configuration; the place for its version 1."""
    directory = repository / name
    (directory / "1").mkdir(parents=True, exist_ok=True)
    (directory / "config.pbtxt").write_text(config.lstrip())
    return directory / "1" / "model.onnx"


def repository(root: Path) -> Path:
    """A repository with every model that the tests of server, backend and client share."""
    add_sub(write(root, "add_sub", ADD_SUB))
    lookup(write(root, "lookup", LOOKUP))
    scalar(write(root, "scalar", SCALAR))
    bfloat16(write(root, "bf16", identity_config("TYPE_BF16", "dynamic_batching { max_queue_delay_microseconds: 100000 }")))
    for name, onnx_type in TYPES.items():
        triton_type = f"TYPE_{name.upper()}"
        identity(write(root, f"identity_{name}", identity_config(triton_type)), onnx_type)
    return root
