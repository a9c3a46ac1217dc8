"""The figures of `tritonize bench` against those of a raw client, in turns, on one server.

A small model (16 floats in, 10 out) over gRPC, with one client and with four. The raw client is a loop over `tritonclient` in as
many threads, which compares nothing. Nine pairs; which of the two goes first alternates. Target: the medians of the median latency,
and of the requests per second, are within 10 % of each other.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tritonclient.grpc

from benchmarks import verification
from tritonize.bench.load import Durations
from tritonize.core import arrays
from tritonize.core.artifacts import ServerHandle
from tritonize.quality.golden_set import GoldenSet
from tritonize.reference import golden_file
from tritonize.triton import serving
from tritonize.workflows import bench as bench_workflow

TITLE = "## Figures of tritonize bench against a raw client\n"
PAIRS, CLIENTS, SAMPLES = 9, (1, 4), 200
WARM_UP_S, WINDOW_S, WINDOWS = 0.5, 1.0, 3


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Median latency in seconds, and requests per second."""

    p50: float
    rate: float


def measure() -> str:
    """The section of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = [_row(clients, compared(Path(folder) / str(clients), clients, PAIRS)) for clients in CLIENTS]
    head = "| clients | raw p50 ms | bench p50 ms | ratio | raw requests/s | bench requests/s | ratio |"
    note = f"Medians of {PAIRS} pairs, measured in turns. Target: each ratio from 0.9 to 1.1."
    return "\n".join([TITLE, head, "|---|---|---|---|---|---|---|", *rows, "", note, ""])


def _row(clients: int, pairs: list[tuple[Figures, Figures]]) -> str:
    p50 = [statistics.median(each.p50 for each in side) * 1000 for side in zip(*pairs, strict=True)]
    rate = [statistics.median(each.rate for each in side) for side in zip(*pairs, strict=True)]
    latency = f"{p50[0]:.3f} | {p50[1]:.3f} | **{p50[1] / p50[0]:.2f}**"
    return f"| {clients} | {latency} | {rate[0]:.0f} | {rate[1]:.0f} | **{rate[1] / rate[0]:.2f}** |"


def compared(place: Path, clients: int, pairs: int) -> list[tuple[Figures, Figures]]:
    """Pairs of the raw client's figures and of `tritonize bench`'s."""
    weights = np.random.default_rng(0).standard_normal((16, 10), dtype=np.float32)
    verification.model(place / "models", weights)
    known = verification.golden_set(place / "arrays", weights, SAMPLES)
    path = place / "small.golden"
    origin = golden_file.Origin(model="small", version=1, config=verification.CONFIG, created="now", verdict="passed", versions={})
    golden_file.write(path, origin, known, recipe=None)
    found = []
    with serving.serve(place / "models", directory=place / "server") as server:
        for number in range(pairs):
            if number % 2:
                bench = benched(server, path, clients)
                found.append((raw(server, known, clients), bench))
            else:
                found.append((raw(server, known, clients), benched(server, path, clients)))
    return found


def benched(server: ServerHandle, path: Path, clients: int) -> Figures:
    """By `tritonize bench`."""
    durations = Durations(warm_up_s=WARM_UP_S, window_s=WINDOW_S, most_windows=WINDOWS)
    request = bench_workflow.Request(golden=path, urls=[f"grpc://{server.grpc_url}"], concurrency=[clients], durations=durations)
    report = bench_workflow.bench(request)
    assert report.verdict == "passed", report
    (load,) = report.loads
    assert load.latency is not None
    return Figures(p50=load.latency.p50, rate=load.rate)


def raw(server: ServerHandle, known: GoldenSet, clients: int) -> Figures:
    """By `tritonclient` in threads, for as long as a benchmark measures."""
    inputs = [arrays.load(known.samples.files, index)["x"] for index in range(known.samples.files.count)]
    ended = threading.Event()
    timed: list[list[tuple[float, float]]] = [[] for _ in range(clients)]

    def client(place: int) -> None:
        connection, turn = tritonclient.grpc.InferenceServerClient(server.grpc_url), place * 7
        while not ended.is_set():
            given = inputs[turn % len(inputs)]
            turn += 1
            started = time.perf_counter()
            question = tritonclient.grpc.InferInput("x", list(given.shape), "FP32")
            question.set_data_from_numpy(given)
            connection.infer("small", [question], model_version="1").as_numpy("y")
            timed[place].append((started, time.perf_counter()))
        connection.close()

    threads = [threading.Thread(target=client, args=(place,)) for place in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(WARM_UP_S)
    start = time.perf_counter()
    time.sleep(WINDOWS * WINDOW_S)
    end = time.perf_counter()
    ended.set()
    for thread in threads:
        thread.join()
    own = [done - began for each in timed for began, done in each if start <= done < end]
    return Figures(p50=statistics.median(own), rate=len(own) / (end - start))
