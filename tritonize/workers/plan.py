"""Build a TensorRT plan: one core for `tensorrt` (8.6, 10, 11) and `tensorrt_rtx`; runs inside a worker, without torch.

The steps bear their names: parse the network, build the optimal plan, serialize. What a module lacks is asked of the module
(`hasattr`), never of its version: the two count apart.
"""

from __future__ import annotations

import hashlib
import importlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from tritonize import dtypes, gpu
from tritonize.artifacts import TensorSpec, from_json, to_json
from tritonize.errors import MissingError, PlanError, UsageError
from tritonize.plan_settings import Settings, Shapes
from tritonize.workers import plan_network, progress, timing_cache

_NOISE = ("cudaError 35", "CUDA driver version is insufficient")
"""What the builder of TensorRT-RTX says again and again on a machine without a GPU, where it works all the same. Elsewhere it is
the very reason of a failure.
"""
_POOLS = {"workspace_mib": ("WORKSPACE", 20), "tactic_shared_memory_kib": ("TACTIC_SHARED_MEMORY", 10)}
_FLAGS = {
    "version_compatible": "VERSION_COMPATIBLE",
    "strip_plan": "STRIP_PLAN",
    "refit": "REFIT",
    "weight_streaming": "WEIGHT_STREAMING",
}
_KEPT = 3  # of the module's lines, where it does not start
_PROBLEMS = ("WARNING", "ERROR", "INTERNAL_ERROR")


@dataclass(frozen=True, kw_only=True)
class PlanBuildRequest:
    """One plan, for one GPU kind."""

    onnx: Path
    module: str
    compute_capability: str | None
    """The target of TensorRT-RTX; `None` for the GPU here."""
    profiles: tuple[Mapping[str, Shapes], ...]
    settings: Settings
    node_map: Path | None
    plan: Path
    log: Path
    timing_cache: Path | None
    """The file of this module version, GPU and driver; `None` where none is asked for."""


@dataclass(frozen=True, kw_only=True)
class PlanBuildAnswer:
    """What was built."""

    version: str
    compute_capability: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    plan_sha256: str
    plan_bytes: int
    build_seconds: float
    timing_cache_sha256: str | None
    """Of the timing cache after the build."""


def build(request: dict[str, Any]) -> dict[str, Any]:
    """The task: `PlanBuildRequest` in, `PlanBuildAnswer` out, as plain data.

    Raises:
        MissingError: the module is not installed, cannot be loaded, or does not start with the driver here.
        UsageError: profiles or settings do not fit the network, or a library of plugins is none.
        PlanError: the network cannot be parsed or built.
    """
    asked = from_json(PlanBuildRequest, request)
    trt = _module(asked.module)
    with asked.log.open("w", encoding="utf-8") as file:
        noise = _NOISE if asked.module == "tensorrt_rtx" and gpu.find() is None else ()
        logger = _logger(trt, file, asked.onnx.parent, noise)
        builder = _builder(trt, logger)
        _load_plugins(trt, builder, logger, asked.settings.plugins)
        progress.tell("parse the network")
        source = plan_network.Network(onnx=asked.onnx, module=asked.module, node_map=asked.node_map)
        network = plan_network.parse(trt, builder, logger, source)
        inputs = _tensors(network.get_input(index) for index in range(network.num_inputs))
        outputs = _tensors(network.get_output(index) for index in range(network.num_outputs))
        config = _config(trt, builder, network, asked)
        progress.tell("build the optimal plan")
        monitor = _monitor(trt)
        if monitor is not None:
            config.progress_monitor = monitor
        if asked.timing_cache:
            timing_cache.load(config, asked.timing_cache)
        started = time.perf_counter()
        digest, size = _serialize(trt, builder, network, config, asked.plan, logger, source)
        seconds = time.perf_counter() - started
        timings = timing_cache.store(config, asked.timing_cache) if asked.timing_cache else None
    return to_json(  # type: ignore[no-any-return]
        PlanBuildAnswer(
            version=trt.__version__,
            compute_capability=asked.compute_capability or _capability_here(),
            inputs=inputs,
            outputs=outputs,
            plan_sha256=digest,
            plan_bytes=size,
            build_seconds=seconds,
            timing_cache_sha256=timings,
        )
    )


def version(request: dict[str, Any]) -> dict[str, Any]:
    """The task: `module` in, its `version` out, for modules that were installed without a package's metadata.

    Raises:
        MissingError: it cannot be loaded.
    """
    return {"version": str(_module(request["module"]).__version__)}


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise MissingError(
            f"The Python package {name!r} cannot be loaded.",
            found=f"{type(error).__name__}: {error}",
            next_step=f'pip install "tritonize[{name.replace("_", "-")}]"',
        ) from error


