"""Embedded serving against the same InferenceSession in process, and against pytriton's own Python API.

One client, a 1x1x128x128x128 float32 volume, ONNX Runtime with one thread everywhere, one instance, five interleaved
rounds, medians. The network takes about 8 ms; a network of one ReLU shows what the way itself costs.

With shared memory the tensors lie in the regions and are neither filled in nor taken out for each request, as Triton's own
perf_analyzer does it: over gRPC with Triton's client, and over HTTP with Python's. tritonize's client copies the input in and the
output out. pytriton gets its requests from its own client, `ModelClient`, as from its users.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import tritonclient.grpc

from tritonize.core import cache
from tritonize.core.artifacts import OnnxArtifact, ServerHandle, TensorSpec
from tritonize.process import processes
from tritonize.spec import schema
from tritonize.triton import client, model_config, serving
from tritonize.triton.client.shm_region import Region
from tritonize.triton.server import prerequisites

TITLE = "## Throughput, 1x1x128x128x128 float32 volume, 1 client, intra_op=1\n"
SHAPE = (1, 1, 128, 128, 128)
WIDTH = 4
"""Channels of the network."""
ROUNDS, SECONDS = 5, 2.0
DIRECT, HTTP_SHM, GRPC_SHM = (
    "the InferenceSession in process",
    "embedded Triton, HTTP + shared memory",
    "embedded Triton, gRPC + shared memory",
)
PYTRITON = ("nvidia-pytriton==0.7.0", "numpy==1.26.4", "onnxruntime==1.32.0")
SERVER, CLIENT = (Path(__file__).with_name(f"pytriton_{name}.py") for name in ("server", "client"))


class Network(torch.nn.Module):
    """Down by four, one convolution, and up again, as segmentation networks are built."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = torch.nn.Conv3d(1, width, 4, stride=4)
        self.middle = torch.nn.Conv3d(width, width, 3, padding=1)
        self.up = torch.nn.ConvTranspose3d(width, 1, 4, stride=4)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.up(torch.relu(self.middle(torch.relu(self.down(volume))))))


def measure() -> str:
    """The section of the table."""
    network = _section("A network of about 8 ms", _measured(Network(WIDTH)), targets=True)
    empty = _section("A network of one ReLU, for what the way itself costs", _measured(torch.nn.ReLU()))
    return "\n".join([TITLE, network, empty])


def _measured(network: torch.nn.Module) -> dict[str, float]:
    """Median requests/s of every way."""
    volume = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, contextlib.ExitStack() as stack:
        place = Path(folder)
        path = _repository(place / "models", network)
        ways: dict[str, Callable[[], object]] = {DIRECT: _direct(path, volume)}
        server = stack.enter_context(serving.serve(place / "models", directory=place / "server"))
        ways[HTTP_SHM], ways[GRPC_SHM] = stack.enter_context(_in_place(server, volume))
        for transport in ("shm", "grpc", "http"):
            connection = stack.enter_context(client.connect_to(server, transport))
            ways[f"embedded Triton, tritonize's client, {transport}"] = lambda each=connection: each.infer(
                "network", {"volume": volume}
            )
        _same_answers(ways)
        measured: dict[str, Callable[[], float]] = {name: partial(_rate, ask) for name, ask in ways.items()}
        np.save(place / "volume.npy", volume)
        python, http_url, grpc_url = stack.enter_context(pytriton(path, place))
        for url in (grpc_url, http_url):
            command = [str(python), str(CLIENT), url, str(place / "volume.npy"), str(SECONDS)]
            measured[f"pytriton's Python API, {url.partition(':')[0]}"] = partial(_rate_of, command)
        rates: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(ROUNDS):
            for name, measure_once in measured.items():
                rates[name].append(measure_once())
    return {name: statistics.median(each) for name, each in rates.items()}


def _section(title: str, rates: dict[str, float], *, targets: bool = False) -> str:
    direct = rates[DIRECT]
    other = rates["pytriton's Python API, grpc"]
    rows = [f"| {name} | {1000 / rate:.1f} | {rate:.1f} | {rate / direct:.2f} |" for name, rate in rates.items()]
    goals = ("at least 0.90", "at least 0.80", "at least 5") if targets else ("none here",) * 3
    own, *ways = (1000 / rate for rate in (direct, rates[HTTP_SHM], rates[GRPC_SHM], other))
    costs = [f"{way - own:.1f} ms" for way in ways]
    text = (
        f"HTTP + shared memory over direct: **{rates[HTTP_SHM] / direct:.2f}** (target: {goals[0]}). "
        f"gRPC + shared memory over direct: **{rates[GRPC_SHM] / direct:.2f}** (target: {goals[1]}). "
        f"gRPC + shared memory over pytriton's gRPC: **{rates[GRPC_SHM] / other:.1f}** (target: {goals[2]}). "
        f"The way costs {costs[0]} over HTTP + shared memory, {costs[1]} over gRPC + shared memory and {costs[2]} by pytriton."
    )
    return "\n".join([f"{title}:\n", "| way | ms | requests/s | over direct |", "|---|---|---|---|", *rows, "", text, ""])


