"""Ask a running server for every sample, in every way a client can, and compare each answer with the reference."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tritonize.core import arrays
from tritonize.core.artifacts import Check, Finding, ServerHandle, Stage
from tritonize.core.messages import server as wording
from tritonize.core.results import Verdict
from tritonize.core.stages import SERVED, TRANSPORTS, StageName, Transport, over
from tritonize.triton import executions, inference, invariances, server_description
from tritonize.triton.executions import Counts
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.target import Target

CLIENTS = 8
"""Concurrent clients."""
AGAIN = 4
"""Batches of each size that are asked a second time, and in another order."""
CONCURRENT_SECONDS = 2.0
"""A concurrent client asks again until this much time has passed, at least once."""
TURNS = 100
"""Requests of each concurrent client, if there is time: an answer that goes astray once in 200 is hardly missed then."""


Asked = tuple[list[Check], list[Finding], str]
"""What a stage's requests came to, and a note on them."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a server answered, compared."""

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    stages: tuple[Stage, ...]
    identity: Mapping[str, str]
    on_gpu: tuple[StageName, ...] = ()
    """The stages whose answers came from a GPU, which adds up in other orders."""

    @property
    def passed(self) -> bool:
        """Whether everything that was asked for was answered as expected; nothing asked is nothing proven."""
        return bool(self.checks) and not self.findings and all(check.passed for check in self.checks)

    @property
    def verdict(self) -> Verdict:
        """Not run where all that was answered is right, and a stage has no answer that the model computed."""
        if not self.passed:
            return "failed"
        return "not run" if any(each.verdict == "not run" and not each.optional for each in self.stages) else "passed"


def verify(target: Target, *, transports: Sequence[Transport] = TRANSPORTS) -> Verification:
    """All samples at every batch size over every transport, then what must change nothing, then concurrent clients.

    A mismatch, and a request that the server answers with an error, is a result.

    Raises:
        ServerError: the server cannot be reached or does not serve the model.
    """
    metadata, served = server_description.described(target)
    findings = list(server_description.findings(target, metadata, served))
    checks: list[Check] = []
    stages: list[Stage] = []
    asking: dict[StageName, Callable[[], Asked]] = {over(name): functools.partial(_over, target, name) for name in transports}
    asking[StageName.INVARIANCES] = functools.partial(_invariances, target, served)
    asking[StageName.CONCURRENT] = functools.partial(_concurrently, target)
    for name, ask in asking.items():
        if reason := _unreachable(target.server, name.transport):
            stages.append(Stage(name=name, verdict="not run", seconds=0.0, note=reason, optional=True))
            continue
        before = _counts(target)
        started = time.perf_counter()
        done, problems, note = ask()
        seconds = time.perf_counter() - started
        checks += done
        findings += problems
        counted = executions.settled(functools.partial(_counts, target), before, len(done))
        why = executions.why_nothing(counted, len(done), cached=bool(served.get("response_cache", {}).get("enable")))
        if name is StageName.CONCURRENT:
            note = f"{note}; {_in_words(counted)}"
        stages.append(_stage(name, done, problems, seconds, note, why))
    return Verification(
        checks=tuple(checks),
        findings=tuple(findings),
        stages=tuple(stages),
        identity=dict(target.server.identity),
        on_gpu=SERVED if server_description.runs_on_gpu(served) else (),
    )


def _counts(target: Target) -> Counts | None:
    return executions.counts(target.server, target.any_transport, target.model, target.version)


def _in_words(counted: Counts | None) -> str:
    """Fewer executions than inferences means that the server batched across clients."""
    if counted is None:
        return wording.STATISTICS_RESTRICTED.text()
    return f"{counted.inferences} inferences in {counted.executions} executions"


def _stage(
    name: StageName, checks: Sequence[Check], findings: Sequence[Finding], seconds: float, note: str, nothing: str | None
) -> Stage:
    """What a stage came to; `nothing` says why its answers prove nothing, though they may well show that something is wrong."""
    good = bool(checks) and not findings and all(check.passed for check in checks)
    return Stage(
        name=name,
        verdict="failed" if not good else "passed" if nothing is None else "not run",
        seconds=seconds,
        # Concurrent clients wait at the same time, so their waiting adds up to more than passed.
        library_seconds=min(seconds, sum(check.seconds for check in checks)),
        note=nothing if good and nothing else note or f"{len(checks)} answers",
    )


def _unreachable(server: ServerHandle, transport: str | None) -> str | None:
    if transport == "http" and not server.http_url:
        return "no HTTP address was given"
    if transport in ("grpc", "shm") and not server.grpc_url:
        return "no gRPC address was given"
    if transport == "shm" and not server.local:
        return "the server does not share this machine's memory, or does not let us use it"
    return None


def _over(target: Target, transport: Transport) -> Asked:
    """Every batch of every size over one transport."""
    checks: list[Check] = []
    findings: list[Finding] = []
    with target.connect(transport) as connection:
        for indices in target.golden.batches():
            inference.send(target, connection, over(transport), indices, checks, findings)
    return checks, findings, ""


def _invariances(target: Target, served: ModelConfig) -> Asked:
    """Asked again, in another order, and beside padding; and whether every transport gave the same bits."""
    checks: list[Check] = []
    findings: list[Finding] = []
    golden = target.golden
    with target.connect(target.any_transport) as connection:
        for size in arrays.batch_sizes(golden.max_batch_size):
            for indices in list(arrays.batches(golden.samples, size))[:AGAIN]:
                inference.send(target, connection, StageName.AGAIN, indices, checks, findings)
                if len(set(indices)) > 1:
                    inference.send(target, connection, StageName.ORDER, indices[::-1], checks, findings)
        for fill in (invariances.copies,) if golden.unpadded else (invariances.zeros, invariances.copies):
            for index, batch in invariances.padded(golden, fill):
                inference.send_padded(target, connection, index, batch, checks, findings)
    differing = list(target.digests.findings())
    note = f"{len(checks)} answers, {target.digests.compared} questions with the same bits"
    if differing and (why := _may_differ(target, served)):
        return checks, findings, f"{len(checks)} answers; {differing[0].what} ({differing[0].where}), as {why}"
    return checks, [*findings, *differing], note


def _may_differ(target: Target, served: ModelConfig) -> str:
    """What explains other bits in answer to the same question, so that they are no finding; empty where nothing does."""
    if target.server.log is None:  # a server that others may ask too, and be batched with these
        return "other clients can cause"
    if server_description.runs_on_gpu(served) and len(served.get("instance_group", ())) > 1:
        # Triton hands a request to any instance that is free, and each group has kernels tuned for a profile of its own.
        return "groups of instances with kernels of their own do"
    return ""


def _concurrently(target: Target) -> Asked:
    """Clients that ask at the same time, each with another mixture of samples and batch sizes."""
    transport = target.any_transport
    batches = target.golden.batches()

    def ask(number: int) -> tuple[list[Check], list[Finding]]:
        checks: list[Check] = []
        findings: list[Finding] = []
        with target.connect(transport) as connection:
            until = time.perf_counter() + CONCURRENT_SECONDS
            for turn in range(max(2 * len(batches), TURNS)):  # strides of 7, so that neighbours ask for different batches
                inference.send(
                    target, connection, StageName.CONCURRENT, batches[(number + turn * 7) % len(batches)], checks, findings
                )
                if findings or time.perf_counter() > until:
                    break
        return checks, findings

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(CLIENTS)))
    checks = [check for done, _ in answers for check in done]
    findings = [finding for _, problems in answers for finding in problems]
    return checks, findings, f"{CLIENTS} clients"
