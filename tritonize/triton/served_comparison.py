"""Ask a running server for every sample, in every way a client can, and compare each answer with the reference."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Arrays
from tritonize.core.artifacts import Check, Finding, ServerHandle, Stage
from tritonize.core.errors import InferenceError
from tritonize.core.messages import client as say
from tritonize.core.messages import server as wording
from tritonize.core.results import Verdict
from tritonize.core.stages import SERVED, TRANSPORTS, StageName, Transport, over
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.triton import client, executions, invariances, model_config
from tritonize.triton.executions import Counts
from tritonize.triton.invariances import Digests
from tritonize.triton.protocol import ModelConfig, ModelMetadata

_SLACK = 2**26
"""Bytes that any answer may have."""
CLIENTS = 8
"""Concurrent clients."""
NAN_SHARE = 10
"""More than one element in so many that is NaN makes a proof a weak one."""
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


@dataclass(frozen=True, kw_only=True)
class Target:
    """One version of one model on a server, and what it has to answer."""

    server: ServerHandle
    model: str
    version: int
    golden: GoldenSet
    config: ModelConfig
    """The configuration it was staged with, parsed."""
    tracker: ErrorTracker
    """Is shown every answer."""
    digests: Digests = field(default_factory=Digests)
    """Is shown every answer too."""
    newest: bool = True
    """Whether the server is to answer with it where a request names no version."""

    @functools.cached_property
    def answer_limit(self) -> int:
        """Bytes that an answer may have: several times what is expected, since a wrong answer shall be seen and not refused."""
        largest = arrays.largest(self.golden.expected) * max(1, self.golden.max_batch_size)
        return max(_SLACK, 4 * largest)


def verify(target: Target, *, transports: Sequence[Transport] = TRANSPORTS) -> Verification:
    """All samples at every batch size over every transport, then what must change nothing, then concurrent clients.

    A mismatch, and a request that the server answers with an error, is a result.

    Raises:
        ServerError: the server cannot be reached or does not serve the model.
    """
    metadata, served = _described(target)
    findings = list(_metadata_findings(target, metadata, served))
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
        on_gpu=SERVED if runs_on_gpu(served) else (),
    )


def _counts(target: Target) -> Counts | None:
    return executions.counts(target.server, _plain(target.server), target.model, target.version)


def _in_words(counted: Counts | None) -> str:
    """Fewer executions than inferences means that the server batched across clients."""
    if counted is None:
        return wording.STATISTICS_RESTRICTED.text()
    return f"{counted.inferences} inferences in {counted.executions} executions"


def runs_on_gpu(served: ModelConfig) -> bool:
    """Whether a GPU may answer, by the configuration as the server has it: it fills in where each group of instances runs.

    Source: triton-inference-server/core, `NormalizeInstanceGroup` in `model_config_utils.cc`.
    """
    return any(group.get("kind") == "KIND_GPU" for group in served.get("instance_group", ()))


def empty_proofs(checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Outputs without one finite element in any sample: whatever answers them, nothing is proven."""
    elements: dict[str, int] = {}
    for tensor in (tensor for check in checks for tensor in check.tensors):
        finite = tensor.elements if tensor.max_abs is not None or tensor.rtol == tensor.atol == 0 else 0
        elements[tensor.name] = max(elements.get(tensor.name, 0), finite)
    what = "it is empty, NaN or infinite in every sample, so nothing is proven of it"
    return tuple(Finding(where=f"output {name}", what=what) for name, count in elements.items() if not count)


def weak_proofs(checks: Sequence[Check]) -> tuple[str, ...]:
    """A sentence for each output whose absolute tolerance is larger than the output itself, or that is hardly ever a number."""
    largest: dict[str, float] = {}
    atol: dict[str, float] = {}
    for tensor in (tensor for check in checks for tensor in check.tensors):
        if tensor.largest is not None and tensor.atol > 0:
            largest[tensor.name] = max(largest.get(tensor.name, 0.0), tensor.largest)
            atol[tensor.name] = tensor.atol
    return (
        *_hardly_numbers(checks),
        *(
            f"Weak proof: output {name} never exceeds {size:.2g} on these samples, which its atol of {atol[name]:g} lets pass "
            f"whatever it is; give samples that mean something, or an atol such as {1e-3 * size:.0e}."
            for name, size in largest.items()
            if 0 < size <= atol[name]
        ),
    )


