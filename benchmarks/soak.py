"""Send mixed requests to the embedded server for minutes: every response is right, and the server's resources stay flat.

Threads send good and bad requests over HTTP, gRPC and shared memory, at random sizes, while another thread unloads and loads a
model. Every good response is compared with the expected values, every bad request must be refused. Once a second the server's
memory, threads, descriptors and shared-memory files are counted. `make soak` runs it for ten minutes; it fails if a response is
wrong or a count grows.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks.tree import descendants, proportional
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import InferenceError
from tritonize.triton import client
from tritonize.triton.server import embedded

TRANSPORTS = ("http", "grpc", "shm")
CLIENTS = 2
"""Threads for each transport."""
WARM = 0.25
"""Part of the time after which resources must not grow."""
MEMORY_SLACK = 0.03
"""Growth of the median memory, from the second quarter of the time to the last, that allocators explain. Measured: the memory rises
from 75 to 94 MiB in the first 75 s, as each thread of the server gets an arena of the allocator, and by 2 % in the next 225 s."""
_BATCH = 8
_CONFIG = """platform: "onnxruntime_onnx"
max_batch_size: {batch}
input [ {{ name: "x" data_type: {type} dims: [ -1 ] }} ]
output [ {{ name: "y" data_type: {type} dims: [ -1 ] }} ]
dynamic_batching {{ }}
instance_group [ {{ kind: KIND_CPU count: 2 }} ]
"""


@dataclass(frozen=True)
class Model:
    """A model of one operator, and how its requests are drawn and answered."""

    onnx_type: int
    triton_type: str
    operator: str
    draw: Callable[[np.random.Generator, tuple[int, ...]], Array]
    expected: Callable[[Array], Array]


MODELS = {
    "negative": Model(
        TensorProto.FLOAT, "TYPE_FP32", "Neg", lambda drawn, shape: drawn.standard_normal(shape, dtype=np.float32), np.negative
    ),
    "magnitude": Model(TensorProto.INT64, "TYPE_INT64", "Abs", lambda drawn, shape: drawn.integers(-(2**40), 2**40, shape), np.abs),
    "text": Model(
        TensorProto.STRING,
        "TYPE_STRING",
        "Identity",
        lambda drawn, shape: np.array([b"x" * int(n) for n in drawn.integers(0, 50, shape).ravel()], object).reshape(shape),
        lambda values: values,
    ),
    "reloaded": Model(
        TensorProto.DOUBLE, "TYPE_FP64", "Neg", lambda drawn, shape: drawn.standard_normal(shape), np.negative
    ),  # unloaded and loaded while requests come in
}


@dataclass
class Counts:
    """What all threads saw."""

    requests: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, problem: str | None = None) -> None:
        with self.lock:
            self.requests[kind] += 1
            if problem:
                self.wrong.append(problem)


@dataclass(frozen=True)
class Resources:
    """Of the server's process at one moment."""

    memory: int
    """Proportional resident bytes."""
    threads: int
    descriptors: int
    shared_files: int
    """Files in /dev/shm of this server and its clients."""


def soak(seconds: float, *, seed: int = 0) -> tuple[Counts, list[Resources]]:
    """Serve the models and send requests for some seconds."""
    counts = Counts()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        for model in MODELS:
            _write(folder / "models", model)
        with embedded.start(folder / "models", directory=folder / "server", explicit=True) as server:
            until = time.monotonic() + seconds
            threads = [
                threading.Thread(target=_send, args=(server, transport, until, counts, seed + number))
                for number in range(CLIENTS)
                for transport in TRANSPORTS
            ]
            threads.append(threading.Thread(target=_reload, args=(server, until, counts)))
            for thread in threads:
                thread.start()
            seen = list(_watch(server, until))
            for thread in threads:
                thread.join()
    return counts, seen