def _same_answers(ways: dict[str, Callable[[], object]]) -> None:
    """A fast wrong answer is no answer."""
    expected: object = None
    for name, ask in ways.items():
        answer = ask()
        (found,) = answer.values()  # type: ignore[attr-defined]
        expected = found if expected is None else expected
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)


def _rate(ask: Callable[[], object]) -> float:
    ask()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        ask()
        count += 1
    return count / (time.perf_counter() - started)


def _rate_of(command: list[str]) -> float:
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _repository(root: Path, network: torch.nn.Module) -> Path:
    path = root / "network" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    torch.onnx.export(
        network.eval(),
        (torch.zeros(SHAPE),),
        str(path),
        dynamo=False,
        input_names=["volume"],
        output_names=["mask"],
        opset_version=18,
    )
    assert onnx.load(path).graph.output[0].name == "mask"
    triton = {
        "parameters": {"intra_op_thread_count": {"string_value": "1"}},
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],  # one client: a second instance only takes the caches in turn
    }
    wanted = schema.Model.model_validate({"source": "-", "inputs": {"volume": {"shape": list(SHAPE)}}, "triton": triton})
    tensors = {name: (TensorSpec(name=name, dtype="fp32", shape=SHAPE),) for name in ("volume", "mask")}
    artifact = OnnxArtifact(
        path=path,
        node_map=None,
        sha256="",
        size=0,
        opset=18,
        ir_version=8,
        inputs=tensors["volume"],
        outputs=tensors["mask"],
        exporter="",
        strategy="legacy",
        simplified=False,
    )
    (root / "network" / "config.pbtxt").write_text(model_config.render("network", wanted, artifact))
    return path


@contextlib.contextmanager
def _in_place(server: ServerHandle, volume: np.ndarray) -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """Requests over HTTP and gRPC whose tensors lie in shared memory from the start; the output is read where the server put it."""
    connection = tritonclient.grpc.InferenceServerClient(server.grpc_url)
    plain = http.client.HTTPConnection(server.http_url)
    regions = {name: Region(server.shm_prefix, volume.nbytes) for name in ("volume", "mask")}
    for name, region in regions.items():
        connection.register_system_shared_memory(name, region.key, region.size, headers=server.headers["grpc"])
    given, output = (np.frombuffer(region.buffer, np.float32).reshape(SHAPE) for region in regions.values())
    given[...] = volume
    sent = tritonclient.grpc.InferInput("volume", list(SHAPE), "FP32")
    sent.set_shared_memory("volume", volume.nbytes)
    requested = tritonclient.grpc.InferRequestedOutput("mask")
    requested.set_shared_memory("mask", volume.nbytes)
    places = {name: {"shared_memory_region": name, "shared_memory_byte_size": volume.nbytes} for name in regions}
    body = json.dumps(
        {
            "inputs": [{"name": "volume", "shape": SHAPE, "datatype": "FP32", "parameters": places["volume"]}],
            "outputs": [{"name": "mask", "parameters": places["mask"]}],
        }
    )

    def over_http() -> dict[str, np.ndarray]:
        plain.request("POST", "/v2/models/network/infer", body)
        response = plain.getresponse()
        if response.read() and response.status != 200:
            raise RuntimeError(f"HTTP {response.status}")
        return {"mask": output}

    def over_grpc() -> dict[str, np.ndarray]:
        connection.infer("network", [sent], outputs=[requested])
        return {"mask": output}

    try:
        yield over_http, over_grpc
    finally:
        connection.unregister_system_shared_memory(headers=server.headers["grpc"])
        connection.close()
        plain.close()
        for region in regions.values():
            region.close()


def _direct(path: Path, volume: np.ndarray) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: {"mask": session.run(["mask"], {"volume": volume})[0]}


@contextlib.contextmanager
def pytriton(path: Path, place: Path, *, max_batch_size: int = 1) -> Iterator[tuple[Path, str, str]]:
    """The same file served by pytriton's Python API, in an environment of its own."""
    environment = cache.directory() / "bench" / "pytriton-0.7.0"
    python = environment / "bin" / "python"
    if not (environment / "complete").exists():
        subprocess.run([sys._base_executable, "-m", "venv", str(environment)], check=True)  # type: ignore[attr-defined]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PYTRITON], check=True)
        (environment / "complete").touch()
    ports = _free_ports(2)
    command = [str(python), str(SERVER), str(path), *map(str, ports), str(max_batch_size)]
    variables = {"PATH": f"{environment / 'bin'}:/usr/bin:/bin", "HOME": str(place)}
    if (library := prerequisites.libpython()) and not library.on_loader_path:
        variables["LD_LIBRARY_PATH"] = str(library.path.parent)  # the system's own may be of another patch release
    with processes.start(command, log=place / "pytriton.log", env=variables, cwd=place, shm_prefix="pytrtion") as process:
        until = time.monotonic() + 120
        with client.connect(f"127.0.0.1:{ports[1]}", "grpc") as connection:
            while not connection.model_ready("network"):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("pytriton did not start:\n" + "\n".join(processes.log_tail(place / "pytriton.log")))
                time.sleep(0.2)
        yield python, f"http://127.0.0.1:{ports[0]}", f"grpc://127.0.0.1:{ports[1]}"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
