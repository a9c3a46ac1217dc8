"""Every response to a request of a decoupled model is compared in its place; the stream is scripted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, ServerHandle, TensorFiles, TensorSpec
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as client_messages
from tritonize.core.stages import StageName
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.spec import rules, schema
from tritonize.triton import decoupled_requests, left_out, weight
from tritonize.triton.client.grpc import GrpcClient
from tritonize.triton.client.stream import Response
from tritonize.triton.target import Target

COUNTS = (3, 1, 2)
"""Responses to each request; response k to a request for x is x + k."""
CONFIG: Any = {"input": [{"name": "x", "dims": ["2"]}], "output": [{"name": "y", "dims": ["2"]}]}


def golden(folder: Path) -> GoldenSet:
    files = {
        name: TensorFiles(directory=folder / name, tensors=(TensorSpec(name=name, dtype="fp32", shape=(2,)),), count=sum(COUNTS))
        for name in ("x", "y")
    }
    index, starts = 0, []
    for request, count in enumerate(COUNTS):
        starts.append(index)
        for place in range(count):
            arrays.save(files["x"], index, {"x": np.full(2, 10 * request, np.float32)})
            arrays.save(files["y"], index, {"y": np.full(2, 10 * request + place, np.float32)})
            index += 1
    samples = SampleSet(files=files["x"], batched=False, origin="here", requests=tuple(starts))
    return GoldenSet(samples=samples, expected=files["y"], max_batch_size=0)


Script = list[tuple[int, int | None, bool]]
"""Request, place of the response (`None` for a message without outputs), and whether it is the last one."""


class Scripted(GrpcClient):
    """A client whose stream returns what a script says."""

    def __init__(self, script: Script, after: Exception | None) -> None:
        self.script, self.after, self.sent = list(script), after, {}

    def __exit__(self, *_error: object) -> None:
        """Nothing is open."""

    @contextlib.contextmanager
    def stream(self, model: str, version: str, *, outputs: Any = None) -> Iterator[Any]:
        yield self

    def send(self, request: str, inputs: Mapping[str, np.ndarray], *, step: object = None) -> None:
        self.sent[request] = inputs["x"]

    def receive(self) -> Response:
        if not self.script:
            assert self.after is not None
            raise self.after
        request, place, final = self.script.pop(0)
        outputs = {} if place is None else {"y": self.sent[str(request)] + np.float32(place)}
        return Response(request=str(request), outputs=outputs, final=final)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch):
    known = golden(Path())

    def made(script: Script, after: Exception | None = None) -> Target:
        monkeypatch.setattr(Target, "connect", lambda *_given: Scripted(script, after))
        return Target(
            server=ServerHandle(http_url="", grpc_url="h:1", identity={}, local=False),
            model="m",
            version=1,
            golden=known,
            config=CONFIG,
            tracker=ErrorTracker(known),
        )

    return made


RIGHT: Script = [(0, 0, False), (2, 0, False), (1, 0, True), (0, 1, False), (0, 2, False), (2, 1, True), (0, None, True)]


def streamed(target: Target) -> Any:
    return decoupled_requests.stages(target, ("http", "grpc", "shm"))[StageName.STREAM]()


def test_responses_to_several_requests_may_take_turns(target) -> None:
    found = streamed(target(RIGHT))
    assert (found.findings, found.requests, len(found.checks)) == ([], 3, 6)
    assert all(check.passed for check in found.checks)
    assert sorted(check.samples for check in found.checks) == [(0,), (1,), (2,), (3,), (4,), (5,)]


@pytest.mark.parametrize(
    ("script", "expected", "count"),
    [
        ([each for each in RIGHT if each != (0, 2, False)], "3 responses", "2 responses"),
        ([(0, 0, False), *RIGHT], "3 responses", "4 responses"),
        ([(1, 0, False), *RIGHT], "1 responses", "2 responses"),
    ],
)
def test_a_missing_or_an_additional_response_is_a_finding(script: Script, expected: str, count: str, target) -> None:
    (finding,) = streamed(target(script)).findings
    assert finding.stage is StageName.STREAM
    assert (finding.what, finding.expected, finding.found) == (
        "the server sent another number of responses to a request",
        expected,
        count,
    )


def test_responses_in_another_order_are_wrong(target) -> None:
    found = streamed(target([(0, 1, False), (0, 0, False), (0, 2, True), (1, 0, True), (2, 0, False), (2, 1, True)]))
    assert [check.samples for check in found.checks if not check.passed] == [(0,), (1,)]


def test_a_last_response_that_never_comes_is_a_finding(target) -> None:
    silent = ServerError.of(client_messages.SERVER_SILENT, where="grpc", seconds=1.0)
    (finding,) = streamed(target(RIGHT[:-1], silent)).findings
    assert finding.what == "the server did not say which response to a request is the last one"
    assert finding.where == "stream, samples 0"
    with pytest.raises(ServerError):  # without any response, the server is not there
        streamed(target([], silent))


def test_an_error_of_the_model_is_a_finding(target) -> None:
    refused = InferenceError.of(client_messages.MODEL_REFUSED, where="grpc", found="out of range", model="m")
    (finding,) = streamed(target(RIGHT[:2], refused)).findings
    assert (finding.where, finding.found) == ("stream, after 2 responses", "out of range")


def test_transports_without_streams_are_not_run(target) -> None:
    made = target(RIGHT)
    reasons = {name: left_out.why(made, name) for name in decoupled_requests.stages(made, ("http", "grpc", "shm"))}
    assert [name.key for name, why in reasons.items() if why] == ["http", "grpc", "shm"]
    without = replace(made, server=replace(made.server, http_url="h:2", grpc_url=""))
    assert all(left_out.why(without, name) for name in reasons)
    assert weight.most_requests(weight.STANDARD, made.golden, transports=2) == 2 + 3 + 3 + 8 * 100


def test_only_a_python_step_without_a_batch_is_decoupled() -> None:
    decoupled = {"model_transaction_policy": {"decoupled": True}}
    step = {"python": "s.py:f", "inputs": {"x": {"shape": [2]}}, "outputs": {"y": {"dtype": "fp32", "shape": [2]}}}
    assert list(rules.problems(schema.Model.model_validate({**step, "triton": decoupled}))) == []
    batch = {"inputs": {"x": {"shape": ["b", 2]}}, "outputs": {"y": {"dtype": "fp32", "shape": ["b", 2]}}, "max_batch_size": 2}
    (batched,) = rules.problems(schema.Model.model_validate({**step, **batch, "triton": decoupled}))
    assert batched[0] == ("max_batch_size",)
    (exported,) = rules.problems(schema.Model.model_validate({"source": "m.onnx", "triton": decoupled}))
    assert "only a Python step sends several responses" in exported[1]
