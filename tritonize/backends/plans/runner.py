"""Run one engine on one GPU: deserialize a plan, create a context per optimization profile, compute outputs from arrays.

It supports the modules `tensorrt` (8.6, 10, 11) and `tensorrt_rtx`. The worker that verifies plans and the backends that serve
plans use it. It works with any version of NumPy and needs neither torch nor tritonize; the caller passes the module and the device.
It detects missing features by attributes of the module, never by the module's version.

Longer than 300 lines: the contexts, buffers and streams of one engine share their state, and Triton runs this file alone.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from tritonize.backends.plans import bindings
    from tritonize.backends.plans.bindings import TensorRT
    from tritonize.backends.plans.cuda import Device

NUMPY = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "uint16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
}
"""Member of the module's DataType to NumPy type; BF16, which NumPy lacks, is passed as its bits."""

_KEPT = 3  # number of the module's log lines that errors quote
_ERRORS = ("ERROR", "INTERNAL_ERROR")
_PROBLEMS = ("WARNING", *_ERRORS)

Array = np.ndarray
Shape = tuple[int, ...]


class EngineError(RuntimeError):
    """A plan cannot be loaded or run, or does not accept the inputs; the text names the reason."""


class StartError(EngineError):
    """The module does not start on this machine; usually the GPU's driver is too old for it."""


@dataclass(frozen=True)
class Tensor:
    """One input or output of an engine."""

    name: str
    is_input: bool
    dtype: str
    """Member of the module's DataType, such as `HALF`."""
    shape: Shape
    """-1 for a dynamic axis."""
    on_host: bool
    """Whether it is a shape tensor, which TensorRT reads and writes in host memory."""


class Engine:
    """A deserialized plan.

    Args:
        trt: the module, `tensorrt` or `tensorrt_rtx`.
        device: a `cuda.Device` whose context is current.
        plan: the plan's bytes.
        plugins: libraries with plugins, loaded first.
        host_code: allow the code inside a version-compatible plan to run.
        log: receives severity and text of every line that the module logs.

    Raises:
        StartError: the module does not start on this machine.
        EngineError: the module refuses the plan; the text contains the module's error.
    """

    def __init__(
        self,
        trt: TensorRT,
        device: Device,
        plan: bytes,
        *,
        plugins: Sequence[str] = (),
        host_code: bool = False,
        log: Callable[[str, str], None] = lambda _severity, _text: None,
    ) -> None:
        self.trt, self.device = trt, device
        self._logger = logger = _logger(trt, log)
        try:
            runtime = trt.Runtime(logger)
        except TypeError as error:  # the bindings raise it if there is no runtime; only the logger receives the reason
            raise StartError(f"{trt.__name__} {trt.__version__} does not start: {logger.why() or error}") from error
        _load_plugins(trt, logger, () if host_code else plugins)
        if host_code:
            runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"{trt.__name__} {trt.__version__} does not load the plan: {logger.last()}")
        self._runtime, self._engine, self._config = runtime, engine, _runtime_config(trt, engine)
        self.tensors = tuple(_tensors(trt, engine))
        self.inputs = {each.name: each for each in self.tensors if each.is_input}
        self.outputs = {each.name: each for each in self.tensors if not each.is_input}
        self.profiles = int(engine.num_optimization_profiles)

    def last_error(self) -> str:
        """Return the text of the module's last error."""
        return str(self._logger.last())

    def limits(self, profile: int) -> dict[str, tuple[Shape, Shape, Shape]]:
        """Return the minimum, optimal and maximum shape of every input in a profile."""
        engine, found = self._engine, {}
        for each in self.inputs.values():
            limits = [tuple(int(size) for size in shape) for shape in engine.get_tensor_profile_shape(each.name, profile)]
            # An engine without dynamic axes may return no shapes here; its input shapes are fixed.
            shapes = limits if [len(shape) for shape in limits] == [len(each.shape)] * 3 else [each.shape] * 3
            found[each.name] = (shapes[0], shapes[1], shapes[2])
        return found

    def information(self, ran: Context | None = None) -> tuple[str, str]:
        """Return the engine inspector's description of the layers, as JSON and as text with one line per layer.

        Args:
            ran: a context that has run; with its shapes, the inspector also reports the formats of dynamic tensors.
        """
        trt, engine = self.trt, self._engine
        inspector = engine.create_engine_inspector()
        if ran is not None:
            inspector.execution_context = ran.raw
        formats = trt.LayerInformationFormat
        as_json = inspector.get_engine_information(formats.JSON)
        return str(as_json), str(inspector.get_engine_information(formats.ONELINE))

    def context(self, profile: int, stream: int) -> Context:
        """Create a context for a profile; it enqueues its work into the stream.

        Raises:
            EngineError: there is no such profile, or not enough device memory.
        """
        if not 0 <= profile < self.profiles:
            raise EngineError(f"there is no profile {profile}: the plan has {self.profiles} profiles, from 0")
        engine = self._engine
        context = engine.create_execution_context() if self._config is None else engine.create_execution_context(self._config)
        if context is None:
            raise EngineError(f"no execution context can be created, usually for lack of device memory: {self.last_error()}")
        try:
            accepted = context.set_optimization_profile_async(profile, stream)
        except RuntimeError as error:  # some versions raise instead of returning False
            raise EngineError(f"profile {profile} cannot be set: {error}") from error
        if not accepted:
            raise EngineError(f"profile {profile} cannot be set: {self.last_error()}")
        self.device.synchronize(stream)
        return Context(self, context, profile, stream=stream)


