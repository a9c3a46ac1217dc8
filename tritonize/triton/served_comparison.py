"""Send every sample to a running server over every transport and compare each response with the reference."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tritonize.core import arrays
from tritonize.core.artifacts import Check, Finding, SetAside, Stage
from tritonize.core.errors import InferenceError
from tritonize.core.messages import server as wording
from tritonize.core.results import Verdict
from tritonize.core.stages import SERVED, TRANSPORTS, StageName, Transport, over
from tritonize.triton import (
    classification,
    config_changes,
    decoupled_requests,
    executions,
    inference,
    invariances,
    left_out,
    model_config,
    new_samples,
    reachability,
    remote,
    sequence_requests,
    served_versions,
    server_description,
)
from tritonize.triton.client import refusals
from tritonize.triton.client.refusals import Refusal
from tritonize.triton.executions import Counts, Unread
from tritonize.triton.inference import Responses
from tritonize.triton.on_target import Loaded
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.target import Target


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of comparing a server's responses."""

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    stages: tuple[Stage, ...]
    identity: Mapping[str, str]
    on_gpu: tuple[StageName, ...] = ()
    """The stages whose outputs a GPU computed, where sums have another order of operations."""
    set_aside: tuple[SetAside, ...] = ()
    """The fields of the configuration that the server left out."""
    notes: tuple[str, ...] = ()
    """Notes for the reader of the report."""
    embedded: bool = True
    """Whether the embedded server responded, or one of which nothing else is known."""
    on_target: Loaded | None = None
    """How the version was loaded, if a running server responded that has it for this comparison alone."""

    @property
    def passed(self) -> bool:
        """Whether every comparison passed; false without any comparison."""
        return bool(self.checks) and not self.findings and all(check.passed for check in self.checks)

    @property
    def verdict(self) -> Verdict:
        """*Not run* if all comparisons passed but a required stage has no response that the model computed."""
        if not self.checks and not self.findings:
            return "not run"
        if not self.passed:
            return "failed"
        return "not run" if any(each.verdict == "not run" and not each.optional for each in self.stages) else "passed"


def verify(target: Target, *, transports: Sequence[Transport] = TRANSPORTS) -> Verification:
    """Send all samples at every batch size over every transport, then variations that must not change outputs, then concurrently.

    Raises:
        ServerError: the server cannot be reached or does not serve the model. A mismatch and an error response are results instead.
    """
    try:
        described = server_description.described(target)
    except InferenceError as error:
        if refusals.kind(error) is not Refusal.NOT_LOADED:
            raise
        return _not_loaded(target, error)
    proven, served = target.config, described.config
    target = _as_deployed(target, served)
    asked = served_versions.ask(target)
    findings = [*_description_findings(target, described), *asked.findings]
    checks: list[Check] = []
    stages = [_unread(each.stage, each.why) for each in described.unread]
    if isinstance(first := _read_counts(target), Unread):
        stages.append(_unread(StageName.STATISTICS, first.why))
    served = target.served_config if served is None else served
    if target.golden.samples.sequences:
        requests = sequence_requests.stages(target, transports)
    elif target.golden.samples.requests:
        requests = decoupled_requests.stages(target, transports)
    else:
        requests = {over(name): functools.partial(_over, target, name) for name in transports}
        requests[StageName.INVARIANCES] = functools.partial(_invariances, target, served)
        requests[StageName.CONCURRENT] = functools.partial(_concurrently, target)
        if target.labels:
            requests[StageName.CLASSIFICATION] = functools.partial(classification.send, target)
    if target.new is not None:
        usable = reachability.transports(target.server, transports)
        requests[StageName.NEW_SAMPLES] = functools.partial(new_samples.send, target, target.new, usable)
    for name, send in requests.items():
        if reason := reachability.why_not(target.server, name.transport) or left_out.why(target, name):
            stages.append(Stage(name=name, verdict="not run", seconds=0.0, note=reason, optional=True))
            continue
        before = _counts(target)
        started = time.perf_counter()
        responses = send()
        seconds = time.perf_counter() - started
        checks += responses.checks
        findings += responses.findings
        counted = executions.settled(functools.partial(_counts, target), before, responses.requests or len(responses.checks))
        cached = name is not StageName.NEW_SAMPLES and bool(served.get("response_cache", {}).get("enable"))
        why = executions.why_nothing(counted, len(responses.checks), cached=cached)
        if name is StageName.CONCURRENT:
            why = why or executions.why_not_joined(counted, served)
            responses.note = f"{responses.note}; {_in_words(counted)}"
        stages.append(_stage(name, responses, seconds, nothing=why))
    return Verification(
        checks=tuple(checks),
        findings=tuple(findings),
        stages=tuple(stages),
        identity=dict(target.server.identity),
        on_gpu=SERVED if server_description.runs_on_gpu(served) else (),
        set_aside=tuple(_set_aside(target)),
        notes=tuple(_notes(target, asked, proven=proven)),
    )


