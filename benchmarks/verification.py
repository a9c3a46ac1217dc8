"""A golden file of 10,000 samples, verified over gRPC, against the raw client's calls of the same requests.

A small model (16 floats in, 10 out), expected outputs already computed, one server for both. Target: verification sends at least
0.8 times as many requests a second as a loop over `tritonclient` that compares nothing, which runs before and after it. Reading the
file is part of the verification.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import tritonclient.grpc
from onnx import TensorProto, helper, numpy_helper

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, ServerHandle, TensorFiles, TensorSpec
from tritonize.quality import noise_floor
from tritonize.quality.golden_set import GoldenSet, Rules
from tritonize.reference import golden_file
from tritonize.report import text as report_text
from tritonize.triton import serving
from tritonize.workflows import golden as golden_workflow

TITLE = "## Speed of a verification, 10,000 samples of a small model\n"
SAMPLES = 10_000
CONFIG = """name: "small"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 10 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
dynamic_batching { }
"""


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = Path(folder)
        found = compared(place, SAMPLES)
    rows = [f"| {name} | {requests} | {seconds:.1f} | {requests / seconds:.0f} |" for name, (requests, seconds) in found.items()]
    (raw, verified) = ((requests / seconds) for requests, seconds in found.values())
    ratio = f"Verification over raw calls: **{verified / raw:.2f}** (target: at least 0.8)."
    return "\n".join([TITLE, "| way | requests | s | requests/s |", "|---|---|---|---|", *rows, "", ratio, ""])


def compared(place: Path, samples: int) -> dict[str, tuple[int, float]]:
    """Requests and seconds of the raw calls and of the verification."""
    weights = np.random.default_rng(0).standard_normal((16, 10), dtype=np.float32)
    model(place / "models", weights)
    path = place / "small-1.golden"
    known = golden_set(place / "arrays", weights, samples)
    origin = golden_file.Origin(model="small", version=1, config=CONFIG, created="now", verdict="passed", versions={})
    golden_file.write(path, origin, known, recipe=None)
    with serving.serve(place / "models", directory=place / "server") as server:
        raw(server, known, 200)
        before = raw(server, known, None)
        started = time.perf_counter()
        found = golden_workflow.verify(golden_workflow.Request(path=path, urls=[f"grpc://{server.grpc_url}"]))
        seconds = time.perf_counter() - started
        after = raw(server, known, None)
    assert found.verdict == "passed", report_text.as_text(found)
    assert len(json.dumps(report_text.as_json(found))) < 10_000_000
    calls = before[0] + after[0], before[1] + after[1]
    return {"tritonclient, gRPC, one thread": calls, "tritonize verify --golden": (len(found.checks), seconds)}


def raw(server: ServerHandle, known: GoldenSet, limit: int | None) -> tuple[int, float]:
    """Every batch of every size by the client library alone; nothing is compared."""
    sizes = arrays.batch_sizes(known.max_batch_size)
    batches = [batch for size in sizes for batch in arrays.batches(known.samples, size)][:limit]
    everything = np.concatenate([arrays.load(known.samples.files, index)["x"] for index in range(known.samples.files.count)])
    connection = tritonclient.grpc.InferenceServerClient(server.grpc_url)
    started = time.perf_counter()
    for batch in batches:
        given = everything[list(batch)]
        question = tritonclient.grpc.InferInput("x", list(given.shape), "FP32")
        question.set_data_from_numpy(given)
        connection.infer("small", [question], model_version="1").as_numpy("y")
    seconds = time.perf_counter() - started
    connection.close()
    return len(batches), seconds


def model(root: Path, weights: np.ndarray) -> None:
    """y = x @ weights, as a repository."""
    path = root / "small" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in (("x", 16), ("y", 10))]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "small", values[:1], values[1:], [numpy_helper.from_array(weights, "w")]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    (root / "small" / "config.pbtxt").write_text(CONFIG)


def golden_set(directory: Path, weights: np.ndarray, count: int) -> GoldenSet:
    """Samples, answers in float32 and in float64."""
    sets = {
        name: TensorFiles(directory=directory / name, tensors=(TensorSpec(name=tensor, dtype=dtype, shape=(1, size)),), count=count)
        for name, tensor, dtype, size in (("inputs", "x", "fp32", 16), ("expected", "y", "fp32", 10), ("exact", "y", "fp64", 10))
    }
    drawn = np.random.default_rng(1).standard_normal((count, 1, 16), dtype=np.float32)
    for index in range(count):
        arrays.save(sets["inputs"], index, {"x": drawn[index]})
        arrays.save(sets["expected"], index, {"y": drawn[index] @ weights})
        arrays.save(sets["exact"], index, {"y": drawn[index].astype(np.float64) @ weights.astype(np.float64)})
    samples = SampleSet(files=sets["inputs"], batched=True, origin="standard normal")
    floors = noise_floor.noise_floors(samples, sets["expected"], sets["exact"], precision="fp32")
    return GoldenSet(
        samples=samples,
        expected=sets["expected"],
        exact=sets["exact"],
        max_batch_size=8,
        rules={"y": Rules(noise_floor=10.0)},
        floors=floors,
    )
