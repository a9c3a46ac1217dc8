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

from tritonize.core import dtypes, progress
from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import ExportError, MissingError, UsageError
from tritonize.core.messages import plans as wording
from tritonize.plans import gpu
from tritonize.plans.tasks import PlanBuildRequest, PlanBuildResult, VersionRequest
from tritonize.plans.worker import builder_config, import_trt, serialization, timing_cache, trt_network

if TYPE_CHECKING:
    from tritonize.backends.plans.bindings import Builder, BuilderConfig, BuildLog, Tensor, TensorRT


_NOISE = ("cudaError 35", "CUDA driver version is insufficient")
"""Parts of messages that TensorRT-RTX logs repeatedly on a machine without a GPU, where it builds nevertheless. In all other cases
these messages explain a failure.
"""
_KEPT = 3  # number of log lines that the error contains if the module does not start
_PROBLEMS = ("WARNING", "ERROR", "INTERNAL_ERROR")


def build(request: PlanBuildRequest) -> PlanBuildResult:
    """Build one plan.

    Raises:
        MissingError: the module is not installed, cannot be loaded, or does not start with this machine's driver.
        UsageError: the profiles do not match the network, the module lacks a setting, or a plugin library cannot be loaded.
        ExportError: an input or output has a type that no request can carry, or a node takes a tensor that no node computes.
        PlanError: the network cannot be parsed or built.
    """
    trt = import_trt.load(request.module)
    with request.log.open("w", encoding="utf-8") as file:
        noise = _NOISE if request.module == "tensorrt_rtx" and gpu.find() is None else ()
        logger = _logger(trt, file, request.onnx.parent, noise=noise)
        builder = _builder(trt, logger)
        _load_plugins(trt, builder, logger, libraries=request.settings.plugins)
        progress.report(text="parse the network")
        network = trt_network.parse(trt, builder, logger, request=request)
        inputs = _tensors(network.get_input(index) for index in range(network.num_inputs))
        outputs = _tensors(network.get_output(index) for index in range(network.num_outputs))
        config = builder_config.configure(trt, builder, network, request=request)
        progress.report(text="build the optimal plan")
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
    """Write the timing cache and return its SHA-256; `None` if it cannot be written, since the plan is usable without it."""
    try:
        return timing_cache.store(config, path)
    except OSError as error:
        logger.note(f"the timing cache cannot be written: {error}")
        return None


def version(request: VersionRequest) -> str:
    """The version of an installed module, read by importing it.

    Raises:
        MissingError: the module cannot be loaded.
    """
    return str(import_trt.load(request.module).__version__)


def _logger(trt: TensorRT, file: TextIO, folder: Path, *, noise: Sequence[str]) -> BuildLog:
    """A logger that writes the module's messages to a file immediately and also collects the errors.

    It removes the folder of the ONNX file from the messages, since the log becomes part of a version. Messages that contain one of
    the `noise` texts are not written.
    """

    class Logger(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []
            self.problems: deque[str] = deque(
                maxlen=_KEPT
            )  # with warnings and noise: one of them explains why a module does not start

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
            """Write a line of tritonize's own."""
            file.write(f"{line}\n")
            file.flush()

    return Logger()


def _builder(trt: TensorRT, logger: BuildLog) -> Builder:
    try:
        return trt.Builder(logger)
    except TypeError as error:  # raised by the bindings without a builder; only the logger receives the reason
        raise MissingError.of(
            wording.MODULE_NOT_STARTED,
            found="; ".join(dict.fromkeys(logger.problems)) or str(error),
            module=trt.__name__,
            version=trt.__version__,
        ) from error


def _load_plugins(trt: TensorRT, builder: Builder, logger: BuildLog, *, libraries: Sequence[Path]) -> None:
    """Load TensorRT's own plugins, which the parser does not register from TensorRT 10 on, and the user's libraries."""
    if trt.__name__ == "tensorrt" and hasattr(trt, "init_libnvinfer_plugins"):
        trt.init_libnvinfer_plugins(logger, "")
    for library in libraries:
        before, registry = len(logger.errors), builder.get_plugin_registry()
        if registry.load_library(str(library)) is None:
            raise UsageError.of(
                wording.PLUGINS_NOT_LOADED,
                where=str(library),
                found="; ".join(logger.errors[before:]) or f"{trt.__name__} logs no reason",
            )


def _monitor(trt: TensorRT) -> object | None:
    """A progress monitor that reports the steps of the outermost phases; `None` if the module has no such interface (8.6)."""
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
                with contextlib.suppress(OSError):  # an exception in this method cancels the build
                    progress.report(done=step, total=self._outermost[name], unit="step", text="build the optimal plan")
            return True

    return Monitor()


def _tensors(tensors: Iterable[Tensor]) -> tuple[TensorSpec, ...]:
    """The inputs or outputs of the network.

    Raises:
        ExportError: one has a type that Triton's protocol lacks, such as FP8.
    """
    found, unsupported = [], []
    for tensor in tensors:
        kind = str(tensor.dtype).rpartition(".")[2]
        shape: Iterable[int] = tensor.shape
        try:
            dtype = dtypes.by_tensorrt(kind)
        except KeyError:
            unsupported.append(f"{tensor.name}: {kind}")
            continue
        sizes = tuple("?" if size == -1 else int(size) for size in shape)
        found.append(TensorSpec(name=tensor.name, dtype=dtype.name, shape=sizes))
    if unsupported:
        raise ExportError.of(
            wording.TENSOR_TYPE,
            expected=f"one of {', '.join(each.tensorrt for each in dtypes.TABLE if each.tensorrt)}",
            found="; ".join(unsupported),
        )
    return tuple(found)


def _capability_here() -> str:
    """The compute capability of the GPU that the plan was built on."""
    here = gpu.find()
    if here is None:
        raise MissingError.of(wording.GPU_GONE)
    return here.compute_capability
