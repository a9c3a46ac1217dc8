"""From a proven ONNX file to the plans that a spec asks for: the profile from its axes, the targets, the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tritonize import plan, spec
from tritonize.artifacts import OnnxArtifact
from tritonize.errors import UsageError
from tritonize.plan import BuiltPlan
from tritonize.plan_file import Module
from tritonize.plan_settings import BuildRequest, Shapes

MODULES: Mapping[str, Module] = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt_rtx"}
"""Backend to the module that builds its plans."""


def require_possible(model: spec.Model, target: spec.Target) -> None:
    """Refuse what cannot be built here, before anything else is done for it.

    Raises:
        MissingError, UsageError: see `plan.require_possible`; the target names no GPU where it has to.
    """
    if model.backend not in MODULES:
        return
    plan.require_possible(MODULES[model.backend])
    if model.backend == "tensorrt_rtx" and not target.compute_capabilities:
        raise UsageError(
            "TensorRT-RTX builds for the GPUs that it is told, and the spec names none.",
            where="target.compute_capabilities",
            expected='such as ["8.9"]',
        )


def build(
    model: spec.Model,
    target: spec.Target,
    artifact: OnnxArtifact,
    directory: Path,
    on_progress: Callable[[str], None] | None = None,
) -> tuple[BuiltPlan, ...]:
    """The plans of a model, one per compute capability of the target.

    Raises:
        MissingError, UsageError, PlanError: see `plan.build`.
    """
    request = BuildRequest(
        onnx=artifact.path,
        module=MODULES[model.backend],
        compute_capabilities=tuple(target.compute_capabilities) if model.backend == "tensorrt_rtx" else (),
        profiles=(profile(model),) if _dynamic(model) else (),
        settings=model.builder.model_copy(update={"tf32": model.precision == "tf32"}),
        node_map=artifact.node_map,
        deadline_s=model.deadline_s,
        memory_mib=model.memory_mib,
    )
    return plan.build(request, directory, on_progress=on_progress)


def profile(model: spec.Model) -> dict[str, Shapes]:
    """The optimization profile that the spec's axes describe: of every input its smallest, usual and largest shape."""
    return {
        name: Shapes(
            min=tuple(_size(model, size, "min") for size in tensor.shape),
            opt=tuple(_size(model, size, "opt") for size in tensor.shape),
            max=tuple(_size(model, size, "max") for size in tensor.shape),
        )
        for name, tensor in model.inputs.items()
    }


def _dynamic(model: spec.Model) -> bool:
    return any(isinstance(size, str) for tensor in model.inputs.values() for size in tensor.shape)


def _size(model: spec.Model, size: int | str, end: str) -> int:
    if isinstance(size, int):
        return size
    axis = model.axis(size)
    if size == model.batch_axis and end == "opt":
        return usual_batch(model)
    return {"min": axis.min, "opt": axis.opt or axis.max, "max": axis.max}[end]


def usual_batch(model: spec.Model) -> int:
    """The batch that a plan is best at: the largest that dynamic batching prefers, else the largest there is."""
    batching = model.triton.get("dynamic_batching")
    preferred: Sequence[int] = batching.get("preferred_batch_size", ()) if isinstance(batching, dict) else ()
    return max([size for size in preferred if isinstance(size, int)], default=model.max_batch_size)
