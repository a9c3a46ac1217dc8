"""Build a TensorRT plan with `tensorrt` (8.6, 10, 11) or `tensorrt_rtx`; runs inside a worker, without torch.

The steps are: parse the network, build the optimal plan, serialize. Missing features are detected by attributes of the module
(`hasattr`), never by its version, because the two modules have separate version numbers.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tritonize.core import dtypes
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import ExportError, MissingError, UsageError
from tritonize.plans import gpu
from tritonize.plans.tasks import PlanBuildRequest, PlanBuildResult, VersionRequest
from tritonize.plans.worker import builder_config, import_trt, serialization, timing_cache, trt_network
from tritonize.process import progress

if TYPE_CHECKING:
    from tritonize.backends.plans.bindings import Builder, BuilderConfig, BuildLog, Tensor, TensorRT


_NOISE = ("cudaError 35", "CUDA driver version is insufficient")
"""What the builder of TensorRT-RTX says again and again on a machine without a GPU, where it works all the same. Elsewhere it is
the very reason of a failure.
"""
_KEPT = 3  # of the module's lines, where it does not start
_PROBLEMS = ("WARNING", "ERROR", "INTERNAL_ERROR")


def build(request: PlanBuildRequest) -> PlanBuildResult:
    """Build one plan.

    Raises:
        MissingError: the module is not installed, cannot be loaded, or does not start with the driver here.
        UsageError: profiles or settings do not fit the network, or a plugin library is invalid.
        PlanError: the network cannot be parsed or built.
    """
    trt = import_trt.load(request.module)
    with request.log.open("w", encoding="utf-8") as file:
        noise = _NOISE if request.module == "tensorrt_rtx" and gpu.find() is None else ()
        logger = _logger(trt, file, request.onnx.parent, noise=noise)
        builder = _builder(trt, logger)
        _load_plugins(trt, builder, logger, libraries=request.settings.plugins)
        progress.report("parse the network")
        network = trt_network.parse(trt, builder, logger, request=request)
        inputs = _tensors(network.get_input(index) for index in range(network.num_inputs))
        outputs = _tensors(network.get_output(index) for index in range(network.num_outputs))
        config = builder_config.configure(trt, builder, network, request=request)
        progress.report("build the optimal plan")
        monitor = _monitor(trt)
        if monitor is not None:
            config.progress_monitor = monitor
        if request.timing_cache:
            timing_cache.load(config, request.timing_cache)
        started = time.perf_counter()
        digest, size = serialization.write(trt, builder, network, config=config, logger=logger, request=request)
        seconds = time.perf_counter() - started
        timings = _keep_timings(config, request.timing_cache, logger) if request.timing_cache else None
    return PlanBuildResult(
        compute_capability=request.compute_capability or _capability_here(),
        inputs=inputs,
        outputs=outputs,
        plan_sha256=digest,
        plan_bytes=size,
        build_seconds=seconds,
        timing_cache_sha256=timings,
    )


def _keep_timings(config: BuilderConfig, path: Path, logger: BuildLog) -> str | None:
    """The SHA-256 of the timing cache; `None` where it cannot be written, which is no reason to lose the plan."""
    try:
        return timing_cache.store(config, path)
    except OSError as error:
        logger.note(f"the timing cache is not kept: {error}")
        return None


def version(request: VersionRequest) -> str:
    """The version of a module that was installed without a package's metadata.

    Raises:
        MissingError: it cannot be loaded.
    """
    return str(import_trt.load(request.module).__version__)


def _logger(trt: TensorRT, file: TextIO, folder: Path, *, noise: Sequence[str]) -> BuildLog:
    """Keeps everything the module says in the log as it comes, without the folder of this machine, and the errors apart."""

    class Logger(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []
            self.problems: deque[str] = deque(maxlen=_KEPT)  # warnings and noise too: why a module does not start is one of them

        def log(self, severity: object, message: str) -> None:
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


def _builder(trt: TensorRT, logger: BuildLog) -> Builder:
    try:
        return trt.Builder(logger)
    except TypeError as error:  # raised by the bindings without a builder; only the logger receives the reason
        raise MissingError(
            f"{trt.__name__} {trt.__version__} does not start on this machine.",
            found="; ".join(dict.fromkeys(logger.problems)) or str(error),
            cause="the GPU's driver is too old for it",
            next_step="install a newer driver, or an older version of the package",
        ) from error


def _load_plugins(trt: TensorRT, builder: Builder, logger: BuildLog, *, libraries: Sequence[Path]) -> None:
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


def _monitor(trt: TensorRT) -> object | None:
    """Tells the outermost phases; `None` where the module has no such interface (8.6)."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self._outermost: dict[str, int] = {}

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            if parent is None:
                self._outermost[name] = steps

        def phase_finish(self, name: str) -> None:
            self._outermost.pop(name, None)

        def step_complete(self, name: str, step: int) -> bool:
            if name in self._outermost:
                with contextlib.suppress(OSError):  # what is raised here would cancel the build
                    progress.report(f"build the optimal plan, step {step + 1} of {self._outermost[name]}")
            return True

    return Monitor()


def _tensors(tensors: Iterable[Tensor]) -> tuple[TensorSpec, ...]:
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
        raise ExportError(
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
        raise MissingError("A plan was built, and no GPU is found that it is for.")
    return here.compute_capability
