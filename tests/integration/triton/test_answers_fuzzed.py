"""A server whose responses are almost right: for any change in them, a verification ends in a verdict or a tritonize error."""

from __future__ import annotations

import copy
import itertools
import json
import random
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import hostile_server as hostile
from tests.support import small_versions
from tests.support.hostile_server import http, listening
from tritonize.core.errors import TritonizeError
from tritonize.core.reports import Report
from tritonize.report import text as report_text
from tritonize.triton import executions, weight
from tritonize.workflows import golden as golden_workflow

VALUES: tuple[Any, ...] = (
    None, 0, -1, 10**30, 1.5, float("inf"), "", "FP32", "TYPE_FP32", "\x1b[31m", "x" * 1000, True, [], {}, [[]], ["a"], {"a": 1},
)  # fmt: skip
CONFIG = {
    "name": "small",
    "platform": "onnxruntime_onnx",
    "backend": "onnxruntime",
    "max_batch_size": 4,
    "version_policy": {"latest": {"num_versions": 1}},
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [16]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [10]}],
    "instance_group": [{"name": "small", "kind": "KIND_CPU", "count": 1}],
    "dynamic_batching": {},
}
ANSWERS: dict[str, Any] = {
    "v2": {"name": "triton", "version": "2.51.0", "extensions": ["statistics"]},
    "config": CONFIG,
    "stats": {
        "model_stats": [
            {
                "name": "small",
                "version": "1",
                "inference_count": 0,
                "execution_count": 0,
                "inference_stats": {"success": {"count": 0, "ns": 0}},
            }
        ]
    },
    "1": {
        "name": "small",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 10]}],
    },
    "infer": {"model_name": "small", "model_version": "1", "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 10]}]},
}


class Server:
    """The small model over HTTP; one part of one kind of response is changed."""

    def __init__(self) -> None:
        self.answers = copy.deepcopy(ANSWERS)
        self._asked = itertools.count(0, 1000)

    def __call__(self, peer: socket.socket) -> None:
        while True:
            head, body = hostile.request_with_body(peer)
            last = head.split(b" ")[1].decode().rpartition("/")[2]
            plain = self.answers[{"small": "1"}.get(last, last)]  # with a version and without one
            if last == "stats":
                plain = self._counted(plain)
            peer.sendall(self._inferred(head, body, plain) if last == "infer" else http(json.dumps(plain).encode()))

    def _counted(self, plain: Any) -> Any:
        """The statistics with the number of requests so far, if they still have that field."""
        if plain != ANSWERS["stats"]:
            return plain
        plain = copy.deepcopy(plain)
        own = plain["model_stats"][0]
        own["inference_count"] = own["execution_count"] = own["inference_stats"]["success"]["count"] = next(self._asked)
        return plain

    def _inferred(self, head: bytes, body: bytes, plain: Any) -> bytes:
        length = int(next(line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"inference-header")))
        given = np.frombuffer(body[length:], np.float32).reshape(-1, 16)
        found = np.maximum(given @ small_versions.WEIGHTS, 0)
        plain = copy.deepcopy(plain)
        try:
            if plain["outputs"][0]["shape"] == [1, 10]:
                plain["outputs"][0]["shape"] = list(found.shape)
            plain["outputs"][0].setdefault("parameters", {"binary_data_size": found.nbytes})
        except (LookupError, TypeError, AttributeError):
            pass
        content = json.dumps(plain).encode()
        return http(content + found.tobytes(), f"Inference-Header-Content-Length: {len(content)}")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every part of plain data."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The data with one part exchanged; left out where `new` is `...`."""
    if not path:
        return None if new is ... else new
    result = copy.deepcopy(value)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    if new is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return result


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fuzz")
    small_versions.publish(place / "models", 1, samples={"count": 2}, quality={"edge_cases": False})
    return golden_workflow.export(place / "models", "small", out=place / "small.golden").path


def verify(file: Path, address: str) -> Report:
    return golden_workflow.verify(golden_workflow.Request(path=file, urls=[f"http://{address}"]))


@pytest.mark.parametrize(("seed", "rounds"), [(0, 0), pytest.param(1, 1500, marks=pytest.mark.slow)])
def test_any_changed_response_ends_in_a_verdict_or_an_error(
    file: Path, monkeypatch: pytest.MonkeyPatch, seed: int, rounds: int
) -> None:
    """Every part once, and then parts by chance."""
    monkeypatch.setitem(weight.PROFILES, "standard", replace(weight.STANDARD, concurrent_s=0.0, clients=2))
    monkeypatch.setattr(executions, "_SETTLE_S", 0.0)
    server, draw = Server(), random.Random(seed)
    ends: dict[str, int] = {}
    with listening(server) as address:
        found = verify(file, address)
        assert found.verdict == "passed", report_text.as_text(found)
        parts = [(kind, path) for kind, plain in ANSWERS.items() for path in places(plain)]
        for kind, path in [*parts, *draw.choices(parts, k=rounds)]:
            server.answers = {**ANSWERS, kind: changed(ANSWERS[kind], path, draw.choice((..., *VALUES)))}
            try:
                found = verify(file, address)
            except TritonizeError as error:
                assert error.exit_code in (2, 7, 8), (kind, path, server.answers[kind], error)
                end = str(error.code or error.what)
            else:
                assert "\x1b" not in report_text.as_text(found)
                end = found.verdict
            ends[end] = ends.get(end, 0) + 1
    assert set(ends) >= {"passed", "failed", "no-triton"}, ends