def _hardly_numbers(checks: Sequence[Check]) -> Iterator[str]:
    """Of each output more than a tenth of which is expected to be NaN: there nothing is compared."""
    nan: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    for tensor in (tensor for check in checks for tensor in check.tensors):
        nan[tensor.name] += tensor.expected_nan
        elements[tensor.name] += tensor.elements
    for name, count in nan.items():
        if count * NAN_SHARE > elements[name]:
            yield (
                f"Weak proof: {count} of {elements[name]} elements of output {name} are NaN on these samples, "
                "so there is nothing to compare; give samples that the model is made for."
            )


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


def _connect(target: Target, transport: Transport) -> client.Client:
    return client.connect_to(target.server, transport, answer_limit=target.answer_limit)


def _described(target: Target) -> tuple[ModelMetadata, ModelConfig]:
    """The server's own description of the model: its metadata and configuration."""
    transport: Transport = "http" if target.server.http_url else "grpc"
    with _connect(target, transport) as connection:
        version = str(target.version)
        return connection.model_metadata(target.model, version), connection.model_config(target.model, version)


def _metadata_findings(target: Target, metadata: ModelMetadata, served: ModelConfig) -> Iterator[Finding]:
    """What the server says of the model against the configuration that was staged."""
    where = f"{target.model} version {target.version} on the server"
    yield from model_config.differences(target.config, served, where=where)
    yield from model_config.additions(target.config, served, where=where)
    yield from _default_version(target)
    batch = [-1] if int(target.config.get("max_batch_size", 0)) else []
    sections: tuple[tuple[Literal["inputs", "outputs"], Literal["input", "output"]], ...] = (
        ("inputs", "input"),
        ("outputs", "output"),
    )
    for kind, section in sections:
        wanted = {
            tensor["name"]: (dtypes.by_triton(tensor["data_type"]).client, batch + [int(size) for size in tensor["dims"]])
            for tensor in target.config.get(section, [])
        }
        found = {
            str(tensor.get("name", "")): (str(tensor.get("datatype", "no type")), [int(size) for size in tensor.get("shape", [])])
            for tensor in metadata.get(kind, [])
        }
        for name in sorted(set(wanted) | set(found)):
            if wanted.get(name) != found.get(name):
                yield Finding(
                    where=where,
                    what=f"metadata of {section} {name}",
                    expected=_words(wanted.get(name)),
                    found=_words(found.get(name)),
                )


def _default_version(target: Target) -> Iterator[Finding]:
    """Where requests that name no version are answered by another one: the highest that the server serves."""
    with _connect(target, _plain(target.server)) as connection:
        named = connection.model_metadata(target.model).get("versions", ())
    versions = [int(each) for each in named if each.isascii() and each.isdigit()]
    if target.newest and versions and max(versions) != target.version:
        yield Finding(
            where=f"{target.model} on the server",
            what=wording.OTHER_VERSION_BY_DEFAULT.text(),
            expected=f"version {target.version}",
            found=f"version {max(versions)}",
        )


def _words(tensor: tuple[str, list[int]] | None) -> str:
    return f"{tensor[0]} {tensor[1]}" if tensor else "nothing"


def _over(target: Target, transport: Transport) -> Asked:
    """Every batch of every size over one transport."""
    checks: list[Check] = []
    findings: list[Finding] = []
    with _connect(target, transport) as connection:
        for size in arrays.batch_sizes(target.golden.max_batch_size):
            for indices in arrays.batches(target.golden.samples, size):
                _ask(target, connection, over(transport), indices, checks, findings)
    return checks, findings, ""


def _invariances(target: Target, served: ModelConfig) -> Asked:
    """Asked again, in another order, and beside padding; and whether every transport gave the same bits."""
    checks: list[Check] = []
    findings: list[Finding] = []
    golden = target.golden
    with _connect(target, _plain(target.server)) as connection:
        for size in arrays.batch_sizes(golden.max_batch_size):
            for indices in list(arrays.batches(golden.samples, size))[:AGAIN]:
                _ask(target, connection, StageName.AGAIN, indices, checks, findings)
                if len(set(indices)) > 1:
                    _ask(target, connection, StageName.ORDER, indices[::-1], checks, findings)
        for fill in (invariances.copies,) if golden.unpadded else (invariances.zeros, invariances.copies):
            for index, batch in invariances.padded(golden, fill):
                _ask_padded(target, connection, index, batch, checks, findings)
    differing = list(target.digests.findings())
    note = f"{len(checks)} answers, {target.digests.compared} questions with the same bits"
    if differing and (why := _may_differ(target, served)):
        return checks, findings, f"{len(checks)} answers; {differing[0].what} ({differing[0].where}), as {why}"
    return checks, [*findings, *differing], note


