"""Requests that their gRPC client gives up, while they wait and while the model runs: the server drops them, and no others.

Over HTTP, Triton does not notice that a client went away (docs/user_guide/request_cancellation.md names gRPC alone).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from tests.support import server_models
from tritonize.triton import client
from tritonize.triton.server import embedded
from tritonize.triton.server.embedded import Running

pytestmark = pytest.mark.server
FOREVER = 10**15
"""More iterations than any machine ends."""
CONFIG = """
platform: "onnxruntime_onnx"
max_batch_size: 4
input [ { name: "N" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [ { name: "SAME" data_type: TYPE_INT64 dims: [ 1 ] }, { name: "LONGEST" data_type: TYPE_INT64 dims: [ 1 ] } ]
dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 400000 }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def counting(path: Path) -> Path:
    """SAME = N; LONGEST is the largest N of the whole batch, counted by a loop of as many iterations."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["count", "ONE"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count", TensorProto.INT64, ["batch", 1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.INT64, ["batch", 1]),
        ],
    )
    return server_models.save(
        path,
        [
            helper.make_node("Identity", ["N"], ["SAME"]),
            helper.make_node("Sub", ["N", "N"], ["ZEROS"]),
            helper.make_node("ReduceMax", ["N"], ["largest"], keepdims=0),
            helper.make_node("Loop", ["largest", "", "ZEROS"], ["LONGEST"], body=body),
        ],
        [("N", TensorProto.INT64, ["batch", 1])],
        [(name, TensorProto.INT64, ["batch", 1]) for name in ("SAME", "LONGEST")],
        {"ONE": np.ones(1, np.int64)},
    )


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("cancellation")
    counting(server_models.write(root / "repository", "counter", CONFIG))
    with embedded.start(root / "repository", directory=root / "run") as running:
        yield running


@pytest.fixture
def connection(counter: Running) -> Iterator[grpc.InferenceServerClient]:
    """A connection; the server answers before and after the test."""
    with grpc.InferenceServerClient(counter.grpc_url) as opened:
        assert ask(opened, 3) == (3, 3)
        yield opened
        assert ask(opened, 5, client_timeout=20) == (5, 5)


def tensors(count: int) -> list[Any]:
    tensor = grpc.InferInput("N", [1, 1], "INT64")
    tensor.set_data_from_numpy(np.array([[count]], np.int64))
    return [tensor]


def values(answer: Any) -> tuple[int, int]:
    return int(answer.as_numpy("SAME")[0, 0]), int(answer.as_numpy("LONGEST")[0, 0])


def ask(connection: grpc.InferenceServerClient, count: int, **options: Any) -> tuple[int, int]:
    return values(connection.infer("counter", tensors(count), **options))


class Asked:
    """A request that can be cancelled."""

    def __init__(self, connection: grpc.InferenceServerClient, count: int) -> None:
        self._answer: Future[tuple[int, int]] = Future()
        self._context = connection.async_infer("counter", tensors(count), self._note)

    def _note(self, result: Any, error: Any) -> None:
        if error is None:
            self._answer.set_result(values(result))
        else:
            self._answer.set_exception(error)

    def cancel(self) -> None:
        self._context.cancel()

    def answer(self) -> tuple[int, int]:
        return self._answer.result(60)

    def is_cancelled(self) -> bool:
        return "cancelled" in str(self._answer.exception(60)).lower()


def executed(server: Running) -> tuple[int, int]:
    """The rows that the model has computed, and its runs."""
    with client.connect_to(server, "grpc") as opened:
        found = opened.statistics("counter")[0]
    return int(found.get("inference_count", 0)), int(found.get("execution_count", 0))


def settled(server: Running, rows: int) -> tuple[int, int]:
    """The same, once this many rows are counted: that happens after the responses."""
    until = time.monotonic() + 10
    while executed(server)[0] < rows and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.1)  # for a row too many
    return executed(server)


def busy(connection: grpc.InferenceServerClient, server: Running) -> Asked:
    """Occupy the one instance with a request that runs until it is cancelled."""
    asked = Asked(connection, FOREVER)
    time.sleep(0.8)  # longer than the queue's delay
    return asked


class TestWaiting:
    def test_a_request_that_is_cancelled_while_it_waits_does_not_run(
        self, connection: grpc.InferenceServerClient, counter: Running
    ) -> None:
        rows, runs = settled(counter, 1)
        first = busy(connection, counter)
        waiting = [Asked(connection, count) for count in (7, FOREVER, 8, 9)]
        time.sleep(0.2)
        waiting[1].cancel()
        assert waiting[1].is_cancelled()
        first.cancel()
        assert first.is_cancelled()
        answers = [each.answer() for index, each in enumerate(waiting) if index != 1]
        assert [same for same, _ in answers] == [7, 8, 9]
        assert {longest for _, longest in answers} == {9}  # they were joined
        assert settled(counter, rows + 3) == (rows + 3, runs + 1)

    def test_a_request_whose_client_waits_no_longer_does_not_run(
        self, connection: grpc.InferenceServerClient, counter: Running
    ) -> None:
        rows, runs = settled(counter, 1)
        first = busy(connection, counter)
        with ThreadPoolExecutor(2) as pool:
            late = pool.submit(ask, connection, FOREVER, client_timeout=0.5)
            other = pool.submit(ask, connection, 4)
            with pytest.raises(InferenceServerException, match="Deadline Exceeded"):
                late.result(30)
            first.cancel()
            assert other.result(30) == (4, 4)
        assert settled(counter, rows + 1) == (rows + 1, runs + 1)


class TestRunning:
    def test_the_neighbours_of_a_cancelled_request_are_answered(
        self, connection: grpc.InferenceServerClient, counter: Running
    ) -> None:
        """The model runs once, to the end, for those that are left."""
        rows, runs = settled(counter, 1)
        long = 1_000_000
        asked = [Asked(connection, count) for count in (long, 1, 2, 3)]
        time.sleep(0.2)
        asked[2].cancel()
        assert asked[2].is_cancelled()
        assert [each.answer() for index, each in enumerate(asked) if index != 2] == [(long, long), (1, long), (3, long)]
        assert settled(counter, rows + 4) == (rows + 4, runs + 1)

    def test_a_batch_whose_requests_are_all_cancelled_ends(self, connection: grpc.InferenceServerClient, counter: Running) -> None:
        """And no request of it runs again alone."""
        rows, runs = settled(counter, 1)
        asked = [Asked(connection, FOREVER) for _ in range(4)]
        time.sleep(0.5)
        for each in asked:
            each.cancel()
        began = time.monotonic()
        assert ask(connection, 6, client_timeout=20) == (6, 6)
        assert time.monotonic() - began < 5
        assert settled(counter, rows + 1) == (rows + 1, runs + 1)

    def test_a_client_that_waits_no_longer_frees_the_instance(self, connection: grpc.InferenceServerClient) -> None:
        with pytest.raises(InferenceServerException, match="Deadline Exceeded"):
            ask(connection, FOREVER, client_timeout=1)
        assert ask(connection, 6, client_timeout=20) == (6, 6)

    @pytest.mark.slow
    def test_a_stream_that_is_cancelled_frees_the_instance(self, connection: grpc.InferenceServerClient) -> None:
        ended = threading.Event()
        connection.start_stream(lambda result, error: ended.set())
        connection.async_stream_infer("counter", tensors(FOREVER))
        time.sleep(0.8)
        connection.stop_stream(cancel_requests=True)
        assert ask(connection, 6, client_timeout=20) == (6, 6)
