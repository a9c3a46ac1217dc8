"""Golden files: write one from a published version, and verify a deployment with it, without the repository and the source."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tritonize import repository
from tritonize.core import arrays, dtypes, temporary
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, RepositoryError, UsageError, storage_errors
from tritonize.core.messages import repository as repository_wording
from tritonize.core.messages import usage as wording
from tritonize.core.recorder import Listener, Recorder, silent
from tritonize.core.reports import Report, Stage
from tritonize.core.stages import StageName
from tritonize.quality import gates, golden_set
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import golden_file
from tritonize.reference.golden_file import GoldenFile, Origin
from tritonize.repository.manifest import Manifest
from tritonize.triton import model_config, reachability, remote, served_comparison, server_description, serving
from tritonize.triton.client import refusals
from tritonize.triton.client.refusals import Refusal
from tritonize.triton.protocol import ModelConfig, TensorConfig
from tritonize.triton.target import Target
from tritonize.triton.weight import Pace, ProfileName
from tritonize.workflows import evidence, left_out, new_draw, quick_versions
from tritonize.workflows.limits import Limits


@dataclass(frozen=True, kw_only=True)
class Export:
    """The written golden file."""

    path: Path
    file: GoldenFile
    notes: tuple[str, ...]


def export(
    root: Path,
    model: str,
    *,
    version: int | None = None,
    out: Path | None = None,
    budget: int = golden_file.BUDGET,
    seeds: bool = False,
) -> Export:
    """Write a version's golden set as one file, and read it back.

    Args:
        root: the model repository.
        model: its name there.
        version: the version (the newest).
        out: the file (`<model>-<version>.golden` in the working folder).
        budget: largest size of the file in bytes; it has at least one whole sample.
        seeds: store generated samples by their seed even if the arrays fit.

    Raises:
        UsageError: the model or version does not exist, the file exists, or no sample can be generated again.
        RepositoryError: the version has no evidence, or its files changed.
    """
    number = repository.choose(root, model, version)
    directory = root / model / str(number)
    manifest = repository.read_manifest(directory)
    findings = repository.integrity(root, model, number, shared=False)
    if findings:
        raise RepositoryError.of(
            repository_wording.GOLDEN_VERSION_CHANGED,
            where=findings[0].where,
            found=findings[0].what,
            repository=shlex.quote(str(root)),
            model=model,
            version=number,
        )
    path = out or Path(f"{model}-{number}{golden_file.SUFFIX}")
    origin = Origin(
        model=model,
        version=number,
        config=config_of(root, model, number, manifest=manifest),
        created=str(manifest.get("created", "an unknown time")),
        verdict=str(manifest.get("verdict", "unknown")),
        versions=evidence.versions("numpy"),
    )
    golden = golden_set.read(repository.evidence_of(directory) / "golden")
    with storage_errors(path):
        golden_file.write(path, origin, golden, recipe=new_draw.recipe(manifest), budget=budget, seeds=seeds)
    return Export(path=path, file=look(path), notes=tuple(_export_notes(root, model, number)))


def config_of(root: Path, model: str, version: int, *, manifest: Manifest) -> str:
    """Return the configuration that the version was proven with; of an adopted version, with what Triton completes."""
    text = repository.proven_config(root, model, version) or repository.read_config(root, model)
    if not (completed := manifest.get("completed")):
        return text
    return model_config.as_text(model_config.with_completed(model_config.parse(text, where=repository.CONFIG), completed))


def _export_notes(root: Path, model: str, version: int) -> Iterator[str]:
    if repository.proven_config(root, model, version) is None and not repository.completed_by_triton(root / model):
        yield (
            "The configuration that the version was proven with was replaced, and no copy of it exists. The golden file has the "
            "current one, which all versions of the model share."
        )


def look(path: Path) -> GoldenFile:
    """Check every member of a golden file and return its contents. Its arrays are deleted afterwards.

    Raises:
        UsageError, RepositoryError: see `golden_file.read`.
    """
    with temporary.folder() as folder:
        return golden_file.read(path, Path(folder) / "golden")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The deployment to verify, and the golden file."""

    path: Path
    urls: Sequence[str]
    """A running server's `http://host:port` and `grpc://host:port`."""
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    model: str | None = None
    """Model name on the server (the name in the file)."""
    version: int | None = None
    profile: ProfileName = "standard"
    """How many requests the server gets."""
    rate: float | None = None
    """Most inference requests per second; `None` for no limit."""
    every_s: float | None = None
    """Seconds between the starts of two verifications, if they are repeated; only said."""
    on_request: Callable[[], None] | None = None
    """Called for every inference request."""
    on_stage: Listener = silent
    on_progress: Callable[[str], None] | None = None