def problems(counts: Counts, seen: list[Resources], memory_slack: float = MEMORY_SLACK) -> list[str]:
    """Return what is wrong; empty if every response was right and nothing grew."""
    found = counts.wrong[:10]
    early = seen[int(WARM * len(seen)) : len(seen) // 2]
    late = seen[3 * len(seen) // 4 :]
    if not early or not late:
        return [*found, "the time was too short to judge resources"]
    before, after = (statistics.median(each.memory for each in part) for part in (early, late))
    if after > before * (1 + memory_slack):
        found.append(f"memory grew from {before / 2**20:.1f} to {after / 2**20:.1f} MiB")
    for name in ("threads", "descriptors", "shared_files"):
        first, last = (max(getattr(each, name) for each in part) for part in (early, late))
        if last > first:
            found.append(f"{name} grew from {first} to {last}")
    return found


def table(counts: Counts, seen: list[Resources]) -> str:
    """Requests by kind, and resources at the start, in the middle and at the end."""
    lines = [f"{kind:<32}{number:>10,}" for kind, number in sorted(counts.requests.items())]
    lines.append(f"{'wrong':<32}{len(counts.wrong):>10,}\n")
    lines.append(f"{'':<12}{'memory':>12}{'threads':>9}{'descriptors':>13}{'shared files':>14}")
    for part, at in (("quarter", len(seen) // 4), ("half", len(seen) // 2), ("end", len(seen) - 1)):
        each = seen[at]
        memory = f"{each.memory / 2**20:.1f} MiB"
        lines.append(f"{part:<12}{memory:>12}{each.threads:>9}{each.descriptors:>13}{each.shared_files:>14}")
    return "\n".join(lines)


def _write(repository: Path, name: str) -> None:
    model = MODELS[name]
    values = [helper.make_tensor_value_info(each, model.onnx_type, ["batch", "n"]) for each in ("x", "y")]
    graph = helper.make_graph([helper.make_node(model.operator, ["x"], ["y"])], name, values[:1], values[1:])
    path = repository / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    (repository / name / "config.pbtxt").write_text(_CONFIG.format(batch=_BATCH, type=model.triton_type))


def _send(server: embedded.Running, transport: client.Transport, until: float, counts: Counts, seed: int) -> None:
    """Send requests over one connection; one in five is bad."""
    choose, drawn = random.Random(seed), np.random.default_rng(seed)
    with client.connect_to(server, transport) as connection:
        while time.monotonic() < until:
            name = choose.choice(list(MODELS))
            model = MODELS[name]
            values = model.draw(drawn, (choose.randint(1, _BATCH), choose.randint(1, 2000)))
            bad = choose.random() < 0.2
            inputs = _spoiled(choose, name, values) if bad else {"x": values}
            kind = f"{transport}, {'bad' if bad else 'good'}"
            try:
                found = connection.infer(name, inputs)
            except InferenceError as error:
                expected = bad or (name == "reloaded" and _unloaded(error))
                counts.add(f"{kind}, refused", None if expected else f"{transport} {name}: {error}")
            else:
                right = not bad and np.array_equal(found["y"], model.expected(values))
                counts.add(f"{kind}, answered", None if right else f"{transport} {name}: a wrong response")


def _spoiled(choose: random.Random, name: str, values: Array) -> Arrays:
    """Inputs that the server must refuse: another name, another type, another rank, or too many items."""
    other_type = np.zeros(values.shape, np.float32 if name != "negative" else np.int64)
    return choose.choice(
        [
            {"z": values},
            {"x": other_type},
            {"x": values.ravel()[:1].reshape(1, 1, 1)},
            {"x": np.concatenate([values] * (_BATCH + 1))[: _BATCH + 1]},
        ]
    )


def _unloaded(error: InferenceError) -> bool:
    """Whether the request came while its model was not loaded."""
    text = f"{error.what} {error.found}".lower()
    return any(each in text for each in ("not ready", "unknown model", "not found", "unavailable", "no version", "unloaded"))


def _reload(server: embedded.Running, until: float, counts: Counts) -> None:
    """Unload and load one model, again and again."""
    while time.monotonic() < until:
        for action in ("unload", "load"):
            connection = http.client.HTTPConnection(server.http_url, timeout=60)
            with contextlib.closing(connection):
                connection.request("POST", f"/v2/repository/models/reloaded/{action}", "{}", dict(server.headers["http"]))
                response = connection.getresponse()
                text = response.read().decode()
            counts.add(action, None if response.status == 200 else f"{action}: {response.status} {text}")
            time.sleep(0.5)


def _watch(server: embedded.Running, until: float) -> Iterator[Resources]:
    """Count the server's resources once a second."""
    (pid,) = (each for each in descendants(server.process.pid) if each == server.process.pid)
    while time.monotonic() < until:
        time.sleep(1.0)
        yield Resources(
            memory=proportional(pid),
            threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
            descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
            shared_files=len(list(Path("/dev/shm").glob(f"{server.shm_prefix}*"))),
        )


def main() -> None:
    """Run the soak and print the table; exit code 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts, seen = soak(given.seconds, seed=given.seed)
    print(table(counts, seen))
    found = problems(counts, seen)
    print("\n".join(f"✗ {each}" for each in found) or "✓ every response was right, and nothing grew")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
