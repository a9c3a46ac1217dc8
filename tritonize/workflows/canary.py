"""`tritonize verify --baseline`: whether a new server or version may take over from the one in use.

It may if all three rules hold: every gate of its verification passed; the largest error of each output is not larger than the
baseline's by more than the tolerance; the median latency is within the limit, with its whole confidence interval.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize import repository
from tritonize.bench import paired
from tritonize.core import arrays, temporary
from tritonize.core.artifacts import ServerHandle, to_json
from tritonize.core.canary_results import Canary, OutputErrors, PairedLatency, Rule
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, ServerError, UsageError
from tritonize.core.messages import canary as wording
from tritonize.core.recorder import Listener
from tritonize.core.reports import Finding, Report, Stage
from tritonize.core.results import PASSED
from tritonize.core.stages import StageName, Transport
from tritonize.quality import golden_set
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import golden_file
from tritonize.triton import model_config, remote, replicas, serving
from tritonize.triton.protocol import ModelConfig
from tritonize.triton.replicas import Replica
from tritonize.triton.target import Target
from tritonize.triton.weight import Pace, ProfileName
from tritonize.workflows import golden as golden_workflow
from tritonize.workflows import verify as verify_workflow
from tritonize.workflows.canary_pairs import PAIRS, BaselineAwayError, Pairs

_ASKED: tuple[Transport, ...] = ("grpc", "http")
"""The transports of the comparison, the preferred one first."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The server and the version in use, and how much slower the new one may be."""

    urls: Sequence[str]
    """Empty for the server that is verified."""
    version: int | None
    """`None` for the version that is verified."""
    max_slowdown: float
    """Largest ratio of the median latencies, minus one."""


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """What one version is compared with."""

    version: int
    golden: golden_set.GoldenSet
    config: ModelConfig


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """How the comparison of one model is made."""

    baseline: Baseline
    servers: tuple[Replica, Replica]
    """The baseline's and the new one's."""
    profile: ProfileName
    rate: float | None
    on_stage: Listener
    on_progress: Callable[[str], None] | None


def verify(request: verify_workflow.Request, baseline: Baseline) -> tuple[Report, ...]:
    """Verify the new server, as without a baseline, and compare both.

    Raises:
        UsageError: both sides are the same, or one stands for several replicas; see also `verify_workflow.verify`.
    """
    servers = _servers(request.urls, baseline, request.connection)
    for model in request.models or repository.models(request.repository):
        new = repository.choose(request.repository, model, request.version)
        _require_two(request.urls, baseline, new=new)
        repository.choose(request.repository, model, baseline.version)
    how = _how(request, baseline, servers)
    reports = verify_workflow.verify(replace(request, urls=servers[1].urls, connection=servers[1].options))

    def compared(report: Report) -> Report:
        if not report.checks or report.version is None:  # nothing to compare with
            return report
        root, model, number = request.repository, report.model, baseline.version or report.version
        changed = repository.integrity(root, model, number, shared=False) if number != report.version else ()
        if changed:
            return _not_run(report, wording.BASELINE_CHANGED.text(version=number, why=changed[0].where), how=how)
        new = _published(root, model, report.version)
        return _compared(report, how, baseline=new if number == new.version else _published(root, model, number), new=new)

    return tuple(map(compared, reports))


def verify_golden(request: golden_workflow.Request, baseline: Baseline) -> Report:
    """Verify the new server with a golden file, and compare both sides with it.

    Raises:
        UsageError: see `verify`.
    """
    servers = _servers(request.urls, baseline, request.connection)
    how = _how(request, baseline, servers)
    with temporary.folder() as folder:
        file = golden_file.read(request.path, folder / "golden")
        try:
            new = file.origin.version if request.version is None else request.version
            _require_two(request.urls, baseline, new=new)
            report = golden_workflow.verify(replace(request, urls=servers[1].urls, connection=servers[1].options))
            if not report.checks:
                return report
            own = _Evidence(version=new, golden=file.golden, config=model_config.parse(file.origin.config, where=str(request.path)))
            return _compared(report, how, baseline=replace(own, version=baseline.version or new), new=own)
        finally:
            arrays.release()


