"""How long the embedded server takes from its start until every model is ready, and the memory that it then holds."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from benchmarks.tree import proportional
from tritonize.triton.server import embedded

TITLE = "## Start of the embedded server\n"
ROUNDS = 7
MEMORY_MODELS = 4
_CONFIG = """platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 16 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def measure() -> str:
    """The section of the table."""
    rows = []
    for models, target in ((1, "0.2"), (25, "1.5")):
        seconds, _ = _started(models)
        rows.append(f"| start to ready, {models} model{'s' if models > 1 else ''} | **{seconds:.2f} s** | at most {target} s |")
    _, memory = _started(MEMORY_MODELS)
    rows.append(f"| memory with {MEMORY_MODELS} small models | **{memory / 2**20:.0f} MiB** | at most 80 MB |")
    return "\n".join([TITLE, f"Medians of {ROUNDS} starts.\n", "| measure | measured | target |", "|---|---|---|", *rows, ""])


def _started(models: int) -> tuple[float, float]:
    """Median seconds until all models are ready, and median proportional resident bytes of the server then."""
    seconds, memory = [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for number in range(models):
            _write(folder / "models" / f"model{number}")
        for number in range(ROUNDS + 1):  # the first brings the files into memory
            began = time.perf_counter()
            with embedded.start(folder / "models", directory=folder / f"server{number}") as server:
                seconds.append(time.perf_counter() - began)
                memory.append(proportional(server.process.pid))
    return statistics.median(seconds[1:]), statistics.median(memory[1:])


def _write(folder: Path) -> None:
    values = [helper.make_tensor_value_info(each, TensorProto.FLOAT, ["batch", 16]) for each in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", values[:1], values[1:])
    (folder / "1").mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(_CONFIG)


if __name__ == "__main__":
    print(measure())