class Context:
    """An engine ready to run in one profile, with reusable buffers. Used by one thread at a time."""

    def __init__(self, owner: Engine, context: bindings.Context, profile: int, *, stream: int) -> None:
        self.engine, self.raw, self.profile, self.stream = owner, context, profile, stream
        self.limits = owner.limits(profile)
        self._buffers: dict[str, _Buffer] = {}
        self._allocators: dict[str, _Allocator] = {}

    def refusal(self, shapes: Mapping[str, Shape]) -> str | None:
        """Return the reason why this profile does not accept inputs of these shapes; `None` if it accepts them."""
        for name, shape in shapes.items():
            low, _, high = self.limits[name]
            inside = len(shape) == len(low) and all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True))
            if not inside:
                return f"input '{name}' has shape {list(shape)}; profile {self.profile} takes {list(low)} to {list(high)}"
        return None

    def distance(self, shapes: Mapping[str, Shape]) -> int:
        """Return the sum of the distances from the profile's optimal sizes over all axes, as in Triton's native backend."""
        pairs = ((shape, self.limits[name][1]) for name, shape in shapes.items())
        return sum(abs(size - usual) for shape, best in pairs for size, usual in zip(shape, best, strict=True))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs of a batch; the returned arrays own their memory.

        Raises:
            EngineError: the engine does not accept the inputs, or the run fails.
            CudaError: a call to the device or a kernel fails.
        """
        self.upload(inputs)
        self.bind_outputs()
        self.enqueue()
        return self.download()

    def upload(self, inputs: Mapping[str, Array]) -> None:
        """Set the input shapes and enqueue the copies of the inputs."""
        self._check(inputs)
        context, device = self.raw, self.engine.device
        for name, array in inputs.items():
            tensor, plain = self.engine.inputs[name], np.ascontiguousarray(array).reshape(array.shape)
            if not context.set_input_shape(name, tuple(map(int, plain.shape))):
                raise EngineError(f"input '{name}': the engine refuses shape {list(plain.shape)}: {self.engine.last_error()}")
            buffer = self._buffer(name, plain.nbytes)
            if plain.nbytes:
                ctypes.memmove(buffer.host, plain.ctypes.data, plain.nbytes)
            if not tensor.on_host:
                device.upload(buffer.device, buffer.host, plain.nbytes, stream=self.stream)
            self._bind(name, buffer.host if tensor.on_host else buffer.device)

    def bind_outputs(self) -> None:
        """Allocate every output for the current input shapes; if a shape depends on values, TensorRT requests the memory later."""
        context = self.raw
        try:
            unknown = list(context.infer_shapes())
        except RuntimeError as error:  # some versions raise instead of returning names
            raise EngineError(f"profile {self.profile}: the output shapes cannot be inferred: {error}") from error
        if unknown:
            raise EngineError(f"missing shapes or values: {', '.join(unknown)}")
        for name, tensor in self.engine.outputs.items():
            shape = self.output_shape(name)
            if -1 in shape:
                self._allocate_later(name, tensor)
                continue
            buffer = self._buffer(name, _bytes(tensor, shape))
            self._bind(name, buffer.host if tensor.on_host else buffer.device)

    def enqueue(self) -> None:
        """Enqueue one run on the contents of the buffers, without waiting for it."""
        context = self.raw
        if not context.execute_async_v3(self.stream):
            raise EngineError(f"the engine does not run: {self.engine.last_error()}")

    def download(self) -> dict[str, Array]:
        """Copy the outputs to the host and wait for all work."""
        device, waiting = self.engine.device, {}
        if self._allocators:
            device.synchronize(self.stream)  # shapes that depend on values are known only after the run
        for name, tensor in self.engine.outputs.items():
            shape = self._allocators[name].shape if name in self._allocators else self.output_shape(name)
            if shape is None or -1 in shape:
                raise EngineError(f"output '{name}': the engine reported no shape")
            size, buffer = _bytes(tensor, shape), self._buffers[name]
            if buffer.size < size:
                raise EngineError(f"output '{name}' has shape {list(shape)}, but TensorRT did not request memory for it")
            if not tensor.on_host:
                device.download(buffer.host, buffer.device, size, stream=self.stream)
            waiting[name] = (tensor, shape, size, buffer)
        device.synchronize(self.stream)
        return {name: _array(tensor, shape, size, buffer=buffer) for name, (tensor, shape, size, buffer) in waiting.items()}

    def output_shape(self, name: str) -> Shape:
        """Return the shape of an output for the current input shapes; an axis that depends on values is -1."""
        context = self.raw
        return tuple(int(size) for size in context.get_tensor_shape(name))

    def release(self) -> None:
        """Free the buffers and the context."""
        self.engine.device.synchronize(self.stream)
        self.raw = None  # type: ignore[assignment] # TensorRT frees it with the last reference
        for buffer in self._buffers.values():
            buffer.release()
        self._buffers.clear()
        self._allocators.clear()

    def _check(self, inputs: Mapping[str, Array]) -> None:
        known = self.engine.inputs
        if set(inputs) != set(known):
            raise EngineError(f"the plan has inputs {', '.join(sorted(known))}; found {', '.join(sorted(inputs))}")
        for name, array in inputs.items():
            expected = NUMPY[known[name].dtype]
            if str(array.dtype) != expected:
                raise EngineError(f"input '{name}' is {known[name].dtype} ({expected}) in the plan; found {array.dtype}")
        problem = self.refusal({name: tuple(array.shape) for name, array in inputs.items()})
        if problem:
            raise EngineError(problem)

    def _bind(self, name: str, address: int) -> None:
        context = self.raw
        if not context.set_tensor_address(name, address):
            raise EngineError(f"tensor '{name}': its address cannot be set: {self.engine.last_error()}")

    def _buffer(self, name: str, size: int) -> _Buffer:
        buffer = self._buffers.setdefault(name, _Buffer(self.engine.device))
        buffer.reserve(size)
        return buffer

    def _allocate_later(self, name: str, tensor: Tensor) -> None:
        trt, context = self.engine.trt, self.raw
        if tensor.on_host or not hasattr(trt, "IOutputAllocator"):
            raise EngineError(f"output '{name}' has a shape that depends on values, which {trt.__name__} does not support here")
        if name not in self._allocators:  # set once: the bindings keep another reference on every call
            allocator = _allocator(trt, self._buffers.setdefault(name, _Buffer(self.engine.device)))
            if not context.set_output_allocator(name, allocator):
                raise EngineError(f"output '{name}': its allocator cannot be set: {self.engine.last_error()}")
            self._allocators[name] = allocator
        self._allocators[name].shape = None


class _Buffer:
    """Device memory and pinned host memory of the same size, which grow as needed and never shrink."""

    def __init__(self, device: Device) -> None:
        self._owner = device
        self.size = self.host = self.device = 0

    def reserve(self, size: int) -> None:
        """Reserve at least `size` bytes. Growing changes addresses and contents, so no work may use the buffer then."""
        if size <= self.size and self.device:
            return
        self.release()
        self.host = self._owner.allocate_host(size)
        self.device = self._owner.allocate(size)
        self.size = size

    def release(self) -> None:
        """Free the device memory and the host memory."""
        host, device = self.host, self.device
        self.size = self.host = self.device = 0
        if device:
            self._owner.free(device)
        if host:
            self._owner.free_host(host)


class _Allocator(Protocol):
    """tritonize's implementation of `IOutputAllocator`."""

    shape: Shape | None
    """The shape that TensorRT reported for the output; `None` before the run."""


