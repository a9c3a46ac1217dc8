"""The fields of a configuration that the embedded server cannot load: it serves the model without them, and says so.

What a deployment needs is not always here: a GPU, a backend built with an accelerator, a newer Triton. Such a version is proven
without these fields and published with them. What no Triton would load stays in, so that the embedded server refuses it.

Sources: the native backend's refusals (`backends/onnxruntime/native/options.c` and `backend.c`); the server of the
`nvidia-pytriton` wheel has no repository agents; `NEWER` is compared in a test with the description of `model_config.proto` that is
part of the server's binary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast  # Any: a parsed configuration, taken apart by field

from tritonize.core.artifacts import SetAside
from tritonize.triton.protocol import ModelConfig

NEWER = ("model_metrics", "ensemble_scheduling.max_inflight_requests")
"""Fields that tritonclient's protobuf knows and the embedded server's does not."""
ACCELERATORS: Mapping[str, tuple[str, ...]] = {
    "cpu_execution_accelerator": ("openvino",),
    "gpu_execution_accelerator": ("tensorrt", "cuda"),
}
"""The names that any build of Triton's ONNX Runtime backend takes (`src/onnxruntime.cc` there)."""
_NO_GPU = "the embedded server's ONNX Runtime has no GPU"
_NO_GPU_HERE = "the embedded server has no access to a GPU"
_NO_ACCELERATOR = "the embedded server's ONNX Runtime is built without it"
_NO_AGENTS = "the embedded server has no repository agents"
_TOO_OLD = "the embedded server's Triton is older than this field"
_PLANS = ("tensorrt", "tensorrt_rtx", "tensorrt_plan")


class Loadable(NamedTuple):
    """A configuration that the embedded server can load."""

    config: ModelConfig
    left_out: tuple[SetAside, ...]


def without(config: ModelConfig, *, gpu: bool = False) -> Loadable:
    """Leave out what the embedded server cannot load.

    Args:
        config: a parsed configuration; not changed.
        gpu: whether the server has access to a GPU, as it has to serve plans.
    """
    kept = cast("dict[str, Any]", copy.deepcopy(config))
    fields = (*_gpu_instances(kept, gpu=gpu), *_accelerators(kept), *_agents(kept), *_newer(kept))
    return Loadable(cast("ModelConfig", kept), fields)


def _gpu_instances(config: dict[str, Any], *, gpu: bool) -> Iterator[SetAside]:
    """Run instances on the CPU instead. A plan stays on the GPU: it cannot run anywhere else."""
    backend = config.get("backend") or config.get("platform", "")
    if backend in _PLANS:
        return
    onnx = str(backend).startswith("onnxruntime")
    if gpu and not onnx:
        return
    for index, group in enumerate(config.get("instance_group", ())):
        if group.get("kind") != "KIND_GPU":
            continue
        if wrong := [number for number in group.get("gpus", ()) if number < 0]:
            group["gpus"] = wrong  # so that the server names these
        else:
            group["kind"] = "KIND_CPU"
            for field in ("gpus", "secondary_devices"):
                group.pop(field, None)
            reason = _NO_GPU if onnx else _NO_GPU_HERE
            yield SetAside(field=f"instance_group[{index}]", value="KIND_GPU", reason=reason, needs="gpu")


def _accelerators(config: dict[str, Any]) -> Iterator[SetAside]:
    every = config.get("optimization", {}).get("execution_accelerators", {})
    onnx = str(config.get("backend") or config.get("platform", "")).startswith("onnxruntime")
    for kind, accelerators in list(every.items()):
        if onnx and any(each.get("name") not in ACCELERATORS[kind] for each in accelerators):
            continue
        names = ", ".join(each.get("name", "") for each in every.pop(kind))
        field = f"optimization.execution_accelerators.{kind}"
        on_gpu = kind == "gpu_execution_accelerator"
        yield SetAside(field=field, value=names, reason=_NO_ACCELERATOR, needs="gpu" if on_gpu else "triton")
    if not every:
        config.get("optimization", {}).pop("execution_accelerators", None)


def _agents(config: dict[str, Any]) -> Iterator[SetAside]:
    agents = config.pop("model_repository_agents", None)
    if agents is not None:
        names = ", ".join(each.get("name", "") for each in agents.get("agents", ()))
        yield SetAside(field="model_repository_agents", value=names, reason=_NO_AGENTS, needs="triton")


def _newer(config: dict[str, Any]) -> Iterator[SetAside]:
    for path in NEWER:
        *above, field = path.split(".")
        message = config
        for name in above:
            message = message.get(name, {})
        if field in message:
            del message[field]
            yield SetAside(field=path, value="", reason=_TOO_OLD, needs="triton")
