"""Builds of plans: their time over that of a plain script with the same calls, and their memory over the plan's size.

Target: at most 1.15 times the plain script's time, both from start to end of a process, for networks that take the builder more
than a moment. The memory is that of the whole process tree.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.tree import watch

TITLE = "## Builds of TensorRT-RTX plans\n"
ROUNDS = 5
TARGET = 1.15
SIZES = {"0.3 GB": (4096, 5), "1.1 GB": (8192, 4), "2.4 GB": (8192, 9)}
"""Name to width and number of square layers."""
PLAIN = """
import sys
import tensorrt_rtx as trt

class Logger(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
    def log(self, severity, message):
        pass

class Stream(trt.IStreamWriter):
    def __init__(self, file):
        trt.IStreamWriter.__init__(self)
        self.file = file
    def write(self, piece):
        return self.file.write(piece)

logger = Logger()
builder = trt.Builder(logger)
flags = trt.NetworkDefinitionCreationFlag
names = [name for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if hasattr(flags, name)]
network = builder.create_network(sum(1 << int(getattr(flags, name)) for name in names))
network.name = "model"
parser = trt.OnnxParser(network, logger)
assert parser.parse_from_file(sys.argv[1])
config = builder.create_builder_config()
config.clear_flag(trt.BuilderFlag.TF32)
config.num_compute_capabilities = 1
config.set_compute_capability(trt.ComputeCapability.SM89, 0)
with open(sys.argv[2], "wb") as file:
    assert builder.build_serialized_network_to_stream(network, config, Stream(file))
"""


def measure() -> str:
    """The section of the table."""
    rows, worst = [], 0.0
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        (place / "plain.py").write_text(PLAIN)
        for name, (width, layers) in SIZES.items():
            _network(place / "model.onnx", width, layers)
            request = {"schema": 1, "onnx": "model.onnx", "module": "tensorrt_rtx", "compute_capabilities": ["8.9"]}
            (place / "request.json").write_text(json.dumps(request))
            ways = {place / "out" / "model.plan": _ours(), place / "plain.plan": _plain()}
            rounds = [[_seconds(command, place, plan) for plan, command in ways.items()] for _ in range(ROUNDS)]
            ratio = statistics.median(ours / plain for ours, plain in rounds)
            worst = max(worst, ratio)
            seconds = [statistics.median(each) for each in zip(*rounds, strict=True)]
            peaks = [_peak(command, place, plan) / plan.stat().st_size for plan, command in ways.items()]
            ours, plain = (plan.read_bytes() for plan in ways)
            assert ours == plain
            rows.append(f"| {name} | {seconds[0]:.2f} | {seconds[1]:.2f} | **{ratio:.2f}** | {peaks[0]:.2f} | {peaks[1]:.2f} |")
    head = [
        "| weights | `plan build` s | plain script s | ratio | peak over plan | the same of the plain script |",
        "|---|---|---|---|---|---|",
    ]
    text = f"Medians of {ROUNDS} rounds; both wrote the same bytes. Largest ratio: **{worst:.2f}** (target: at most {TARGET})."
    return "\n".join([TITLE, *head, *rows, "", text, ""])


def _network(path: Path, width: int, layers: int) -> None:
    """Square layers of random weights, with external data."""
    generator = np.random.default_rng(0)
    weights = [generator.standard_normal((width, width), np.float32) / np.float32(width) ** 0.5 for _ in range(layers)]
    names = ["x", *[f"h{index}" for index in range(layers)]]
    graph = helper.make_graph(
        [helper.make_node("MatMul", [names[index], f"w{index}"], [names[index + 1]]) for index in range(layers)],
        "stack",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, width])],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, [1, width])],
        [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.with_name("model.onnx.data").unlink(missing_ok=True)
    onnx.save(model, str(path), save_as_external_data=True, location="model.onnx.data")


def _ours() -> list[str]:
    tritonize = str(Path(sys.executable).with_name("tritonize"))
    return [tritonize, "plan", "build", "--request", "request.json", "--out", "out", "--no-cache"]


def _plain() -> list[str]:
    return [sys.executable, "plain.py", "model.onnx", "plain.plan"]


def _seconds(command: list[str], place: Path, plan: Path) -> float:
    """From start to end, with nothing watching; the plan of before is gone, whose room would be given back meanwhile."""
    plan.unlink(missing_ok=True)
    started = time.perf_counter()
    subprocess.run(command, cwd=place, capture_output=True, check=True)
    return time.perf_counter() - started


def _peak(command: list[str], place: Path, plan: Path) -> int:
    """The largest memory of the process tree, in bytes, in a run of its own."""
    plan.unlink(missing_ok=True)
    done = watch(command, cwd=place)
    assert done.returncode == 0, done.stdout
    return done.peaks["all"]