def _not_loaded(target: Target, error: InferenceError) -> Verification:
    """The result for a version that the server does not serve: a difference, since it has to."""
    where = f"{target.model} version {target.version} on the server"
    loaded = served_versions.loaded(target)
    found = f"{error.found}; it serves version {', '.join(map(str, loaded))}" if loaded else error.found
    if why := remote.why_not_loaded(target.server, target.model, target.version):
        found = f"{found}: {why}"
    finding = Finding(where=where, what=wording.VERSION_NOT_LOADED.text(), expected=f"version {target.version}", found=found)
    return Verification(checks=(), findings=(finding,), stages=(), identity=dict(target.server.identity))


def _as_deployed(target: Target, served: ModelConfig | None) -> Target:
    """The target with the published configuration, if the server runs that one and not the one of the version's proof."""
    if served is None or target.present is None:
        return target
    deployed = replace(target, config=target.present, present=None)
    if server_description.config_findings(target, served) and not server_description.config_findings(deployed, served):
        return replace(deployed, present=target.present)
    return target


def _description_findings(target: Target, described: server_description.Description) -> Iterator[Finding]:
    if described.config is not None:
        yield from server_description.config_findings(target, described.config)
    if described.metadata is not None:
        yield from server_description.metadata_findings(target, described.metadata)


def _unread(stage: StageName, why: str) -> Stage:
    """A part of the server's API that could not be read; the verdict does not depend on it, since it proves nothing by itself."""
    return Stage(name=stage, verdict="not run", seconds=0.0, note=wording.API_UNREAD.text(why=why), optional=True)


def _notes(target: Target, asked: served_versions.Asked, *, proven: ModelConfig) -> Iterator[str]:
    yield from sequence_requests.notes(target)
    if target.profile.leaves_out:
        yield wording.QUICK_PROFILE.text(sent=target.pace.sent, samples=target.golden.samples.files.count)
    if target.present is not None and target.config is target.present:
        fields = "; ".join(config_changes.between_fields(proven, target.config))
        yield wording.DEPLOYED_WITH_ANOTHER.text(version=target.version, fields=fields)
    for other in sorted(asked.reached - {target.version}):
        if not target.newest:
            yield wording.ANOTHER_BY_DEFAULT.text(version=target.version, other=other)


def _set_aside(target: Target) -> Iterator[SetAside]:
    """The fields that the model is served without, and for an ensemble those of its steps."""
    for model, fields in target.server.set_aside.items():
        if model == target.model:
            yield from fields
        elif target.config.get("platform") == model_config.ENSEMBLE:
            yield from (replace(each, field=f"{model}: {each.field}") for each in fields)


def _counts(target: Target) -> Counts | None:
    found = _read_counts(target)
    return None if isinstance(found, Unread) else found


def _read_counts(target: Target) -> Counts | Unread:
    """Read the statistics over the other transport too, if one does not return them: each can be restricted by itself."""
    for transport in reversed(target.transports):
        found = executions.counts(target.server, transport, target.model, version=target.version)
        if not isinstance(found, Unread):
            break
    return found