def _how(
    request: verify_workflow.Request | golden_workflow.Request, baseline: Baseline, servers: tuple[Replica, Replica]
) -> _Comparison:
    return _Comparison(
        baseline=baseline,
        servers=servers,
        profile=request.profile,
        rate=request.rate,
        on_stage=request.on_stage,
        on_progress=request.on_progress,
    )


def _servers(urls: Sequence[str], baseline: Baseline, connection: ConnectionOptions) -> tuple[Replica, Replica]:
    def one(option: str, given: Sequence[str]) -> Replica:
        found = replicas.replicas(given, connection)
        if len(found) != 1:
            raise UsageError.of(wording.ONE_SERVER, found=", ".join(each.name for each in found), option=option, count=len(found))
        return found[0]

    return one("--baseline", baseline.urls or urls), one("--url", urls)


def _require_two(urls: Sequence[str], baseline: Baseline, *, new: int) -> None:
    if set(baseline.urls or urls) == set(urls) and baseline.version in (None, new):
        raise UsageError.of(wording.SAME)


def _published(root: Path, model: str, version: int) -> _Evidence:
    directory = root / model / str(version)
    text = golden_workflow.config_of(root, model, version, manifest=repository.read_manifest(directory))
    return _Evidence(
        version=version,
        golden=golden_set.read(repository.evidence_of(directory) / "golden"),
        config=model_config.parse(text, where=f"{model}/{repository.CONFIG}"),
    )


def _compared(report: Report, how: _Comparison, *, baseline: _Evidence, new: _Evidence) -> Report:
    """The report with the comparison: its verdict can only get worse."""
    started = time.perf_counter()
    if any(each.golden.samples.requests or each.config.get("model_transaction_policy") for each in (baseline, new)):
        return _not_run(report, wording.DECOUPLED.text(), how=how)
    try:
        old_server = serving.remote(how.servers[0].urls, options=how.servers[0].options)
        serving.await_model(old_server, report.model, baseline.version)
    except (ServerError, InferenceError) as error:
        return _not_run(report, wording.BASELINE_AWAY.text(why=error.what), how=how)
    new_server = serving.remote(how.servers[1].urls, options=how.servers[1].options)
    transport = next((each for each in _ASKED if _speaks(old_server, each) and _speaks(new_server, each)), None)
    if transport is None:
        return _not_run(report, wording.NO_TRANSPORT.text(), how=how)
    sides = [_target(report.model, server, evidence, how=how) for server, evidence in ((old_server, baseline), (new_server, new))]
    try:
        pairs, outputs, latency = _measured(sides[0], sides[1], transport, how=how)
    except BaselineAwayError as away:
        return _not_run(report, wording.BASELINE_AWAY.text(why=getattr(away.__cause__, "what", "")), how=how)
    found = Canary(
        baseline=f"{how.servers[0].name}, version {baseline.version}",
        new=f"{how.servers[1].name}, version {new.version}",
        requests=pairs.compared,
        outputs=outputs,
        latency=latency,
        rules=tuple(rules(report, outputs, latency, limit=1 + how.baseline.max_slowdown)),
    )
    after = judged(report, found, seconds=time.perf_counter() - started, refused=pairs.refused)
    how.on_stage(StageName.BASELINE, after.stages[-1])
    sent = remote.notes(how.servers[0].urls, how.servers[0].options)
    return replace(after, notes=tuple(dict.fromkeys((*after.notes, *sent, *_notes(pairs)))))


def _speaks(server: ServerHandle, transport: Transport) -> bool:
    return bool(server.grpc_url if transport == "grpc" else server.http_url)


def _target(model: str, server: ServerHandle, evidence: _Evidence, *, how: _Comparison) -> Target:
    return Target(
        server=server,
        model=model,
        version=evidence.version,
        golden=evidence.golden,
        config=evidence.config,
        tracker=ErrorTracker(evidence.golden),
        profile_name=how.profile,
        pace=Pace(how.rate),
    )


