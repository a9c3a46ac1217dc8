"""`tritonize list` and `tritonize show`: the models and versions of a repository, from their configurations and manifests alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # Any: JSON data of a manifest, which readers take apart by key

from tritonize import repository
from tritonize.core.conclusion import left_out_parts
from tritonize.core.errors import RepositoryError, TritonizeError
from tritonize.core.messages import adoption
from tritonize.repository import evidence_place
from tritonize.repository.manifest import Manifest
from tritonize.triton import model_config
from tritonize.triton.protocol import ModelConfig
from tritonize.workflows import left_out


@dataclass(frozen=True, kw_only=True)
class VersionLine:
    """One version in a list."""

    version: int
    served: bool
    """Whether the version policy serves it."""
    verdict: str | None
    """Of its manifest; `None` without one."""
    created: str | None
    """When it was proven: ISO 8601."""
    backend: str | None
    bytes: int
    """Size of what Triton reads of it."""
    evidence_bytes: int
    reference: str | None = None
    """Kind of the reference of an adopted version; `none` if it is the file itself."""
    left_out: str = ""
    """What its proof left out, in words."""
    problem: str | None = None
    """Why its manifest could not be read."""


@dataclass(frozen=True, kw_only=True)
class ModelLine:
    """One model in a list."""

    model: str
    policy: str
    """Its version policy in words."""
    pinned: int | None
    """The version that `promote` or `rollback` pinned."""
    versions: tuple[VersionLine, ...]
    """The newest first."""
    completed: bool = False
    """Whether it has no configuration, so that Triton completes one from the model file."""
    problem: str | None = None
    """Why its configuration could not be read."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One version with its manifest."""

    model: str
    line: VersionLine
    policy: str
    config: str
    """Whether the configuration in place is the one that the version was proven with, in words."""
    manifest: Mapping[str, Any]
    """Empty without evidence."""
    location: Path


def listing(place: Path, models: Sequence[str] = ()) -> tuple[ModelLine, ...]:
    """List models with their versions. No file but configurations and manifests is read.

    Raises:
        UsageError: the repository or a model does not exist.
    """
    present = repository.models(place)
    absent = [name for name in models if name not in present]
    if absent:
        raise repository.no_model(absent, present, where=str(place))
    return tuple(_model(place, name) for name in models or present)


def show(place: Path, model: str, version: int | None = None) -> Shown:
    """Return one version (the pinned one; without a pin, the newest) with its manifest.

    Raises:
        UsageError: the repository, the model or the version does not exist.
        RepositoryError: the version's manifest is damaged.
    """
    wanted = version if version is not None else repository.pinned(place / model)
    number = repository.choose(place, model, wanted)
    whole = _model(place, model)
    line = next(each for each in whole.versions if each.version == number)
    directory = place / model / str(number)
    known = repository.read_manifest(directory) if line.verdict is not None or line.problem else None
    return Shown(
        model=model,
        line=line,
        policy=whole.policy,
        config=_config_in_words(place, whole, number, proven=known is not None),
        manifest=dict(known) if known else {},
        location=directory,
    )


def _model(place: Path, model: str) -> ModelLine:
    present = repository.versions(place, model)
    config, problem = _config(place, model)
    served = model_config.versions_served(config, present) if config is not None else ()
    return ModelLine(
        model=model,
        policy=_policy(config, present) if config is not None else "unknown",
        completed=repository.completed_by_triton(place / model) is not None,
        pinned=repository.pinned(place / model),
        versions=tuple(_version(place / model, each, config, served=each in served) for each in reversed(present)),
        problem=problem,
    )


def _config(place: Path, model: str) -> tuple[ModelConfig | None, str | None]:
    path = place / model / repository.CONFIG
    if backend := repository.completed_by_triton(place / model):
        return {"backend": backend}, None
    try:
        return model_config.parse(repository.read_config(place, model), where=str(path)), None
    except TritonizeError as error:
        return None, f"{repository.CONFIG}: {error.what}"


def _policy(config: ModelConfig, present: Sequence[int]) -> str:
    """Return a version policy in words."""
    named, policy = model_config.versions_named(config), config.get("version_policy", {})
    if named is not None:
        missing = [each for each in named if each not in present]
        return f"specific: {_numbers(named)}" + (f" (missing: {_numbers(missing)})" if missing else "")
    if "all" in policy:
        return "all"
    count = int(policy.get("latest", {}).get("num_versions") or 1)
    return f"latest {count}"


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _version(directory: Path, version: int, config: ModelConfig | None, *, served: bool) -> VersionLine:
    folder = directory / str(version)
    known: Manifest | None = None
    problem = None
    if repository.has_evidence(folder):
        try:
            known = repository.read_manifest(folder)
        except RepositoryError as error:
            problem = error.what
    entries = [(name, os.lstat(path).st_size) for name, path, kind in evidence_place.files_of(folder) if kind == "file"]
    evidence = sum(size for name, size in entries if name.startswith(f"{repository.EVIDENCE}/"))
    return VersionLine(
        version=version,
        served=served,
        verdict=str(known.get("verdict")) if known else None,
        created=str(known["created"]) if known and "created" in known else None,
        backend=_backend(known, config),
        reference=_reference(known),
        left_out=_left_out(known),
        bytes=sum(size for _, size in entries) - evidence,
        evidence_bytes=evidence,
        problem=problem,
    )


def _left_out(known: Manifest | None) -> str:
    return left_out_parts(left_out.proven(known)) if known else ""


def _reference(known: Manifest | None) -> str | None:
    reference = known.get("reference") if known and known.get("adopted") else None
    return str(reference.get("kind")) if isinstance(reference, dict) else None


def _backend(known: Manifest | None, config: ModelConfig | None) -> str | None:
    """Return a version's backend, from its own spec; for a version without a manifest, from the configuration in place."""
    spec = known.get("spec") if known else None
    if isinstance(spec, dict):
        kinds = [name for name in ("python", "ensemble") if name in spec]
        return kinds[0] if kinds else str(spec.get("backend", "onnxruntime"))
    plain: Mapping[str, object] = dict(config or {})
    found = plain.get("backend") or plain.get("platform")
    return str(found) if found else None


def _config_in_words(place: Path, line: ModelLine, version: int, *, proven: bool) -> str:
    if line.completed:
        return adoption.COMPLETED_SHORT.text()
    if not proven:
        return f"cannot be read: {line.problem}" if line.problem else "in place"
    current = place / line.model / repository.CONFIG
    own = repository.proven_config(place, line.model, version)
    if own is None:
        return "replaced since, and no copy was kept"
    if line.pinned == version:
        return f"in place, pinned to this version (version_policy: {line.policy})"
    same = current.is_file() and current.read_bytes() == own.encode()
    return "in place" if same else "not the one in place; a copy is in the evidence"