def _in_words(counted: Counts | None) -> str:
    """Fewer executions than inferences means that the server batched across clients."""
    if counted is None:
        return wording.STATISTICS_RESTRICTED.text()
    return f"{counted.inferences} inferences in {counted.executions} executions"


def _stage(name: StageName, responses: Responses, seconds: float, *, nothing: str | None) -> Stage:
    """The result of a stage; `nothing` is the reason why its responses cannot pass it, although they can still fail it."""
    checks = responses.checks
    good = bool(checks) and not responses.findings and all(check.passed for check in checks)
    return Stage(
        name=name,
        verdict="failed" if not good else "passed" if nothing is None else "not run",
        seconds=seconds,
        # Concurrent clients wait at the same time, so the sum of their times exceeds the elapsed time.
        library_seconds=min(seconds, sum(check.seconds for check in checks)),
        note=nothing if good and nothing else responses.note or f"{len(checks)} responses",
    )


def _over(target: Target, transport: Transport) -> Responses:
    """Send the profile's batches over one transport, and request outputs by name."""
    responses = Responses()
    with target.connect(transport) as connection, inference.Comparing() as comparing:
        send = functools.partial(inference.send, target, connection, over(transport), responses=responses, comparing=comparing)
        for indices in target.profile.over_a_transport(target.golden):
            send(indices=indices)
        for names in target.profile.named_outputs(target.golden):
            send(indices=(0,), outputs=names)
    return responses


def _invariances(target: Target, served: ModelConfig) -> Responses:
    """Repeat requests, reorder their samples, add padding, and check that all transports returned the same bits."""
    responses, golden, profile = Responses(), target.golden, target.profile
    with target.connect(target.any_transport) as connection, inference.Comparing() as comparing:
        send = functools.partial(inference.send, target, connection, responses=responses, comparing=comparing)
        for size in profile.repeated_sizes(golden):
            for indices in list(arrays.batches(golden.samples, size))[: profile.again]:
                send(StageName.AGAIN, indices=indices)
                if len(set(indices)) > 1:
                    send(StageName.ORDER, indices=indices[::-1])
        fills = (invariances.copies,) if golden.unpadded else (invariances.zeros, invariances.copies)
        for fill in fills if profile.padded else ():
            for index, batch in invariances.padded(golden, fill):
                inference.send_padded(target, connection, index, batch=batch, responses=responses)
    differing = list(target.digests.findings())
    count = len(responses.checks)
    responses.note = f"{count} responses, {target.digests.compared} repeated requests with identical bits"
    if differing and (why := _may_differ(target, served)):
        responses.note = f"{count} responses; {differing[0].what} ({differing[0].where}), as {why}"
    else:
        responses.findings += differing
    return responses


def _may_differ(target: Target, served: ModelConfig) -> str:
    """An acceptable reason for different bits in responses to the same request; empty if there is no such reason."""
    if target.server.log is None:  # Triton may batch requests of other clients with these
        return "other clients can cause"
    if server_description.runs_on_gpu(served) and len(served.get("instance_group", ())) > 1:
        # Triton sends a request to any free instance, and each group has kernels tuned for its own profile.
        return "groups of instances with kernels of their own do"
    return ""


def _concurrently(target: Target) -> Responses:
    """Run clients that send concurrently, each with a different mix of samples and batch sizes."""
    batches, profile = target.golden.batches(), target.profile

    def send(number: int) -> Responses:
        responses = Responses()
        with target.connect(target.any_transport) as connection:
            until = time.perf_counter() + profile.concurrent_s
            for turn in range(max(2 * len(batches), profile.turns)):  # strides of 7, so that neighbours send different batches
                batch = batches[(number + turn * 7) % len(batches)]
                inference.send(target, connection, StageName.CONCURRENT, indices=batch, responses=responses)
                if responses.findings or time.perf_counter() > until:
                    break
        return responses

    with ThreadPoolExecutor(profile.clients) as pool:
        clients = list(pool.map(send, range(profile.clients)))
    return Responses(
        checks=[check for each in clients for check in each.checks],
        findings=[finding for each in clients for finding in each.findings],
        note=f"{profile.clients} clients",
    )
