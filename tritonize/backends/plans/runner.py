"""One engine on one GPU: a plan deserialized, a context per optimization profile, answers to arrays.

One core for the modules `tensorrt` (8.6, 10, 11) and `tensorrt_rtx`, used by the worker that proves plans and by the backends
that serve them. It needs NumPy, of any version, and neither torch nor tritonize; the module and the device are handed in.
What a module lacks is asked of the module, never of its version.

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
"""Member of the module's DataType to NumPy's type; for BF16, which NumPy lacks, the bits."""

_KEPT = 3  # of the module's lines
_ERRORS = ("ERROR", "INTERNAL_ERROR")
_PROBLEMS = ("WARNING", *_ERRORS)

Array = np.ndarray
Shape = tuple[int, ...]


class EngineError(RuntimeError):
    """A plan that cannot be loaded or run, or inputs that it does not take; the text says which and why."""


class StartError(EngineError):
    """The module does not start on this machine, whatever the plan; mostly the GPU's driver is too old for it."""


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
    """A shape tensor, which TensorRT reads and writes in the host's memory."""


class Engine:
    """A deserialized plan.

    Args:
        trt: the module, `tensorrt` or `tensorrt_rtx`.
        device: a `cuda.Device` whose context is current.
        plan: the plan's bytes.
        plugins: libraries with plugins, loaded first.
        host_code: the plan is version-compatible: it carries code of its own, which is run only where this is said.
        log: told every line of the module, with its severity.

    Raises:
        StartError: the module does not start here.
        EngineError: the plan is not taken; with the module's own words.
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
        except TypeError as error:  # how the bindings tell that there is none; why, only the logger heard
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

    def said(self) -> str:
        """The module's last error, in its own words."""
        return str(self._logger.last())

    def limits(self, profile: int) -> dict[str, tuple[Shape, Shape, Shape]]:
        """The smallest, usual and largest shape of every input in a profile."""
        engine, found = self._engine, {}
        for each in self.inputs.values():
            told = [tuple(int(size) for size in shape) for shape in engine.get_tensor_profile_shape(each.name, profile)]
            # An engine without profiles may tell none; its shapes are fixed then.
            shapes = told if [len(shape) for shape in told] == [len(each.shape)] * 3 else [each.shape] * 3
            found[each.name] = (shapes[0], shapes[1], shapes[2])
        return found

    def information(self, ran: Context | None = None) -> tuple[str, str]:
        """What the engine's inspector says of its layers: as JSON, and in one line per layer.

        Args:
            ran: a context that has run: with its shapes the formats of dynamic tensors are known too.
        """
        trt, engine = self.trt, self._engine
        inspector = engine.create_engine_inspector()
        if ran is not None:
            inspector.execution_context = ran.raw
        formats = trt.LayerInformationFormat
        as_json = inspector.get_engine_information(formats.JSON)
        return str(as_json), str(inspector.get_engine_information(formats.ONELINE))

    def context(self, profile: int, stream: int) -> Context:
        """A context of its own for a profile; its work goes into the stream.

        Raises:
            EngineError: there is no such profile, or not enough device memory.
        """
        if not 0 <= profile < self.profiles:
            raise EngineError(f"the plan has {self.profiles} profiles, from 0; asked for {profile}")
        engine = self._engine
        context = engine.create_execution_context() if self._config is None else engine.create_execution_context(self._config)
        if context is None:
            raise EngineError(f"no execution context can be made, of which lack of device memory is the usual cause: {self.said()}")
        try:
            taken = context.set_optimization_profile_async(profile, stream)
        except RuntimeError as error:  # as some versions tell it
            raise EngineError(f"profile {profile} cannot be set: {error}") from error
        if not taken:
            raise EngineError(f"profile {profile} cannot be set: {self.said()}")
        self.device.synchronize(stream)
        return Context(self, context, profile, stream=stream)