class _Log(Protocol):
    """tritonize's implementation of `ILogger`."""

    def last(self) -> str:
        """Return the last error."""

    def why(self) -> str:
        """Return the last warnings and errors, joined."""


def _allocator(trt: TensorRT, buffer: _Buffer) -> _Allocator:
    """Create an allocator that provides memory when TensorRT requests it during the run, and stores the output's shape."""

    class Allocator(trt.IOutputAllocator):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.shape: Shape | None = None

        def reallocate_output(self, _name: str, _memory: int, size: int, _alignment: int) -> int:
            try:
                buffer.reserve(int(size))
            except Exception:  # noqa: BLE001 - 0 tells TensorRT that there is no memory; exceptions must not cross it
                return 0
            return buffer.device

        def reallocate_output_async(self, name: str, memory: int, size: int, alignment: int, _stream: int) -> int:
            return self.reallocate_output(name, memory, size, alignment)

        def notify_shape(self, _name: str, shape: Sequence[int]) -> None:
            self.shape = tuple(int(each) for each in shape)

    return Allocator()


def _tensors(trt: TensorRT, engine: bindings.Engine) -> Iterator[Tensor]:
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = _member(engine.get_tensor_dtype(name))
        if dtype not in NUMPY:
            raise EngineError(f"tensor '{name}' has type {dtype}, which Triton tensors do not support")
        if _member(engine.get_tensor_format(name)) != "LINEAR":
            raise EngineError(f"tensor '{name}' has format {_member(engine.get_tensor_format(name))}; only LINEAR is served")
        yield Tensor(
            name=name,
            is_input=engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
            dtype=dtype,
            shape=tuple(int(size) for size in engine.get_tensor_shape(name)),
            on_host=engine.get_tensor_location(name) == trt.TensorLocation.HOST,
        )


