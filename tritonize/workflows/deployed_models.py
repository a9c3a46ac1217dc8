"""Describe the models of a checked repository for the files that deploy it: versions, sizes, release of Triton, memory."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize import repository
from tritonize.core import bounded_files
from tritonize.core.errors import MissingError, UsageError
from tritonize.core.messages import deploy as wording
from tritonize.core.server_choice import IMAGE
from tritonize.core.stages import StageName
from tritonize.deploy import ServedModel
from tritonize.triton import model_config
from tritonize.triton.protocol import ModelConfig, TensorConfig
from tritonize.workflows import checked_copy, quick_versions
from tritonize.workflows.checked_copy import Checked, ToServe

_NOT_IN_IMAGE = ("tensorrt_rtx",)
_PLATFORMS = {"onnxruntime_onnx": "onnxruntime", "tensorrt_plan": "tensorrt", "pytorch_libtorch": "pytorch", "ensemble": "ensemble"}


@dataclass(frozen=True, kw_only=True)
class Described:
    """What the files need to know of the models."""

    versions: dict[str, tuple[int, ...]]
    """Model to the versions that are served."""
    models: tuple[ServedModel, ...]
    image: str
    """NVIDIA's image."""
    proved_by: str
    tritonize: str
    notes: tuple[str, ...]


def describe(checked: ToServe, *, release: str | None, gpu: bool) -> Described:
    """Describe the models of a repository that was checked without findings.

    Args:
        checked: the private copy; its models are all served.
        release: release of Triton; `None` for the one that the versions were declared for.
        gpu: whether the server gets a GPU.

    Raises:
        UsageError: no release is known, or the versions were declared for several.
        MissingError: NVIDIA's image cannot load a model.
    """
    notes: list[str] = []
    models: list[ServedModel] = []
    for directory in sorted(checked.root.iterdir()):
        name = directory.name
        config = _config(checked.root, name)
        notes += _config_notes(name, config, gpu=gpu)
        backend = _backend(config)
        if backend in _NOT_IN_IMAGE:
            raise MissingError.of(wording.NO_BACKEND, backend=backend, model=name)
        versions = checked_copy.served_versions(checked.root, name) or repository.versions(checked.root, name)
        own = [each for each in checked.checked if each.model == name]
        memory = [_memory(each) for each in own]
        measured = sum(filter(None, memory)) if memory and all(memory) and len(own) == len(versions) else None
        size = sum(_size(directory / str(version)) for version in versions)
        models.append(ServedModel(name=name, versions=versions, backend=backend, bytes=size, memory=measured))
    if not all(model.memory for model in models):
        notes.append(wording.MEMORY_UNMEASURED.text())
    for each in checked.checked:
        if (verdict := str(each.manifest.get("verdict"))) == "passed quick":
            notes += quick_versions.note(each.model, each.version, each.manifest)
        elif verdict != "passed":
            notes.append(wording.UNPROVEN.text(model=each.model, version=each.version, verdict=verdict))
    given, overridden = _release(checked.checked, release)
    return Described(
        versions={model.name: model.versions for model in models},
        models=tuple(models),
        image=f"{IMAGE}:{given}-py3",
        proved_by=_proved_by(checked.checked),
        tritonize=importlib.metadata.version("tritonize"),
        notes=(*notes, *overridden),
    )


def _config(root: Path, model: str) -> ModelConfig:
    config = model_config.parse(repository.read_config(root, model), where=f"{model}/{repository.CONFIG}")
    backend = repository.completed_by_triton(root / model)
    return {**config, "backend": backend} if backend else config


def _backend(config: ModelConfig) -> str:
    return str(config.get("backend") or _PLATFORMS.get(str(config.get("platform")), "unknown"))


def _config_notes(model: str, config: ModelConfig, *, gpu: bool) -> Iterator[str]:
    kinds = {str(group.get("kind")) for group in config.get("instance_group", [])}
    backend = _backend(config)
    if not gpu and ("KIND_GPU" in kinds or backend == "tensorrt"):
        field = "KIND_GPU" if "KIND_GPU" in kinds else f"backend {backend}"
        yield wording.NEEDS_GPU.text(model=model, field=field)
    if single := [each["name"] for each in (*config.get("input", ()), *config.get("output", ())) if _is_single(each)]:
        yield wording.RESHAPED.text(model=model, names=", ".join(single))
    if backend == "python":
        yield wording.PYTHON_STEPS.text(model=model)


def _is_single(tensor: TensorConfig) -> bool:
    """Whether a tensor of the model has no axis besides the batch."""
    return "reshape" in tensor and not tensor["reshape"].get("shape")


def _release(checked: list[Checked], given: str | None) -> tuple[str, list[str]]:
    """The release of Triton, and notes about versions that were declared for another one."""
    declared = [(each, str(target["triton"])) for each in checked if (target := _target(each)).get("triton")]
    if given is not None:
        return given, [
            wording.RELEASE_OVERRIDDEN.text(model=each.model, version=each.version, declared=release, given=given)
            for each, release in declared
            if release != given
        ]
    releases = sorted({release for _, release in declared})
    if len(releases) > 1:
        lines = [f"{each.model} version {each.version}: {release}" for each, release in declared]
        raise UsageError.of(wording.RELEASE_DIFFERS, expected="one release", found=", ".join(releases), details=lines)
    if not releases:
        raise UsageError.of(wording.RELEASE_UNKNOWN)
    return releases[0], []


def _target(checked: Checked) -> Mapping[str, object]:
    target = checked.manifest.get("target")
    return target if isinstance(target, dict) else {}


def _proved_by(checked: list[Checked]) -> str:
    """The servers and backends of the proofs, each named once."""
    seen: dict[str, None] = {}
    for each in checked:
        runtimes = each.manifest.get("proved_by")
        if isinstance(runtimes, dict) and runtimes:
            seen[", ".join(f"{name} {version}" for name, version in runtimes.items())] = None
    return "; ".join(seen) or "no server (unproven)"


def _memory(checked: Checked) -> int | None:
    """Peak resident memory of ONNX Runtime on this version in the proof, in bytes; `None` if the report has none."""
    try:
        report = bounded_files.json_of(checked.version_directory / repository.EVIDENCE / "report.json")
    except (OSError, ValueError):
        return None
    stages = report.get("stages") if isinstance(report, dict) else None
    for stage in stages if isinstance(stages, list) else []:
        if isinstance(stage, dict) and stage.get("name") == StageName.ONNXRUNTIME:
            peak = stage.get("peak_memory")
            return peak if isinstance(peak, int) and peak > 0 else None
    return None


def _size(version_directory: Path) -> int:
    """Bytes of the files that Triton loads, so without the evidence."""
    return sum(
        path.stat().st_size
        for path in version_directory.rglob("*")
        if path.is_file() and path.relative_to(version_directory).parts[0] != repository.EVIDENCE
    )
