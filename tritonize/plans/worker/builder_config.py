"""Configure the builder: settings, compute capability, and the optimization profiles, checked against the parsed network.

Runs inside a worker, without torch; the same code serves `tensorrt` and `tensorrt_rtx`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tritonize.core.errors import PlanError, UsageError
from tritonize.core.messages import plans as wording
from tritonize.plans.tasks import BuilderSettings, PlanBuildRequest, Profile

if TYPE_CHECKING:
    from tritonize.backends.plans.bindings import Builder, BuilderConfig, Network, TensorRT

_POOLS = {"workspace_mib": ("WORKSPACE", 20), "tactic_shared_memory_kib": ("TACTIC_SHARED_MEMORY", 10)}
_FLAGS = {
    "version_compatible": "VERSION_COMPATIBLE",
    "strip_plan": "STRIP_PLAN",
    "refit": "REFIT",
    "weight_streaming": "WEIGHT_STREAMING",
}


def configure(trt: TensorRT, builder: Builder, network: Network, *, request: PlanBuildRequest) -> BuilderConfig:
    """Make the builder's configuration.

    Raises:
        UsageError: the profiles do not match the network, or the module lacks a setting.
        PlanError: the builder rejects the compute capability or a profile.
    """
    config = builder.create_builder_config()
    _set(trt, config, request.settings)
    if request.compute_capability is not None:
        name = f"SM{request.compute_capability.replace('.', '')}"
        target = _member(trt, "ComputeCapability", name, setting=f"compute capability {request.compute_capability}")
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(target, 0):
            raise PlanError.of(wording.CAPABILITY_REFUSED, found=request.compute_capability)
    _add_profiles(builder, network, config, request=request)
    return config


def _set(trt: TensorRT, config: BuilderConfig, settings: BuilderSettings) -> None:
    for name, (pool, shift) in _POOLS.items():
        if (value := getattr(settings, name)) is not None:
            config.set_memory_pool_limit(_member(trt, "MemoryPoolType", pool, setting=name), value << shift)
    for name, flag in _FLAGS.items():
        if getattr(settings, name):
            config.set_flag(_member(trt, "BuilderFlag", flag, setting=name))
    if settings.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # the builder's default is on
    if (optimization := settings.optimization_level) is not None:
        config.builder_optimization_level = optimization
    if (streams := settings.max_aux_streams) is not None:
        config.max_aux_streams = streams
    if settings.detailed_profiling:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if level := settings.hardware_compatibility:
        config.hardware_compatibility_level = _member(
            trt, "HardwareCompatibilityLevel", level.upper(), setting=f"hardware_compatibility: {level}"
        )
    if settings.plugins and settings.version_compatible:  # otherwise, whoever loads the plan loads the libraries first
        config.plugins_to_serialize = [str(each) for each in settings.plugins]


def _member(trt: TensorRT, kind: str, name: str, *, setting: str) -> object:
    """A member of one of the module's enumerations, which older versions may lack.

    Raises:
        UsageError: the installed version lacks it.
    """
    member = getattr(getattr(trt, kind, None), name, None)
    if member is None:
        raise UsageError.of(
            wording.SETTING_TOO_NEW,
            where=setting,
            expected=f"a version with {kind}.{name}",
            module=trt.__name__,
            version=trt.__version__,
        )
    return member


def _add_profiles(builder: Builder, network: Network, config: BuilderConfig, *, request: PlanBuildRequest) -> None:
    inputs = {each.name: tuple(each.shape) for each in (network.get_input(index) for index in range(network.num_inputs))}
    problems = list(_profile_problems(inputs, request.profiles))
    if problems:
        raise UsageError.of(wording.PROFILES_DIFFER, where=request.onnx.name, details=problems)
    for number, shapes in enumerate(request.profiles):
        profile = builder.create_optimization_profile()
        for name, each in shapes.items():
            profile.set_shape(name, each["min"], each["opt"], each["max"])
        if config.add_optimization_profile(profile) < 0:
            raise PlanError.of(wording.PROFILE_REFUSED, where=request.onnx.name, found=f"profile {number}: {shapes}")


def _profile_problems(inputs: Mapping[str, tuple[int, ...]], profiles: Sequence[Profile]) -> Iterator[str]:
    dynamic = [name for name, shape in inputs.items() if -1 in shape]
    if dynamic and not profiles:
        yield f"{', '.join(dynamic)}: dynamic axes, and the request has no profiles"
    for number, shapes in enumerate(profiles):
        for name in dynamic:
            if name not in shapes:
                yield f"profile {number}: no shapes for input {name} {list(inputs[name])}"
        for name, each in shapes.items():
            if name not in inputs:
                yield f"profile {number}: there is no input {name}; the network has {', '.join(inputs)}"
                continue
            yield from _shape_problems(f"profile {number}: {name}", inputs[name], each)


def _shape_problems(where: str, shape: tuple[int, ...], limits: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    if len(limits["min"]) != len(shape):
        yield f"{where} has {len(shape)} axes {list(shape)}; the profile has {len(limits['min'])}"
        return
    for axis, size in enumerate(shape):
        sizes = {limits["min"][axis], limits["opt"][axis], limits["max"][axis]}
        if size != -1 and sizes != {size}:
            yield f"{where} axis {axis} is {size} in the network; the profile has {sorted(sizes)}"
