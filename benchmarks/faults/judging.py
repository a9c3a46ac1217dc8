"""A server that answers from a function, proven by the same code that proves a real one, and judged by every rule."""

from __future__ import annotations

import itertools
import math
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from unittest import mock

from benchmarks.faults import proven
from benchmarks.faults.proof import Proof
from benchmarks.faults.rules import RULES
from benchmarks.faults.situation import Answering, Question
from tritonize.core import arrays
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import InferenceError
from tritonize.core.messages import client as messages
from tritonize.core.results import DRAWN, Gate
from tritonize.core.stages import TRANSPORTS, StageName, Transport
from tritonize.quality import gates as quality_gates
from tritonize.quality.golden_set import GoldenSet, write
from tritonize.quality.tracker import ErrorTracker
from tritonize.triton import client, served_comparison, weight
from tritonize.triton.target import Target

TOLERANCE, NOISE, BOTH = "tolerance alone (a)", "noise floor alone (b)", "tritonize: both"
OURS = (TOLERANCE, NOISE, BOTH)
_SERVER = ServerHandle(http_url="bench", grpc_url="bench")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What every rule says of one served model."""

    accepted: Mapping[str, bool]
    """Rule to whether it let the model pass."""
    why: str
    """The first thing that our gates, or the rest of `verify`, found; empty where they found nothing."""
    k: float
    """The largest k of any stage, output and group; infinite where it could not be computed, 0 where nothing could be compared."""
    drawn: float = 0.0
    """The same of the drawn samples alone."""
    left_out: tuple[str, ...] = ()
    """Edge cases that a proof of the file leaves out by name."""


class _Watching(ErrorTracker):
    """Also asks the rules of other tools about every answer; they see the same answers as ours."""

    def __init__(self, golden: GoldenSet) -> None:
        super().__init__(golden)
        self.accepted = dict.fromkeys(RULES, True)

    def check(self, stage: StageName, indices: Sequence[int], expected: Arrays, *, found: Arrays, **more: Any) -> Any:
        """One answer, to be compared."""
        self._ask(indices, found)
        return super().check(stage, indices, expected, found=found, **more)

    def add(self, stage: StageName, indices: Sequence[int], found: Arrays) -> None:
        """One answer."""
        self._ask(indices, found)
        super().add(stage, indices, found)

    def _ask(self, indices: Sequence[int], found: Arrays) -> None:
        expected = arrays.stack(self.golden.expected, indices)
        for name, rule in RULES.items():
            self.accepted[name] = self.accepted[name] and rule(expected, found)


class _Connections:
    """Makes connections to a function, and counts those that are open."""

    def __init__(self, answer: Answering, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        self.answer, self.config, self.metadata = answer, config, metadata
        self.lock, self.numbers, self.open, self.asked = threading.Lock(), itertools.count(), 0, 0

    def connect(self, _: str, transport: Transport, **__: Any) -> _Connection:
        """Takes the place of `client.connect`."""
        return _Connection(self, next(self.numbers), transport)


class _Connection:
    """What verification asks of a client."""

    answered_version = "1"

    def __init__(self, server: _Connections, number: int, transport: Transport) -> None:
        self._server, self._number, self.transport = server, number, transport

    def __enter__(self) -> Self:
        with self._server.lock:
            self._server.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._server.lock:
            self._server.open -= 1

    def model_config(self, _: str, __: str) -> dict[str, Any]:
        return dict(self._server.config)

    def model_metadata(self, _: str, __: str = "") -> dict[str, Any]:
        return dict(self._server.metadata)

    def statistics(self, _: str, __: str) -> list[dict[str, Any]]:
        count = self._server.asked
        return [{"inference_count": count, "execution_count": count, "inference_stats": {"success": {"count": count}}}]

    def infer(self, model: str, inputs: Mapping[str, Array], *, outputs: Sequence[str] | None = None, **__: Any) -> Arrays:
        with self._server.lock:
            self._server.asked += 1
        found = self._server.answer(Question(inputs=dict(inputs), connection=self._number, clients=self._server.open))
        if missing := [name for name in outputs or () if name not in found]:
            raise InferenceError.of(messages.MODEL_REFUSED, found=f"unexpected inference output {missing[0]!r}", model=model)
        return found if outputs is None else {name: found[name] for name in outputs}


@contextmanager
def _in_place_of_a_server(connections: _Connections, concurrent_seconds: float) -> Iterator[None]:
    with (
        mock.patch.object(client, "connect", connections.connect),
        mock.patch.dict(weight.PROFILES, standard=replace(weight.STANDARD, concurrent_s=concurrent_seconds)),
    ):
        yield


def judge(proof: Proof, answer: Answering, file: bytes, *, concurrent_seconds: float = 0.0) -> Judged:
    """Prove a function that answers as `verify` proves a server: every batch size, again, in order, padded, concurrently.

    Args:
        file: what is deployed, of which the pipeline measures how far rounding moves it.
        concurrent_seconds: how long eight clients ask at the same time; each asks at least once.
    """
    config = config_of(proof)
    with _in_place_of_a_server(_Connections(answer, config, _metadata(config)), concurrent_seconds):
        return judge_server(proof, _SERVER, proof.healthy.name, config, file, transports=("http",))


def judge_server(
    proof: Proof,
    server: ServerHandle,
    model: str,
    config: Mapping[str, Any],
    file: bytes,
    *,
    transports: Sequence[Transport] = TRANSPORTS,
) -> Judged:
    """Prove a model on a server, and ask every rule about its answers.

    Args:
        config: the configuration it is served with, parsed.
        file: the ONNX file that is served.
    """
    with tempfile.TemporaryDirectory() as folder:
        proving, asked_first = proven.prove(proof, _Watching, file, Path(folder))
        tracker, golden = proving, proving.golden
        if proof.carried:
            (Path(folder) / "carried").mkdir()
            golden = write(golden, Path(folder) / "carried")
            tracker = _Watching(golden)
        target = Target(server=server, model=model, version=1, golden=golden, config=config, tracker=tracker)
        verified = served_comparison.verify(target, transports=transports)
        judgement = quality_gates.judge(tracker, (*asked_first, *verified.checks))
        before = quality_gates.judge(proving, asked_first)
    gates = [*before.gates, *judgement.gates]
    noise = [gate for gate in gates if gate.gate == "noise floor" and gate.verdict != "not run"]
    right = all(check.passed for check in (*asked_first, *verified.checks))
    return Judged(
        accepted={
            **{name: tracker.accepted[name] and proving.accepted[name] for name in RULES},
            TOLERANCE: right,
            NOISE: not any(gate.verdict == "failed" for gate in noise),
            BOTH: right and verified.passed and judgement.passed and before.passed,
        },
        why=_why(verified, judgement) or _why(verified, before),
        k=_largest(noise),
        drawn=_largest([gate for gate in noise if gate.group == DRAWN]),
        left_out=tuple(set(proof.golden.samples.edges.values()) - set(golden.samples.edges.values())),
    )


def _largest(gates: Sequence[Gate]) -> float:
    return max((math.inf if gate.value is None else gate.value for gate in gates), default=0.0)


def _why(verified: served_comparison.Verification, judgement: quality_gates.Judgement) -> str:
    gate = quality_gates.first_over_budget(judgement.gates)
    if gate:
        return f"{gate.gate}, {gate.stage}, {gate.output}, {gate.group}: {gate.value} > {gate.limit} {gate.note}".strip()
    bad = next((check for check in verified.checks if not check.passed), None)
    if bad:
        return f"{bad.stage}: {next((tensor.reason for tensor in bad.tensors if not tensor.passed), 'no outputs')}"
    return verified.findings[0].what if verified.findings else ""


_TYPES = {"fp32": "TYPE_FP32", "int64": "TYPE_INT64"}


def config_of(proof: Proof) -> dict[str, Any]:
    """A configuration as the server would have it, parsed."""
    model = proof.healthy.spec(proof.seed)
    inputs = [
        {
            "name": name,
            "data_type": _TYPES[tensor.dtype],
            "dims": [size if isinstance(size, int) else -1 for size in tensor.shape[1:]],
        }
        for name, tensor in model.inputs.items()
    ]
    answers = [arrays.load(proof.golden.expected, index) for index in range(proof.golden.expected.count)]
    outputs = [
        {"name": name, "data_type": "TYPE_FP32", "dims": _sizes([answer[name].shape[1:] for answer in answers])}
        for name in model.outputs
    ]
    return {"name": proof.healthy.name, "max_batch_size": proof.golden.max_batch_size, "input": inputs, "output": outputs}


def _sizes(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """The size of every axis; -1 where it is not the same in all answers."""
    return [sizes[0] if len(set(sizes)) == 1 else -1 for sizes in zip(*shapes, strict=True)]


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    def described(section: str) -> list[dict[str, Any]]:
        return [
            {"name": each["name"], "datatype": each["data_type"].removeprefix("TYPE_"), "shape": [-1, *each["dims"]]}
            for each in config[section]
        ]

    return {"inputs": described("input"), "outputs": described("output")}