def _may_differ(target: Target, served: ModelConfig) -> str:
    """What explains other bits in answer to the same question, so that they are no finding; empty where nothing does."""
    if target.server.log is None:  # a server that others may ask too, and be batched with these
        return "other clients can cause"
    if runs_on_gpu(served) and len(served.get("instance_group", ())) > 1:
        # Triton hands a request to any instance that is free, and each group has kernels tuned for a profile of its own.
        return "groups of instances with kernels of their own do"
    return ""


def _plain(server: ServerHandle) -> Transport:
    return "grpc" if server.grpc_url else "http"


def _ask_padded(
    target: Target, connection: client.Client, index: int, batch: Arrays, checks: list[Check], findings: list[Finding]
) -> None:
    """One sample at the head of a batch of padding: its own part of the answer is compared."""
    size = target.golden.max_batch_size
    started = time.perf_counter()
    try:
        found = connection.infer(target.model, as_served(batch, target.config, "input"), version=str(target.version))
    except InferenceError as error:
        findings.append(_refusal(f"padded, sample {index}", error))
        return
    seconds = time.perf_counter() - started
    own = {name: array[:1] if array.ndim and array.shape[0] == size else array for name, array in found.items()}
    expected = as_served(arrays.load(target.golden.expected, index), target.config, "output")
    tensors = target.tracker.check(StageName.PADDED, (index,), expected, own, target.golden.tolerances)
    checks.append(Check(stage=StageName.PADDED, batch_size=size, samples=(index,), tensors=tensors, seconds=seconds))


def _ask(
    target: Target,
    connection: client.Client,
    stage: StageName,
    indices: tuple[int, ...],
    checks: list[Check],
    findings: list[Finding],
) -> None:
    """One request; its answer becomes a check, its refusal a finding."""
    inputs = as_served(arrays.stack(target.golden.samples.files, indices), target.config, "input")
    expected = as_served(arrays.stack(target.golden.expected, indices), target.config, "output")
    size = len(indices) if target.golden.samples.batched else 0
    started = time.perf_counter()
    try:
        found = connection.infer(target.model, inputs, version=str(target.version))
    except InferenceError as error:
        findings.append(_refusal(f"{stage}, batch {size}, samples {_some(indices)}", error))
        return
    seconds = time.perf_counter() - started
    digest = arrays.digest(found)
    tensors = target.tracker.check(stage, indices, expected, found, target.golden.tolerances, digest=digest)
    target.digests.add(stage, indices, digest)
    checks.append(Check(stage=stage, batch_size=size, samples=indices, tensors=tensors, seconds=seconds))


def _refusal(where: str, error: InferenceError) -> Finding:
    """A request without a usable answer."""
    refused = error.code in (None, say.MODEL_REFUSED.code)
    what = "the server refused" if refused else error.what
    return Finding(where=where, what=what, expected=error.expected, found=error.found or error.what)


def _some(indices: Sequence[int]) -> str:
    shown = ", ".join(str(index) for index in indices[:4])
    return f"{shown}, …" if len(indices) > 4 else shown


def as_served(batch: Arrays, config: ModelConfig, field: Literal["input", "output"]) -> Arrays:
    """The arrays in the shape a client sees: a tensor without axes of its own is served with one of size 1."""
    reshaped = {tensor["name"] for tensor in config.get(field, []) if "reshape" in tensor}
    return {name: array.reshape(*array.shape, 1) if name in reshaped or array.ndim == 0 else array for name, array in batch.items()}


def _concurrently(target: Target) -> Asked:
    """Clients that ask at the same time, each with another mixture of samples and batch sizes."""
    transport = _plain(target.server)
    sizes = arrays.batch_sizes(target.golden.max_batch_size)
    batches = [batch for size in sizes for batch in arrays.batches(target.golden.samples, size)]

    def ask(number: int) -> tuple[list[Check], list[Finding]]:
        checks: list[Check] = []
        findings: list[Finding] = []
        with _connect(target, transport) as connection:
            until = time.perf_counter() + CONCURRENT_SECONDS
            for turn in range(max(2 * len(batches), TURNS)):  # strides of 7, so that neighbours ask for different batches
                _ask(target, connection, StageName.CONCURRENT, batches[(number + turn * 7) % len(batches)], checks, findings)
                if findings or time.perf_counter() > until:
                    break
        return checks, findings

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(CLIENTS)))
    checks = [check for done, _ in answers for check in done]
    findings = [finding for _, problems in answers for finding in problems]
    return checks, findings, f"{CLIENTS} clients"
