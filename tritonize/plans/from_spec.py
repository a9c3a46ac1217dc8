"""From a proven ONNX file to the plans that a spec asks for: the profile from its axes, the targets, the request."""

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
QUESTION = "question"
"""The folder of a request that holds what the plans have to answer."""


def require_possible(model: schema.Model, target: schema.Target, plans: Sequence[Path] = ()) -> None:
    """Refuse what cannot be built here, before anything else is done for it.

    Args:
        plans: folders with plans that were built already, so that nothing is built here.

    Raises:
        MissingError, UsageError: see `installed.require_possible` and `plan_cache.bound`; the target names no GPU, or one that is
            not here.
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
        raise UsageError(
            "TensorRT-RTX builds for the GPUs that it is told, and the spec names none.",
            where="target.compute_capabilities",
            expected='such as ["8.9"]',
        )
    plan_request.require_supported(_request(model, target, Path()), version, section="builder")
    here = gpu.find()
    elsewhere = [each for each in target.compute_capabilities if here is None or each != here.compute_capability]
    if model.backend == "tensorrt" and elsewhere:
        raise UsageError(
            "TensorRT builds for the GPU of the machine it runs on, and the target names others.",
            where="target.compute_capabilities",
            found=f"{', '.join(elsewhere)}; here is {here.compute_capability if here else 'none'}",
            next_step="`tritonize plan request` writes what to build on each machine; bring the results back with --plans",
        )


def request(model: schema.Model, target: schema.Target, artifact: OnnxArtifact) -> BuildRequest:
    """What to build of a proven ONNX file, here or anywhere."""
    return _request(model, target, artifact.path).model_copy(update={"node_map": artifact.node_map})


def _request(model: schema.Model, target: schema.Target, onnx: Path) -> BuildRequest:
    return BuildRequest(
        onnx=onnx,
        module=MODULES[model.backend],
        compute_capabilities=tuple(target.compute_capabilities) if model.backend == "tensorrt_rtx" else (),
        profiles=profiles(model),
        settings=model.builder.model_copy(
            # Without details the engine's inspector cannot show that layers run in half precision, and the plan stays unproven.
            update={"tf32": model.precision == "tf32"}
            | ({"detailed_profiling": True} if model.precision in ("fp16", "bf16") else {})
        ),
        deadline_s=model.deadline_s,
        memory_mib=model.memory_mib,
    )


def write_request(asked: BuildRequest, directory: Path) -> Path:
    """The request and all files it names, by relative names, in a folder that can be taken to another machine.

    Raises:
        UsageError: the folder is not empty.
    """
    require_empty(directory)
    if missing := [str(path) for path in asked.settings.plugins if not path.is_file()]:
        raise UsageError("There is no such library of plugins.", where="builder.plugins", found=", ".join(missing))
    if len({path.name for path in asked.settings.plugins}) < len(asked.settings.plugins):
        raise UsageError("Two libraries of plugins have the same name, and would lie in one folder.", where="builder.plugins")
    directory.mkdir(parents=True, exist_ok=True)
    files = {asked.onnx: asked.onnx.name, **{path: path.name for path in (asked.node_map, *asked.settings.plugins) if path}}
    files |= {
        path: str(path.relative_to(asked.onnx.parent)) for path in onnx_protobuf.data_files(asked.onnx)
    }  # the file names them so
    with errors.storage_errors(directory):
        for path, name in files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    plugins = tuple(Path(path.name) for path in asked.settings.plugins)
    portable = asked.model_copy(
        update={
            "onnx": Path(asked.onnx.name),
            "node_map": Path(asked.node_map.name) if asked.node_map else None,
            "settings": asked.settings.model_copy(update={"plugins": plugins}),
        }
    )
    path = directory / "request.json"
    path.write_text(portable.model_dump_json(by_alias=True, exclude_defaults=True, indent=2) + "\n", encoding="utf-8")
    return path


def require_empty(directory: Path) -> None:
    """Refuse a folder for a request that is none, or has something in it.

    Raises:
        UsageError: it does.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        found = "something in it" if directory.is_dir() else "a file"
        raise UsageError("The folder for the request is not empty.", where=str(directory), found=found)


def build(
    model: schema.Model,
    target: schema.Target,
    artifact: OnnxArtifact,
    *,
    directory: Path,
    on_progress: Callable[[str], None] | None = None,
) -> tuple[BuiltPlan, ...]:
    """The plans of a model, one per compute capability of the target.

    Raises:
        MissingError, UsageError, PlanError: see `plan_builder.build`.
    """
    return plan_builder.build(request(model, target, artifact), directory, on_progress=on_progress)


def take(
    model: schema.Model, target: schema.Target, artifact: OnnxArtifact, *, places: Sequence[Path], directory: Path
) -> tuple[BuiltPlan, ...]:
    """Plans that were built elsewhere, if they are of this very ONNX file and of what the spec asks for.

    Raises:
        UsageError, PlanError: see `plan_collection.read`; or they are of another file, module or setting, or one is missing.
    """
    plans = plan_collection.collect(places, directory)
    asked, known = request(model, target, artifact), plans[0].metadata
    wanted = {
        "module": asked.module,
        "onnx_sha256": onnx_protobuf.sha256(artifact.path),
        "profiles": [{name: shapes.model_dump(mode="json") for name, shapes in each.items()} for each in asked.profiles],
        "settings": asked.settings.portable(),
    }
    found = {name: to_json(known)[name] for name in wanted}
    kinds = [each.metadata.compute_capability for each in plans]
    missing = [kind for kind in target.compute_capabilities if kind not in kinds]
    problems = [f"{name}: {found[name]}, not {value}" for name, value in wanted.items() if found[name] != value]
    problems += [f"there is none for compute capability {kind}" for kind in missing]
    if problems:
        raise UsageError(
            "The plans are not what the spec asks for.",
            where=", ".join(map(str, places)),
            details=problems,
            next_step="build them of the request that `tritonize plan request` writes now",
        )
    return tuple(BuiltPlan(path=each.path, log=each.log, metadata=each.metadata, cached=True, seconds=0.0) for each in plans)


def profiles(model: schema.Model) -> tuple[dict[str, Shapes], ...]:
    """The optimization profiles of a spec, one of all its axes by default: of every input its smallest, usual and largest shape.

    None where nothing is dynamic.
    """
    if not any(isinstance(size, str) for tensor in model.inputs.values() for size in tensor.shape):
        return ()
    return tuple(
        {name: _shapes(model, asked, tensor.shape) for name, tensor in model.inputs.items()} for asked in model.profiles or [{}]
    )


def _shapes(model: schema.Model, asked: dict[str, schema.Span], shape: Sequence[int | str]) -> Shapes:
    spans = [(size, size, size) if isinstance(size, int) else model.span(asked, size) for size in shape]
    low, usual, high = ([span[end] for span in spans] for end in range(3))
    return Shapes(min=tuple(low), opt=tuple(usual), max=tuple(high))
