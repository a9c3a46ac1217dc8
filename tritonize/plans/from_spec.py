"""Derive the build request of a spec from a verified ONNX file: optimization profiles, targets and builder settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tritonize.core import errors, onnx_protobuf
from tritonize.core.artifacts import OnnxArtifact, to_json
from tritonize.core.errors import UsageError
from tritonize.core.messages import plans as wording
from tritonize.plans import builder as plan_builder
from tritonize.plans import collection as plan_collection
from tritonize.plans import gpu, installed, plan_cache
from tritonize.plans import request as plan_request
from tritonize.plans.builder import BuiltPlan
from tritonize.plans.plan_file import Module
from tritonize.plans.request import BuildRequest, Shapes
from tritonize.spec import schema

MODULES: Mapping[str, Module] = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt_rtx"}
"""Backend to the module that builds its plans."""
PROOF_INPUT_FOLDER = "question"
"""The folder of a request with the samples and expected outputs that verify the plans."""


def require_possible(model: schema.Model, target: schema.Target, plans: Sequence[Path] = ()) -> None:
    """Fail early if the plans cannot be built on this machine.

    Args:
        plans: folders with plans that were built already; nothing is built then.

    Raises:
        MissingError, UsageError: see `installed.require_possible` and `plan_cache.bound`; the target names no GPU, or one that
            this machine does not have.
        UsageError, PlanError: see `plan_collection.read`.
    """
    if model.backend not in MODULES:
        if plans:
            raise UsageError.of(wording.NO_PLANS, where="--plans")
        return
    if plans:
        plan_collection.read(plans)
        return
    plan_cache.bound()
    version = installed.require_possible(MODULES[model.backend])
    if model.backend == "tensorrt_rtx" and not target.compute_capabilities:
        raise UsageError.of(wording.TARGETS_MISSING, where="target.compute_capabilities", expected='a list such as ["8.9"]')
    plan_request.require_supported(_request(model, target, Path()), version, section="builder")
    here = gpu.find()
    elsewhere = [each for each in target.compute_capabilities if here is None or each != here.compute_capability]
    if model.backend == "tensorrt" and elsewhere:
        raise UsageError.of(
            wording.TARGETS_ELSEWHERE,
            where="target.compute_capabilities",
            expected=f"{here.compute_capability}, the GPU of this machine" if here else None,
            found=", ".join(elsewhere),
        )


def request(model: schema.Model, target: schema.Target, artifact: OnnxArtifact) -> BuildRequest:
    """The build request for a verified ONNX file, for this machine or another one."""
    return _request(model, target, artifact.path).model_copy(update={"node_map": artifact.node_map})


def _request(model: schema.Model, target: schema.Target, onnx: Path) -> BuildRequest:
    return BuildRequest(
        onnx=onnx,
        module=MODULES[model.backend],
        compute_capabilities=tuple(target.compute_capabilities) if model.backend == "tensorrt_rtx" else (),
        profiles=profiles(model),
        settings=model.builder.model_copy(
            # Without details the engine inspector cannot report layers in half precision, and the plan cannot be verified.
            update={"tf32": model.precision == "tf32"}
            | ({"detailed_profiling": True} if model.precision in ("fp16", "bf16") else {})
        ),
        deadline_s=model.deadline_s,
        memory_mib=model.memory_mib,
    )


def write_request(request: BuildRequest, directory: Path) -> Path:
    """Write the request and all files that it names, with relative paths, into a folder that can be copied to another machine.

    Raises:
        UsageError: the folder is not empty, a plugin library does not exist, or two of them have the same file name.
        RepositoryError: the disk is full.
    """
    require_empty(directory)
    if missing := [str(path) for path in request.settings.plugins if not path.is_file()]:
        raise UsageError.of(wording.PLUGINS_MISSING, where="builder.plugins", found=", ".join(missing))
    if len({path.name for path in request.settings.plugins}) < len(request.settings.plugins):
        libraries = ", ".join(map(str, request.settings.plugins))
        raise UsageError.of(wording.PLUGINS_SAME_NAME, where="builder.plugins", found=libraries)
    directory.mkdir(parents=True, exist_ok=True)
    files = {request.onnx: request.onnx.name, **{path: path.name for path in (request.node_map, *request.settings.plugins) if path}}
    files |= {  # external data keeps the relative paths that the ONNX file contains
        path: str(path.relative_to(request.onnx.parent)) for path in onnx_protobuf.data_files(request.onnx)
    }
    with errors.storage_errors(directory):
        for path, name in files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    plugins = tuple(Path(path.name) for path in request.settings.plugins)
    portable = request.model_copy(
        update={
            "onnx": Path(request.onnx.name),
            "node_map": Path(request.node_map.name) if request.node_map else None,
            "settings": request.settings.model_copy(update={"plugins": plugins}),
        }
    )
    path = directory / "request.json"
    path.write_text(portable.model_dump_json(by_alias=True, exclude_defaults=True, indent=2) + "\n", encoding="utf-8")
    return path


def require_empty(directory: Path) -> None:
    """Fail if the path for a request is a file or a folder that is not empty.

    Raises:
        UsageError: the path is in use.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        found = "a folder with files" if directory.is_dir() else "a file"
        raise UsageError.of(wording.REQUEST_FOLDER_IN_USE, where=str(directory), expected="a new or empty folder", found=found)


