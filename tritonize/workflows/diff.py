"""Compare two versions of a model: outputs, configuration, graph, files, latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from tritonize import repository
from tritonize.core import arrays, temporary
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import MissingError, ServerError
from tritonize.core.messages import decoupled as decoupled_wording
from tritonize.core.messages import repository as wording
from tritonize.core.messages import sequences as sequence_wording
from tritonize.core.messages import steps as step_wording
from tritonize.core.recorder import Listener, silent
from tritonize.core.reports import Finding, Stage
from tritonize.core.results import Verdict
from tritonize.core.server_choice import AUTO, Start, Way
from tritonize.core.stages import StageName
from tritonize.onnx_model import graph_diff
from tritonize.onnx_model.tasks import GraphDiff
from tritonize.quality import golden_set
from tritonize.repository import manifest
from tritonize.triton import client, inference, model_config, serving
from tritonize.workflows import checked_copy, diff_steps, ensemble_steps, target_only
from tritonize.workflows.checked_copy import Checked
from tritonize.workflows.diff_answers import Drift, Latency, ServedPair, Version
from tritonize.workflows.diff_steps import View

REQUESTS = 100
"""Default number of timed requests per version."""
_MODEL = "model.onnx"
_CONFIG = "config.pbtxt"
_UNKNOWN = "the configuration that it was proven with was replaced, and no copy of it exists"


@dataclass(frozen=True, kw_only=True)
class VersionDiff:
    """All differences between two versions; pairs are (before, after)."""

    model: str
    versions: tuple[int, int]
    verdict: Verdict
    """`failed` if outputs or the configuration differ; `not run` if the outputs could not be compared."""
    findings: tuple[Finding, ...]
    """Differences of inputs, outputs and configuration; expected is the earlier version's value."""
    drift: tuple[Drift, ...]
    latency: tuple[Latency, ...]
    graph: GraphDiff | None
    files: Mapping[str, tuple[int | None, int | None]]
    """Size in bytes by path inside the version, without the evidence."""
    proved_by: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """The versions to compare, and the options."""

    repository: Path
    model: str
    before: int
    after: int
    requests: int = REQUESTS
    serve_anyway: bool = False
    """Also serve a version that changed after it was proven."""
    way: Way | Literal["auto"] = AUTO
    on_stage: Listener = silent
    on_progress: Callable[[str], None] | None = None


@dataclass(kw_only=True)
class _Served:
    """The results of serving both versions."""

    drift: tuple[Drift, ...] = ()
    latency: tuple[Latency, ...] = ()
    refused: tuple[Finding, ...] = ()
    identity: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problem: str = ""
    """Why the versions were not served; empty if they were."""


def diff(request: Request) -> VersionDiff:
    """Compare two published versions; both are served side by side by the embedded server.

    Raises:
        UsageError: the model or a version does not exist, or both versions are the same.
        RepositoryError: a version has no evidence, or it is damaged.
        MissingError, ServerError: the server is not installed, or cannot serve the versions.
    """
    if request.before == request.after:
        present = repository.versions(request.repository, request.model)
        raise repository.same_version(request.repository / request.model, present, request.before)
    numbers = (request.before, request.after)
    for number in numbers:
        repository.choose(request.repository, request.model, number)
    with temporary.folder() as folder:
        checked = [
            checked_copy.check(request.repository, request.model, each, folder=folder / str(each), shared=False) for each in numbers
        ]
        changed = tuple(finding for each in checked for finding in each.findings)
        if changed and not request.serve_anyway:
            return _changed(request, changed)
        before, after = (_version(request, each) for each in checked)
        notes = [note for each in (before, after) for note in _version_notes(each)]
        notes += [f"Version {each.version}: {note}" for each in checked for note in each.notes]
        graph, why = _graph(request, before, after, directory=folder / "graph")
        notes += [why] if why else []
        served = _served(request, (before, after), folder)
        changed += tuple(finding for each in checked for finding in each.changed_in_place())
    notes += [*served.notes, *([served.problem] if served.problem else [])]
    findings = (*changed, *_tensor_findings(before, after, graph), *_config_findings(before, after), *served.refused)
    differs = bool(findings) or any(
        each.metrics.mismatched or each.metrics.misshaped or each.mismatched_samples for each in served.drift
    )
    return VersionDiff(
        model=request.model,
        versions=(request.before, request.after),
        verdict="failed" if differs else "passed" if served.drift else "not run",
        findings=findings,
        drift=served.drift,
        latency=served.latency,
        graph=graph,
        files=_sizes(before, after),
        proved_by=served.identity,
        notes=tuple(notes),
    )