def _runtime_config(trt: TensorRT, engine: bindings.Engine) -> bindings.RuntimeConfig | None:
    """Return the configuration for execution contexts; `None` for the module's default.

    By default TensorRT-RTX runs a fallback kernel while it compiles a kernel for the shapes, then switches. The served kernel
    would differ from the verified one, and results could change between two requests. EAGER compiles first.
    """
    strategies = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
    if strategies is None:
        return None
    config = engine.create_runtime_config()
    config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
    return config


def _member(value: object) -> str:
    return str(value).rpartition(".")[2]


def _bytes(tensor: Tensor, shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(NUMPY[tensor.dtype]).itemsize


def _array(tensor: Tensor, shape: Shape, size: int, *, buffer: _Buffer) -> Array:
    """Copy the buffer's contents to a new array, since the next run reuses the buffer."""
    array = np.empty(shape, np.dtype(NUMPY[tensor.dtype]))
    if size:
        ctypes.memmove(array.ctypes.data, buffer.host, size)
    return array


def _logger(trt: TensorRT, log: Callable[[str, str], None]) -> _Log:
    """Create a logger that stores errors: a failed call returns only None or False, and the reason goes to the logger."""

    class Logger(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.errors: deque[str] = deque(maxlen=_KEPT)
            self.problems: deque[str] = deque(maxlen=_KEPT)  # warnings too, in order

        def log(self, severity: object, message: str) -> None:
            name = _member(severity)
            if name in _PROBLEMS:
                self.problems.append(" ".join(message.split()))
            if name in _ERRORS:
                self.errors.append(" ".join(message.split()))
            if name != "VERBOSE":
                log(name, message)

        def last(self) -> str:
            return self.errors[-1] if self.errors else "no reason given"

        def why(self) -> str:
            return "; ".join(dict.fromkeys(self.problems))

    return Logger()


def _load_plugins(trt: TensorRT, logger: _Log, libraries: Sequence[str]) -> None:
    """Load the plugins that TensorRT includes, as Triton's native backend does, and the user's plugin libraries."""
    if trt.__name__ == "tensorrt" and hasattr(trt, "init_libnvinfer_plugins"):
        trt.init_libnvinfer_plugins(logger, "")
    for library in libraries:
        registry = trt.get_plugin_registry()
        if registry.load_library(str(library)) is None:
            raise EngineError(f"the plugin library {library} cannot be loaded: {logger.last()}")