def build(
    model: schema.Model,
    target: schema.Target,
    artifact: OnnxArtifact,
    *,
    directory: Path,
    on_progress: Callable[[str], None] | None = None,
) -> tuple[BuiltPlan, ...]:
    """Build the plans of a model, one per compute capability of the target.

    Raises:
        MissingError, UsageError, PlanError: see `plan_builder.build`.
    """
    return plan_builder.build(request(model, target, artifact), directory, on_progress=on_progress)


def take(
    model: schema.Model, target: schema.Target, artifact: OnnxArtifact, *, places: Sequence[Path], directory: Path
) -> tuple[BuiltPlan, ...]:
    """Copy plans that were built on other machines into a folder, if they were built from this ONNX file and the spec's settings.

    Raises:
        UsageError, PlanError: see `plan_collection.collect`; or a plan was built from another ONNX file, by another module or with
            other settings; or there is no plan for a compute capability of the target.
    """
    plans = plan_collection.collect(places, directory)
    expected, metadata = request(model, target, artifact), plans[0].metadata
    required = {
        "module": expected.module,
        "onnx_sha256": onnx_protobuf.sha256(artifact.path),
        "profiles": [{name: shapes.model_dump(mode="json") for name, shapes in each.items()} for each in expected.profiles],
        "settings": expected.settings.portable(),
    }
    found = {name: to_json(metadata)[name] for name in required}
    kinds = [each.metadata.compute_capability for each in plans]
    missing = [kind for kind in target.compute_capabilities if kind not in kinds]
    problems = [f"{name}: expected {value}, found {found[name]}" for name, value in required.items() if found[name] != value]
    problems += [f"there is no plan for compute capability {kind}" for kind in missing]
    if problems:
        raise UsageError.of(wording.PLANS_OF_OTHER_SPEC, where=", ".join(map(str, places)), details=problems)
    return tuple(BuiltPlan(path=each.path, log=each.log, metadata=each.metadata, cached=True, seconds=0.0) for each in plans)


def profiles(model: schema.Model) -> tuple[dict[str, Shapes], ...]:
    """The optimization profiles of a spec (one that covers all axes): minimum, optimal and maximum shape of every input.

    Empty without dynamic axes.
    """
    if not any(isinstance(size, str) for tensor in model.inputs.values() for size in tensor.shape):
        return ()
    return tuple(
        {name: _shapes(model, profile, tensor.shape) for name, tensor in model.inputs.items()} for profile in model.profiles or [{}]
    )


def _shapes(model: schema.Model, profile: dict[str, schema.Span], shape: Sequence[int | str]) -> Shapes:
    spans = [(size, size, size) if isinstance(size, int) else model.span(profile, size) for size in shape]
    low, usual, high = ([span[end] for span in spans] for end in range(3))
    return Shapes(min=tuple(low), opt=tuple(usual), max=tuple(high))