def _changed(request: Request, changed: tuple[Finding, ...]) -> VersionDiff:
    """The result if a version changed after it was proven: nothing is served."""
    return VersionDiff(
        model=request.model,
        versions=(request.before, request.after),
        verdict="failed",
        findings=changed,
        drift=(),
        latency=(),
        graph=None,
        files={},
        proved_by={},
        notes=(wording.NOT_SERVED.text(),),
    )


def _version(request: Request, checked: Checked) -> Version:
    number, directory, manifest = checked.version, checked.version_directory, checked.manifest
    proven = repository.proven_config(checked.root, request.model, number)
    text = repository.read_config(checked.root, request.model) if proven is None else proven
    config = model_config.parse(text, where=f"{_CONFIG} of version {number}")
    if completed := manifest.get("completed"):
        config = model_config.with_completed(config, completed)
        text = model_config.as_text(config)
    return Version(
        number=number,
        directory=directory,
        manifest=manifest,
        golden=golden_set.read(directory / repository.EVIDENCE / "golden"),
        text=text,
        config=config,
        proven=proven is not None,
        name=f"{request.model}_{number}",
    )


def _tensor_findings(before: Version, after: Version, graph: GraphDiff | None) -> Iterator[Finding]:
    """Compare inputs and outputs: from the graphs, or by name and type from the golden sets."""
    if graph:
        sides = {"input": graph.inputs, "output": graph.outputs}
    else:
        pairs = {
            "input": (before.golden.samples.files, after.golden.samples.files),
            "output": (before.golden.expected, after.golden.expected),
        }
        sides = {kind: _unlike(one.tensors, other.tensors) for kind, (one, other) in pairs.items()}
    for kind, differing in sides.items():
        for name, (one, other) in differing.items():
            yield Finding(where=f"{kind} {name}", what="differs", expected=one, found=other)


def _unlike(one: Sequence[TensorSpec], other: Sequence[TensorSpec]) -> dict[str, tuple[str, str]]:
    left, right = ({tensor.name: tensor.dtype for tensor in each} for each in (one, other))
    return {name: (left.get(name, "none"), right.get(name, "none")) for name in left | right if left.get(name) != right.get(name)}


def _config_findings(before: Version, after: Version) -> Iterator[Finding]:
    """Compare the configurations that the versions were proven with, field by field."""
    sums = [manifest.listed_sha256(each.manifest, repository.CONFIG) for each in (before, after)]
    if sums[0] == sums[1] and sums[0] is not None:
        return
    if not (before.proven and after.proven):
        sides = ["known" if each.proven else _UNKNOWN for each in (before, after)]
        yield Finding(where=_CONFIG, what="differs; the fields are unknown", expected=sides[0], found=sides[1])
        return
    forward = model_config.differences(before.config, after.config, where=_CONFIG)
    backward = model_config.differences(after.config, before.config, where=_CONFIG)
    yield from forward
    reported = {finding.what for finding in forward}
    yield from (
        Finding(where=_CONFIG, what=each.what, expected=each.found, found=each.expected)
        for each in backward
        if each.what not in reported
    )


def _version_notes(version: Version) -> Iterator[str]:
    if not version.proven:
        yield f"Version {version.number} was served with the configuration in place: {_UNKNOWN}."