def _measured(
    baseline: Target, new: Target, transport: Transport, *, how: _Comparison
) -> tuple[Pairs, tuple[OutputErrors, ...], PairedLatency | None]:
    with contextlib.ExitStack() as stack:
        connections = {
            "baseline": stack.enter_context(baseline.connect(transport)),
            "new": stack.enter_context(new.connect(transport)),
        }
        pairs = Pairs(baseline=baseline, new=new, transport=transport, connections=connections)
        count = PAIRS[how.profile]
        if how.on_progress is not None:
            how.on_progress(wording.PLANNED.text(model=new.model, count=pairs.most(count)))
        outputs = pairs.compare()
        times = {} if pairs.refused else pairs.seconds(count)
    refused = bool(pairs.refused)
    return pairs, outputs, None if refused else paired.latency(times["baseline"], times["new"], transport=transport)


def rules(report: Report, outputs: Sequence[OutputErrors], latency: PairedLatency | None, *, limit: float) -> Iterator[Rule]:
    """The rules for taking over, and whether each holds.

    Args:
        report: of the verification of the new side.
        outputs: errors of both sides.
        latency: of both sides; `None` if it was not measured.
        limit: largest ratio of the median latencies.
    """
    good = report.verdict in PASSED
    gates = wording.GATES.text() if good else wording.GATES_NOT.text(verdict=report.verdict)
    yield Rule(text=gates, verdict="passed" if good else report.verdict)
    for each in outputs:
        text = wording.ERROR.text(
            output=each.name, new=f"{each.new:.3g}", baseline=f"{each.baseline:.3g}", tolerance=f"{each.tolerance:.3g}"
        )
        yield Rule(text=text, verdict="passed" if each.new <= each.baseline + each.tolerance else "failed")
    if not outputs:
        yield Rule(text=wording.NOT_COMPARED.text(), verdict="not run")
    if latency is None:
        yield Rule(text=wording.LATENCY_NOT.text(), verdict="not run")
        return
    text = wording.LATENCY.text(
        ratio=f"{latency.ratio:.2f}", low=f"{latency.low:.2f}", high=f"{latency.high:.2f}", limit=f"{limit:.2f}"
    )
    if latency.high <= limit:
        yield Rule(text=text, verdict="passed")
    elif latency.low > limit:
        yield Rule(text=text, verdict="failed")
    else:
        yield Rule(text=wording.MORE_PAIRS.text(rule=text), verdict="not run")


def judged(report: Report, found: Canary, *, seconds: float, refused: Sequence[Finding] = ()) -> Report:
    """The report with the result of the comparison, which the new side passes only if it passed the verification too."""
    own = [each for each in refused if each.where.partition(",")[0] == "new"]
    failed = [rule for rule in found.rules[1:] if rule.verdict == "failed"]
    undecided = [rule for rule in found.rules[1:] if rule.verdict == "not run"]
    findings = [Finding(where=report.model, what=wording.MAY_NOT.text(rule=rule.text)) for rule in failed]
    worse = bool(findings or own)
    stage = Stage(
        name=StageName.BASELINE,
        verdict="failed" if worse else "not run" if undecided else "passed",
        seconds=seconds,
        library_seconds=seconds,
        note=wording.UNDECIDED.text(rule=undecided[0].text) if undecided and not worse else f"{found.requests} pairs",
    )
    good = report.verdict in PASSED
    return replace(
        report,
        verdict="failed" if worse else "not run" if good and undecided else report.verdict,
        findings=(*report.findings, *own, *findings),
        stages=(*report.stages, stage),
        details={**report.details, "baseline": to_json(found)},
    )


def _not_run(report: Report, why: str, *, how: _Comparison) -> Report:
    stage = Stage(name=StageName.BASELINE, verdict="not run", seconds=0.0, note=why)
    how.on_stage(StageName.BASELINE, stage)
    return replace(report, verdict="not run" if report.verdict in PASSED else report.verdict, stages=(*report.stages, stage))


def _notes(pairs: Pairs) -> Iterator[str]:
    if pairs.baseline_wrong:
        yield wording.BASELINE_WRONG.text(count=pairs.baseline_wrong)
    if pairs.baseline.version != pairs.new.version and pairs.baseline.golden is not pairs.new.golden:
        yield wording.OTHER_REFERENCE.text(baseline=pairs.baseline.version, new=pairs.new.version)
    yield from (f"{each.where}: {each.what}: {each.found}" for each in pairs.refused if each.where.partition(",")[0] == "baseline")
