"""Send every sample to a running server over every transport and compare each response with the reference."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tritonize.core.artifacts import SetAside
from tritonize.core.errors import InferenceError
from tritonize.core.messages import server as wording
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check, Finding, Stage
from tritonize.core.results import Verdict
from tritonize.core.stages import SERVED, TRANSPORTS, StageName, Transport
from tritonize.triton import (
    config_changes,
    decoupled_requests,
    executions,
    left_out,
    model_config,
    new_samples,
    reachability,
    remote,
    sample_requests,
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


def verify(target: Target, *, transports: Sequence[Transport] = TRANSPORTS, recorder: Recorder | None = None) -> Verification:
    """Send all samples at every batch size over every transport, then variations that must not change outputs, then concurrently.

    Args:
        recorder: gets every stage when it begins and when it ends.

    Raises:
        ServerError: the server cannot be reached or does not serve the model. A mismatch and an error response are results instead.
    """
    try:
        described = server_description.described(target)
    except InferenceError as error:
        if refusals.kind(error) is not Refusal.NOT_LOADED:
            raise
        return _not_loaded(target, error)
    recorder = recorder or Recorder()
    before, proven, served = len(recorder.stages), target.config, described.config
    target = _as_deployed(target, served)
    asked = served_versions.ask(target)
    findings = [*_description_findings(target, described), *asked.findings]
    checks: list[Check] = []
    for each in described.unread:
        recorder.add(_unread(each.stage, each.why))
    if isinstance(first := _read_counts(target), Unread):
        recorder.add(_unread(StageName.STATISTICS, first.why))
    served = target.served_config if served is None else served
    for name, send in _requests(target, transports, served).items():
        if reason := reachability.why_not(target.server, name.transport) or left_out.why(target, name):
            recorder.add(Stage(name=name, verdict="not run", seconds=0.0, note=reason, optional=True))
            continue
        recorder.begin(name)
        counts = _counts(target)
        started = time.perf_counter()
        responses = send()
        seconds = time.perf_counter() - started
        checks += responses.checks
        findings += responses.findings
        counted = executions.settled(functools.partial(_counts, target), counts, responses.requests or len(responses.checks))
        cached = name is not StageName.NEW_SAMPLES and bool(served.get("response_cache", {}).get("enable"))
        why = executions.why_nothing(counted, len(responses.checks), cached=cached)
        if name is StageName.CONCURRENT:
            why = why or executions.why_not_joined(counted, served)
            responses.note = f"{responses.note}; {_in_words(counted)}"
        recorder.add(_stage(name, responses, seconds, nothing=why))
    return Verification(
        checks=tuple(checks),
        findings=tuple(findings),
        stages=tuple(recorder.stages[before:]),
        identity=dict(target.server.identity),
        on_gpu=SERVED if server_description.runs_on_gpu(served) else (),
        set_aside=tuple(_set_aside(target)),
        notes=tuple(_notes(target, asked, proven=proven)),
    )


def _requests(target: Target, transports: Sequence[Transport], served: ModelConfig) -> dict[StageName, Callable[[], Responses]]:
    """The stages that send requests, in their order."""
    if target.golden.samples.sequences:
        requests = sequence_requests.stages(target, transports)
    elif target.golden.samples.requests:
        requests = decoupled_requests.stages(target, transports)
    else:
        requests = sample_requests.stages(target, transports, served)
    if target.new is not None:
        usable = reachability.transports(target.server, transports)
        requests[StageName.NEW_SAMPLES] = functools.partial(new_samples.send, target, target.new, usable)
    return requests


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
    if target.profile.leaves_out and target.new is not None:  # a quick run says itself what it leaves out
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