def _logger(trt: Any, file: Any, folder: Path, noise: Sequence[str]) -> Any:
    """Keeps everything the module says in the log as it comes, without the folder of this machine, and the errors apart."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.problems: deque[str] = deque(maxlen=_KEPT)  # warnings and noise too: why a module does not start is one of them

        def log(self, severity: Any, message: str) -> None:
            message = message.replace(f"{folder}/", "")
            name = str(severity).rpartition(".")[2]
            if name in _PROBLEMS:
                self.problems.append(message)
            if any(each in message for each in noise):
                return
            self.note(f"{name}: {message}")
            if name in ("ERROR", "INTERNAL_ERROR"):
                self.errors.append(message)

        def note(self, line: str) -> None:
            """A line of our own into the log."""
            file.write(f"{line}\n")
            file.flush()

    return Logger()


def _builder(trt: Any, logger: Any) -> Any:
    try:
        return trt.Builder(logger)
    except TypeError as error:  # how the bindings tell that there is none; why, only the logger heard
        raise MissingError(
            f"{trt.__name__} {trt.__version__} does not start on this machine.",
            found="; ".join(dict.fromkeys(logger.problems)) or str(error),
            cause="the GPU's driver is too old for it",
            next_step="install a newer driver, or an older version of the package",
        ) from error


def _load_plugins(trt: Any, builder: Any, logger: Any, libraries: Sequence[Path]) -> None:
    """The plugins that come with TensorRT, which from 10 on its parser does not register itself, and the user's."""
    if trt.__name__ == "tensorrt" and hasattr(trt, "init_libnvinfer_plugins"):
        trt.init_libnvinfer_plugins(logger, "")
    for library in libraries:
        before, registry = len(logger.errors), builder.get_plugin_registry()
        if registry.load_library(str(library)) is None:
            raise UsageError(
                "The library of plugins cannot be loaded.",
                where=str(library),
                found="; ".join(logger.errors[before:]) or f"{trt.__name__} gives no reason",
            )


def _config(trt: Any, builder: Any, network: Any, asked: PlanBuildRequest) -> Any:
    config = builder.create_builder_config()
    _set(trt, config, asked.settings)
    if asked.compute_capability is not None:
        name = f"SM{asked.compute_capability.replace('.', '')}"
        target = _member(trt, "ComputeCapability", name, f"compute capability {asked.compute_capability}")
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(target, 0):
            raise PlanError("The builder does not take the compute capability.", found=asked.compute_capability)
    _add_profiles(builder, network, config, asked)
    return config


def _set(trt: Any, config: Any, settings: Settings) -> None:
    for name, (pool, shift) in _POOLS.items():
        if (value := getattr(settings, name)) is not None:
            config.set_memory_pool_limit(_member(trt, "MemoryPoolType", pool, f"settings.{name}"), value << shift)
    for name, flag in _FLAGS.items():
        if getattr(settings, name):
            config.set_flag(_member(trt, "BuilderFlag", flag, f"settings.{name}"))
    if settings.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # the builder's default is on
    if settings.optimization_level is not None:
        config.builder_optimization_level = settings.optimization_level
    if settings.max_aux_streams is not None:
        config.max_aux_streams = settings.max_aux_streams
    if settings.detailed_profiling:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if settings.hardware_compatibility:
        level = settings.hardware_compatibility
        config.hardware_compatibility_level = _member(
            trt, "HardwareCompatibilityLevel", level.upper(), f"settings.hardware_compatibility: {level}"
        )
    if settings.plugins and settings.version_compatible:  # others are loaded where the plan is, before it
        config.plugins_to_serialize = [str(path) for path in settings.plugins]


def _member(trt: Any, kind: str, name: str, asked: str) -> Any:
    """A member of one of the module's enumerations, which older versions may lack.

    Raises:
        UsageError: this one does.
    """
    member = getattr(getattr(trt, kind, None), name, None)
    if member is None:
        raise UsageError(
            f"{trt.__name__} {trt.__version__} does not know what is asked for.",
            where=asked,
            expected=f"a version with {kind}.{name}",
            next_step="leave it out, or install a newer version of the package",
        )
    return member


def _add_profiles(builder: Any, network: Any, config: Any, asked: PlanBuildRequest) -> None:
    inputs = {each.name: tuple(each.shape) for each in (network.get_input(index) for index in range(network.num_inputs))}
    problems = list(_profile_problems(inputs, asked.profiles))
    if problems:
        raise UsageError("The profiles do not fit the network.", where=asked.onnx.name, details=problems)
    for number, shapes in enumerate(asked.profiles):
        profile = builder.create_optimization_profile()
        for name, each in shapes.items():
            profile.set_shape(name, each.min, each.opt, each.max)
        if config.add_optimization_profile(profile) < 0:
            raise PlanError("The builder does not take the profile.", found=f"profile {number}")