def _graph(request: Request, before: Version, after: Version, *, directory: Path) -> tuple[GraphDiff | None, str]:
    paths = [each.directory / _MODEL for each in (before, after)]
    missing = [str(each.number) for each, path in zip((before, after), paths, strict=True) if not path.is_file()]
    if missing:
        which = f"version {missing[0]} has" if len(missing) == 1 else "neither version has"
        return None, f"Graphs were not compared: {which} a file {_MODEL}."
    request.on_stage(StageName.GRAPH, None)
    started = time.perf_counter()
    graph = graph_diff.compare(paths[0], paths[1], directory)
    seconds = time.perf_counter() - started
    request.on_stage(
        StageName.GRAPH, Stage(name=StageName.GRAPH, verdict="passed", seconds=seconds, note=f"{graph.nodes[1]} nodes")
    )
    return graph, ""


def _sizes(before: Version, after: Version) -> dict[str, tuple[int | None, int | None]]:
    sizes: list[dict[str, int]] = []
    for each in (before, after):
        folder = f"{each.number}/"
        names = [
            name
            for name in each.manifest["files"]
            if name.startswith(folder) and not name.startswith(f"{folder}{repository.EVIDENCE}/")
        ]
        sizes.append({name.removeprefix(folder): int(each.manifest["files"][name]["bytes"]) for name in names})
    return {name: (sizes[0].get(name), sizes[1].get(name)) for name in sorted({*sizes[0], *sizes[1]})}


def _served(request: Request, versions: tuple[Version, Version], folder: Path) -> _Served:
    """Serve both versions on one server and compare their outputs; returns the reason if they cannot be served."""
    before, after = ({(tensor.name, tensor.dtype) for tensor in each.golden.samples.files.tensors} for each in versions)
    if before != after:
        return _Served(problem="Answers and latency were not compared: the versions take other inputs.")
    if any(each.golden.samples.sequences for each in versions):
        return _Served(problem=sequence_wording.ONLY_VERIFIED.text())
    if any(each.golden.samples.requests for each in versions):
        return _Served(problem=decoupled_wording.NOT_COMPARED.text())
    steps = diff_steps.find(request.repository, versions, folder=folder / "steps")
    differences = ensemble_steps.differences(*(each.manifest for each in versions))
    if steps.gone:
        return _Served(problem=step_wording.STEPS_GONE.text(steps=steps.gone, differences=differences))
    try:
        served = _serve_both(request, versions, steps.views, folder=folder)
        return replace(served, notes=(step_wording.STEPS_OWN.text(differences=differences),)) if steps.views else served
    except (MissingError, ServerError) as error:
        by_onnxruntime = all(
            each.proven and each.config.get("platform") == model_config.PLATFORMS["onnxruntime"] for each in versions
        )
        if by_onnxruntime:
            raise
        # A plan's GPU is missing on this machine, or the configuration of one version does not fit the other.
        found = f": {error.found}" if error.found else ""
        return _Served(problem=f"Answers and latency were not compared. {error.what.rstrip('.')}{found}")


def _serve_both(request: Request, versions: tuple[Version, Version], steps: Sequence[View], *, folder: Path) -> _Served:
    root = diff_steps.side_by_side([*map(View.of, versions), *steps], folder / "repository")
    probes = {each.name: inference.as_served(arrays.load(each.golden.samples.files, 0), each.config, "input") for each in versions}
    request.on_stage(StageName.SERVER_START, None)
    started = time.perf_counter()
    with serving.serve(
        root,
        models=list(probes),
        probes=probes,
        directory=folder / "server",
        start=Start(way=request.way, release=target_only.release_of(*(each.manifest for each in versions))),
        on_progress=request.on_progress,
    ) as server:
        seconds = time.perf_counter() - started
        request.on_stage(
            StageName.SERVER_START,
            Stage(name=StageName.SERVER_START, verdict="passed", seconds=seconds, note=serving.summary(server)),
        )
        with client.connect_to(server, "grpc") as connection:
            pair = ServedPair(connection=connection, versions=versions, on_stage=request.on_stage)
            drift = pair.drift()
            latency = pair.latency(request.requests) if drift else ()
        return _Served(drift=drift, latency=latency, refused=tuple(pair.refused), identity=dict(server.identity))
