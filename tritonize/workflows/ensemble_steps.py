"""The models of an ensemble's steps in the repository: which versions it runs, what it was proven with, and what changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast  # Any: a manifest's JSON data, which may come from elsewhere

from tritonize import repository
from tritonize.core import dtypes
from tritonize.core.errors import RepositoryError, TritonizeError, UsageError
from tritonize.core.messages import steps as wording
from tritonize.core.reports import Finding
from tritonize.repository.manifest import Manifest
from tritonize.spec import ensembles
from tritonize.triton import model_config
from tritonize.triton.protocol import ModelConfig, TensorConfig


class UsedStep(TypedDict):
    """One step that an ensemble was proven with, under `steps` in its manifest."""

    version: int
    files: dict[str, str]
    """Path inside the model's directory to SHA-256 of every file that Triton reads."""


def members(config: ModelConfig) -> tuple[str, ...]:
    """The models of a configuration's steps, each once; empty for a model without steps."""
    return tuple(dict.fromkeys(step["model_name"] for step in config.get("ensemble_scheduling", {}).get("step", ())))


def current(place: Path, model: str) -> int:
    """The version of a model that a step runs: the newest that the model's version policy serves.

    Raises:
        UsageError: the repository has no such version.
        RepositoryError: the configuration cannot be read.
    """
    present = repository.versions(place, model)
    if not present:
        raise UsageError.of(wording.STEP_ABSENT, where=str(place / model), step=model)
    config = model_config.parse(repository.read_config(place, model), where=str(place / model / repository.CONFIG))
    served = model_config.versions_served(config, present)
    if not served:
        raise UsageError.of(wording.STEP_ABSENT, where=str(place / model), found="its version policy serves none", step=model)
    return max(served)


def used(known: Manifest) -> UsedStep:
    """Version and files of a step, from its own manifest."""
    files = {name: facts["sha256"] for name, facts in known["files"].items() if f"/{repository.EVIDENCE}/" not in f"/{name}"}
    return {"version": int(known.get("version", 0)), "files": files}


def changes(place: Path, model: str, known: Mapping[str, object]) -> tuple[Finding, ...]:
    """What differs between the steps that an ensemble was proven with and those that the repository serves now.

    Args:
        place: the model repository.
        model: the ensemble.
        known: its manifest, or the details of its report; those of a model without steps give no finding.
    """
    return tuple(finding for step, proven in recorded(known).items() for finding in _changes(place, model, step, proven=proven))


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """The steps that two versions of an ensemble were proven with, in one sentence, from their manifests."""
    old, new = recorded(before), recorded(after)
    versions = {
        name: [str(each[name]["version"]) if name in each else "none" for each in (old, new)] for name in sorted({*old, *new})
    }
    changed = [f"{name} {' -> '.join(pair)}" for name, pair in versions.items() if old.get(name) != new.get(name)]
    return f"They were proven with other steps: {', '.join(changed)}." if changed else "They were proven with the same steps."


def recorded(known: Mapping[str, object]) -> dict[str, UsedStep]:
    """The steps that an ensemble was proven with, by model, from its manifest; empty for a model without steps."""
    steps = known.get("steps", {})
    return cast("dict[str, UsedStep]", steps) if isinstance(steps, dict) else {}


def _changes(place: Path, model: str, step: str, *, proven: Any) -> Iterator[Finding]:
    where = f"{model}, step {step}"
    try:
        version = current(place, step)
        if version != proven["version"]:
            what = wording.OTHER_VERSION.text(step=step)
            yield Finding(where=where, what=what, expected=f"version {proven['version']}", found=f"version {version}")
            return
        directory = place / step / str(version)
        listed = used(repository.read_manifest(directory))["files"]
        yield from repository.integrity(place, step, version)
    except (TritonizeError, OSError, TypeError, KeyError) as error:
        what = error.what if isinstance(error, TritonizeError) else repr(error)
        yield Finding(where=where, what=what)
        return
    for name in sorted({*listed, *proven["files"]}):
        if listed.get(name) != proven["files"].get(name):
            expected, found = proven["files"].get(name), listed.get(name)
            yield Finding(where=f"{step}/{name}", what=wording.STEP_CHANGED.text(), expected=expected, found=found)


def require_unchanged(place: Path, model: str, known: Mapping[str, object]) -> None:
    """Fail if a step changed while its ensemble was compared.

    Raises:
        RepositoryError: the error lists the differences.
    """
    if found := changes(place, model, known):
        lines = [f"{each.where}: {each.what}" for each in found]
        raise RepositoryError.of(wording.STEPS_MOVED, where=model, details=lines)


def ports(config: ModelConfig) -> ensembles.Ports:
    """The inputs and outputs of a published model, as a client sees them."""
    batched = int(config.get("max_batch_size", 0)) > 0
    return ensembles.Ports(
        inputs={each["name"]: _port(each, batched=batched) for each in config.get("input", ())},
        outputs={each["name"]: _port(each, batched=batched) for each in config.get("output", ())},
        max_batch_size=int(config.get("max_batch_size", 0)),
    )


def _port(tensor: TensorConfig, *, batched: bool) -> ensembles.Port:
    dims: Sequence[int | str] = ["?" if int(size) < 0 else int(size) for size in tensor["dims"]]
    return ensembles.Port(
        dtype=dtypes.by_triton(tensor["data_type"]).name,
        shape=("batch", *dims) if batched else tuple(dims),
        optional=bool(tensor.get("optional")),
    )