def verify(request: Request) -> Report:
    """Compare a deployment's outputs with a golden file, by the file's rules.

    Raises:
        UsageError: no address was given, or the served model has other inputs or outputs than the file.
        RepositoryError: the file is truncated, changed or damaged.
        ServerError, InferenceError: the server cannot be reached or does not serve the model.
    """
    if not request.urls:
        raise UsageError.of(wording.GOLDEN_WITHOUT_SERVER, where=str(request.path))
    with temporary.folder() as folder:
        request.on_stage(StageName.GOLDEN_FILE, None)
        started = time.perf_counter()
        try:
            file = golden_file.read(request.path, folder / "golden")
            return _verify(request, file, seconds=time.perf_counter() - started)
        finally:
            arrays.release()


def _verify(request: Request, file: GoldenFile, *, seconds: float) -> Report:
    count, size = file.golden.samples.files.count, file.bytes / 2**20
    note = f"{count} of {file.samples_in_version} samples, {size:.1f} MiB, sound"
    request.on_stage(StageName.GOLDEN_FILE, Stage(name=StageName.GOLDEN_FILE, verdict="passed", seconds=seconds, note=note))
    name = request.model or file.origin.model
    version = file.origin.version if request.version is None else request.version
    config = model_config.parse(file.origin.config, where=f"{request.path}: {golden_file.CONFIG}") | {"name": name}
    server = serving.remote(request.urls, options=request.connection)
    serving.await_model(server, name, version)
    tracker = ErrorTracker(file.golden)
    target = Target(
        server=server,
        model=name,
        version=version,
        golden=file.golden,
        config=config,
        tracker=tracker,
        newest=request.version is None,
        new=new_draw.without_reference(wording.GOLDEN_HAS_NO_MODEL.text()),
        profile_name=request.profile,
        pace=Pace(request.rate, on_request=request.on_request),
    )
    _require_same_model(target, file, request.path)
    reachability.announce(target, request.on_progress, every_s=request.every_s)
    verified = served_comparison.verify(target, recorder=Recorder(request.on_stage))
    judgement = gates.judge(tracker, verified.checks, on_gpu=verified.on_gpu)
    limits = Limits.of(file.golden.rules, request.path.name)
    blank = Report(
        command="verify", model=name, version=version, verdict="failed", versions=evidence.versions("numpy", "tritonclient")
    )
    return replace(
        blank,
        verdict=quick_versions.verdict(verified.verdict, {"verdict": file.origin.verdict}) if judgement.passed else "failed",
        checks=verified.checks,
        rows=judgement.rows,
        gates=judgement.gates,
        tolerances=judgement.tolerances,
        floors=judgement.floors,
        notes=(
            *remote.notes(request.urls, request.connection),
            *_notes(request.path, file),
            *verified.notes,
            *judgement.notes,
            *limits.notes(),
        ),
        findings=verified.findings,
        stages=verified.stages,
        proved_by=verified.identity,
        left_out=tuple(left_out.of_verification(file.golden, samples=file.samples_in_version, profile=request.profile)),
        details={
            "limits": limits.as_json(),
            "golden": {
                "file": request.path.name,
                "sha256": repository.sha256(request.path),
                "samples": count,
                "of": file.samples_in_version,
            },
        },
    )


def _notes(path: Path, file: GoldenFile) -> Iterator[str]:
    origin = file.origin
    yield (
        f"Verified with {path.name}: {file.golden.samples.files.count} of {file.samples_in_version} samples of {origin.model} "
        f"version {origin.version}, proven on {origin.created}, verdict then: {origin.verdict}."
    )
    if file.seeded:
        yield f"NumPy {np.__version__} generated {len(file.seeded)} samples again, with the SHA-256 that the file has of them."


def _require_same_model(target: Target, file: GoldenFile, path: Path) -> None:
    """Require that the golden set and the served model have the same inputs and outputs; otherwise every request would fail."""
    try:
        served = server_description.described(target).config
    except InferenceError as error:
        if refusals.kind(error) is Refusal.NOT_LOADED:  # a finding of the comparison
            return
        raise
    if served is None:  # the metadata alone are compared
        return
    config = target.config
    problems = [
        problem for field in ("input", "output") for problem in _unlike(field, _tensors(config, field), _tensors(served, field))
    ]
    if problems:
        raise UsageError.of(
            wording.GOLDEN_OTHER_MODEL,
            where=f"{path.name}, {target.model} version {target.version}",
            expected=f"the inputs and outputs of {file.origin.model} version {file.origin.version}",
            found=f"{len(problems)} that differ",
            details=problems,
        )


def _tensors(config: ModelConfig, field: Literal["input", "output"]) -> dict[str, str]:
    """Return type and dims of every input or output."""
    return {str(tensor.get("name", "")): f"{_datatype(tensor)} [{_dims(tensor)}]" for tensor in config.get(field, [])}


def _datatype(tensor: TensorConfig) -> str:
    kind = str(tensor.get("data_type", "no type"))
    try:
        return dtypes.by_triton(kind).client
    except KeyError:
        return kind


def _dims(tensor: TensorConfig) -> str:
    return ", ".join(str(size) for size in tensor.get("dims", []))


def _unlike(field: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(set(wanted) | set(found)):
        if wanted.get(name) != found.get(name):
            yield f"{field} {name}: the golden set has {wanted.get(name, 'none')}, the server {found.get(name, 'none')}"
