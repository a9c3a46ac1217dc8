"""Requests per second of a tiny network with 8 clients: embedded Triton against the same file behind pytriton's Python API.

Both servers batch dynamically up to 8, with one thread of ONNX Runtime. The same two processes of four threads each send the same
prepared bytes to both, over gRPC or HTTP with the tensor in the request, so that the clients cost the same everywhere. Every answer
is compared.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks import throughput
from tritonize.core.artifacts import OnnxArtifact, TensorSpec
from tritonize.spec import schema
from tritonize.triton import model_config, serving

TITLE = "## Throughput of a tiny network, 8 clients\n"
SHAPE = (3, 32, 32)
CLASSES, MAX_BATCH, INSTANCES = 10, 8, 2
ROUNDS, SECONDS = 5, 3.0
PROCESSES, THREADS = 2, 4
LOAD = Path(__file__).with_name("load.py")
TARGETS = {"grpc": 5, "http": 8}


class Tiny(torch.nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, stride=2), torch.nn.ReLU()
        )
        self.head = torch.nn.Linear(16, CLASSES)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(image).mean((2, 3)))


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, contextlib.ExitStack() as stack:
        place = Path(folder)
        path = _repository(place / "models")
        server = stack.enter_context(serving.serve(place / "models", directory=place / "server"))
        _, http_url, grpc_url = stack.enter_context(throughput.pytriton(path, place, max_batch_size=MAX_BATCH))
        urls = {
            ("embedded Triton", "grpc"): server.grpc_url,
            ("embedded Triton", "http"): server.http_url,
            ("pytriton's Python API", "grpc"): grpc_url.removeprefix("grpc://"),
            ("pytriton's Python API", "http"): http_url.removeprefix("http://"),
        }
        rates: dict[tuple[str, str], list[float]] = {way: [] for way in urls}
        for _ in range(ROUNDS):
            for way, url in urls.items():
                rates[way].append(_rate(way[1], url))
    medians = {way: statistics.median(each) for way, each in rates.items()}
    rows = [f"| {name}, {transport} | {rate:,.0f} |" for (name, transport), rate in medians.items()]
    over = {each: medians["embedded Triton", each] / medians["pytriton's Python API", each] for each in TARGETS}
    text = " ".join(f"Over pytriton, {each}: **{over[each]:.1f}** (target: at least {TARGETS[each]})." for each in TARGETS)
    return "\n".join([TITLE, f"Medians of {ROUNDS} rounds.\n", "| way | requests/s |", "|---|---|", *rows, "", text, ""])


def _rate(transport: str, url: str) -> float:
    """Requests per second of all clients together."""
    command = [sys.executable, str(LOAD), transport, url, str(THREADS), str(SECONDS)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    total = 0.0
    for process in running:
        printed, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{transport} {url}: a client failed")
        total += float(printed)
    return total


def _repository(root: Path) -> Path:
    path = root / "network" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    export = partial(torch.onnx.export, dynamo=False, opset_version=18, input_names=["image"], output_names=["scores"])
    export(Tiny().eval(), (torch.zeros(2, *SHAPE),), str(path), dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}})
    wanted = schema.Model.model_validate(
        {
            "source": "-",
            "inputs": {"image": {"shape": ["batch", *SHAPE]}},
            "max_batch_size": MAX_BATCH,
            "triton": {"parameters": {"intra_op_thread_count": 1}, "instance_group": [{"count": INSTANCES, "kind": "KIND_CPU"}]},
        }
    )
    artifact = OnnxArtifact(
        path=path,
        node_map=None,
        sha256="",
        size=0,
        opset=18,
        ir_version=8,
        inputs=(TensorSpec(name="image", dtype="fp32", shape=("batch", *SHAPE)),),
        outputs=(TensorSpec(name="scores", dtype="fp32", shape=("batch", CLASSES)),),
        exporter="",
        strategy="legacy",
        simplified=False,
    )
    (root / "network" / "config.pbtxt").write_text(model_config.render("network", wanted, artifact))
    return path


if __name__ == "__main__":
    print(measure())