class Context:
    """An engine ready to run in one profile, with buffers that are used again. One thread at a time."""

    def __init__(self, owner: Engine, context: bindings.Context, profile: int, *, stream: int) -> None:
        self.engine, self.raw, self.profile, self.stream = owner, context, profile, stream
        self.limits = owner.limits(profile)
        self._buffers: dict[str, _Buffer] = {}
        self._allocators: dict[str, _Allocator] = {}

    def refusal(self, shapes: Mapping[str, Shape]) -> str | None:
        """Why this profile does not take inputs of these shapes; `None` where it does."""
        for name, shape in shapes.items():
            low, _, high = self.limits[name]
            inside = len(shape) == len(low) and all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True))
            if not inside:
                return f"input '{name}' has shape {list(shape)}; profile {self.profile} takes {list(low)} to {list(high)}"
        return None

    def distance(self, shapes: Mapping[str, Shape]) -> int:
        """How far these shapes are from the profile's usual ones: the sum over all axes, as Triton's own backend has it."""
        pairs = ((shape, self.limits[name][1]) for name, shape in shapes.items())
        return sum(abs(size - usual) for shape, best in pairs for size, usual in zip(shape, best, strict=True))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of a batch, as arrays of the caller's own.

        Raises:
            EngineError: the inputs are not the engine's, or the run fails.
            CudaError: the device fails; an error of a kernel is told here too.
        """
        self.upload(inputs)
        self.bind_outputs()
        self.enqueue()
        return self.download()

    def upload(self, inputs: Mapping[str, Array]) -> None:
        """Set shapes and copy the inputs, in order of the stream."""
        self._check(inputs)
        context, device = self.raw, self.engine.device
        for name, array in inputs.items():
            tensor, plain = self.engine.inputs[name], np.ascontiguousarray(array).reshape(array.shape)
            if not context.set_input_shape(name, tuple(map(int, plain.shape))):
                raise EngineError(f"input '{name}': shape {list(plain.shape)} is not taken: {self.engine.said()}")
            buffer = self._buffer(name, plain.nbytes)
            if plain.nbytes:
                ctypes.memmove(buffer.host, plain.ctypes.data, plain.nbytes)
            if not tensor.on_host:
                device.upload(buffer.device, buffer.host, plain.nbytes, stream=self.stream)
            self._bind(name, buffer.host if tensor.on_host else buffer.device)

    def bind_outputs(self) -> None:
        """Memory for every output of the shapes that the inputs have now; where they depend on values, when TensorRT asks."""
        context = self.raw
        try:
            unknown = list(context.infer_shapes())
        except RuntimeError as error:  # as some versions tell it
            raise EngineError(f"profile {self.profile}: no shapes follow from those of the inputs: {error}") from error
        if unknown:
            raise EngineError(f"shapes or values are missing of {', '.join(unknown)}")
        for name, tensor in self.engine.outputs.items():
            shape = self.output_shape(name)
            if -1 in shape:
                self._allocate_later(name, tensor)
                continue
            buffer = self._buffer(name, _bytes(tensor, shape))
            self._bind(name, buffer.host if tensor.on_host else buffer.device)

    def enqueue(self) -> None:
        """Run once more on what lies in the buffers; does not wait for it."""
        context = self.raw
        if not context.execute_async_v3(self.stream):
            raise EngineError(f"the engine does not run: {self.engine.said()}")

    def download(self) -> dict[str, Array]:
        """Copy the outputs and wait for everything."""
        device, waiting = self.engine.device, {}
        if self._allocators:
            device.synchronize(self.stream)  # only then are their shapes known
        for name, tensor in self.engine.outputs.items():
            shape = self._allocators[name].shape if name in self._allocators else self.output_shape(name)
            if shape is None or -1 in shape:
                raise EngineError(f"output '{name}': the engine told no shape")
            size, buffer = _bytes(tensor, shape), self._buffers[name]
            if buffer.size < size:
                raise EngineError(f"output '{name}' has shape {list(shape)}, for which no memory was asked")
            if not tensor.on_host:
                device.download(buffer.host, buffer.device, size, stream=self.stream)
            waiting[name] = (tensor, shape, size, buffer)
        device.synchronize(self.stream)
        return {name: _array(tensor, shape, size, buffer=buffer) for name, (tensor, shape, size, buffer) in waiting.items()}

    def output_shape(self, name: str) -> Shape:
        """The shape that an output has for the inputs that are set."""
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
            wanted = NUMPY[known[name].dtype]
            if str(array.dtype) != wanted:
                raise EngineError(f"input '{name}' is {known[name].dtype} ({wanted}) in the plan; found {array.dtype}")
        problem = self.refusal({name: tuple(array.shape) for name, array in inputs.items()})
        if problem:
            raise EngineError(problem)

    def _bind(self, name: str, address: int) -> None:
        context = self.raw
        if not context.set_tensor_address(name, address):
            raise EngineError(f"tensor '{name}' does not take its memory: {self.engine.said()}")

    def _buffer(self, name: str, size: int) -> _Buffer:
        buffer = self._buffers.setdefault(name, _Buffer(self.engine.device))
        buffer.reserve(size)
        return buffer

    def _allocate_later(self, name: str, tensor: Tensor) -> None:
        trt, context = self.engine.trt, self.raw
        if tensor.on_host or not hasattr(trt, "IOutputAllocator"):
            raise EngineError(f"output '{name}' has a shape that depends on values, which {trt.__name__} gives no memory for")
        if name not in self._allocators:  # set once: the bindings keep one more reference for every time
            allocator = _allocator(trt, self._buffers.setdefault(name, _Buffer(self.engine.device)))
            if not context.set_output_allocator(name, allocator):
                raise EngineError(f"output '{name}' does not take an allocator: {self.engine.said()}")
            self._allocators[name] = allocator
        self._allocators[name].shape = None


class _Buffer:
    """Device memory, and pinned host memory of the same size, that grow and never shrink."""

    def __init__(self, device: Device) -> None:
        self._owner = device
        self.size = self.host = self.device = 0

    def reserve(self, size: int) -> None:
        """At least `size` bytes; addresses and content change where there were fewer. Nothing may be using it then."""
        if size <= self.size and self.device:
            return
        self.release()
        self.host = self._owner.allocate_host(size)
        self.device = self._owner.allocate(size)
        self.size = size

    def release(self) -> None:
        """Free both."""
        host, device = self.host, self.device
        self.size = self.host = self.device = 0
        if device:
            self._owner.free(device)
        if host:
            self._owner.free_host(host)


class _Allocator(Protocol):
    """An `IOutputAllocator` of ours."""

    shape: Shape | None


class _Log(Protocol):
    """An `ILogger` of ours."""

    def last(self) -> str:
        """The last error."""

    def why(self) -> str:
        """The problems so far."""


def _allocator(trt: TensorRT, buffer: _Buffer) -> _Allocator:
    """Gives TensorRT the memory it asks for while it runs, and keeps the shape that it tells."""

    class Allocator(trt.IOutputAllocator):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.shape: Shape | None = None

        def reallocate_output(self, _name: str, _memory: int, size: int, _alignment: int) -> int:
            try:
                buffer.reserve(int(size))
            except Exception:  # noqa: BLE001 - TensorRT takes 0 for "there is none", and nothing may be raised through it
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
            raise EngineError(f"tensor '{name}' has type {dtype}, which cannot be given or taken")
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
    """How contexts are made; `None` where the module's own way will do.

    TensorRT-RTX answers by a fallback kernel while it compiles one for the shapes, which then takes over: what was proven would
    not be what is served, and bits would change between two answers. Here it compiles first.
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
    """A copy of what lies in the buffer, which the next run uses again."""
    array = np.empty(shape, np.dtype(NUMPY[tensor.dtype]))
    if size:
        ctypes.memmove(array.ctypes.data, buffer.host, size)
    return array


def _logger(trt: TensorRT, log: Callable[[str, str], None]) -> _Log:
    """Errors arrive only here: a call that fails returns None or False."""

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
            return self.errors[-1] if self.errors else "it gives no reason"

        def why(self) -> str:
            return "; ".join(dict.fromkeys(self.problems))

    return Logger()


def _load_plugins(trt: TensorRT, logger: _Log, libraries: Sequence[str]) -> None:
    """The plugins that come with TensorRT, as Triton's own backend has them, and the user's."""
    if trt.__name__ == "tensorrt" and hasattr(trt, "init_libnvinfer_plugins"):
        trt.init_libnvinfer_plugins(logger, "")
    for library in libraries:
        registry = trt.get_plugin_registry()
        if registry.load_library(str(library)) is None:
            raise EngineError(f"the library of plugins {library} is not loaded: {logger.last()}")