def _profile_problems(inputs: Mapping[str, tuple[int, ...]], profiles: Sequence[Mapping[str, Shapes]]) -> Iterator[str]:
    dynamic = [name for name, shape in inputs.items() if -1 in shape]
    if dynamic and not profiles:
        yield f"{', '.join(dynamic)}: has dynamic axes, and no profile gives their sizes"
    for number, shapes in enumerate(profiles):
        for name in dynamic:
            if name not in shapes:
                yield f"profile {number}: has no shapes for {name} {list(inputs[name])}"
        for name, each in shapes.items():
            if name not in inputs:
                yield f"profile {number}: there is no input {name}; the network has {', '.join(inputs)}"
                continue
            yield from _shape_problems(f"profile {number}: {name}", inputs[name], each)


def _shape_problems(where: str, shape: tuple[int, ...], wanted: Shapes) -> Iterator[str]:
    if len(wanted.min) != len(shape):
        yield f"{where} has {len(shape)} axes {list(shape)}; the profile gives {len(wanted.min)}"
        return
    for axis, size in enumerate(shape):
        given = {wanted.min[axis], wanted.opt[axis], wanted.max[axis]}
        if size != -1 and given != {size}:
            yield f"{where} axis {axis} is {size} in the network; the profile gives {sorted(given)}"


def _monitor(trt: Any) -> Any:
    """Tells the outermost phases; `None` where the module has no such interface (8.6)."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._outermost: dict[str, int] = {}

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            if parent is None:
                self._outermost[name] = steps

        def phase_finish(self, name: str) -> None:
            self._outermost.pop(name, None)

        def step_complete(self, name: str, step: int) -> bool:
            if name in self._outermost:
                progress.tell(f"build the optimal plan, step {step + 1} of {self._outermost[name]}")
            return True

    return Monitor()


def _serialize(
    trt: Any, builder: Any, network: Any, config: Any, path: Path, logger: Any, source: plan_network.Network
) -> tuple[str, int]:
    """The plan into its file, piece by piece where the module can; its hash and size."""
    before = len(logger.errors)
    with path.open("wb") as file, _Written(file) as written:
        if hasattr(builder, "build_serialized_network_to_stream"):
            built = builder.build_serialized_network_to_stream(network, config, _stream(trt, written))
        else:
            plan = builder.build_serialized_network(network, config)
            built = plan is not None
            if built:
                written.write(memoryview(plan))
    if not built or not written.size:
        path.unlink(missing_ok=True)
        said = plan_network.named(logger.errors[before:], source) or ["the builder gives no reason"]
        raise PlanError(
            f"{source.module} built no plan.",
            where=source.onnx.name,
            found=said[0],
            details=plan_network.shown(said[1:]),
            next_step="look at the whole log beside the plan",
        )
    return written.digest.hexdigest(), written.size  # the hash is whole: leaving the block waits for it


class _Written:
    """A file that is hashed while it is written: in a thread beside it, at most one piece behind, so that few are in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hasher = ThreadPoolExecutor(1)
        self._hashed: Future[None] | None = None
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, piece: Any) -> int:
        if self._hashed:
            self._hashed.result()
        self._hashed = self._hasher.submit(self.digest.update, piece)
        self._file.write(piece)
        self.size += len(piece)
        return len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._hasher.shutdown()
        if self._hashed and kind is None:
            self._hashed.result()


def _stream(trt: Any, written: _Written) -> Any:
    class Stream(trt.IStreamWriter):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IStreamWriter.__init__(self)

        def write(self, piece: bytes) -> int:
            return written.write(piece)

    return Stream()


def _tensors(tensors: Iterable[Any]) -> tuple[TensorSpec, ...]:
    """Inputs or outputs of the network.

    Raises:
        PlanError: one is of a type that no array of a client has, such as FP8.
    """
    found, refused = [], []
    for tensor in tensors:
        kind = str(tensor.dtype).rpartition(".")[2]
        shape: Iterable[int] = tensor.shape
        try:
            dtype = dtypes.by_tensorrt(kind)
        except KeyError:
            refused.append(f"{tensor.name}: {kind}")
            continue
        sizes = tuple("?" if size == -1 else int(size) for size in shape)
        found.append(TensorSpec(name=tensor.name, dtype=dtype.name, shape=sizes))
    if refused:
        raise PlanError(
            "The network has an input or output of a type that no request can carry.",
            expected=f"one of {', '.join(each.tensorrt for each in dtypes.TABLE if each.tensorrt)}",
            found="; ".join(refused),
            next_step="cast it to another type in the model",
        )
    return tuple(found)


def _capability_here() -> str:
    """Of the GPU that the plan was built on."""
    here = gpu.find()
    if here is None:
        raise PlanError("A plan was built, and no GPU is found that it is for.")
    return here.compute_capability
