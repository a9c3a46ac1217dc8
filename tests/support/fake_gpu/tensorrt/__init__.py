"""A stand-in for the Python package `tensorrt` in tests without a GPU: its "plans" hold the ONNX file, which ONNX Runtime runs.

It takes what TensorRT's bindings take, in their order and types (`python/src/infer/pyCore.cpp`), and is strict about it; memory and
streams are those of the stand-in for the driver, `libcuda.c`. What it proves: the wiring around an engine, from profiles to
addresses to answers. What it does not prove: anything about TensorRT.
"""

from __future__ import annotations

import ctypes
import enum
import importlib.util
import json
import os
import struct
import sys
from pathlib import Path

import numpy as np

_VERSION = (10, 16, 1, 11)
__version__ = ".".join(map(str, _VERSION))
_NUMPY = {"FLOAT": "float32", "HALF": "float16", "INT32": "int32", "INT64": "int64", "BOOL": "bool"}
_ONNX = {
    "tensor(float)": "FLOAT",
    "tensor(float16)": "HALF",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
}
_driver = None


def _cuda():
    global _driver
    if _driver is None:
        _driver = ctypes.CDLL(os.environ.get("TRITONIZE_LIBCUDA") or "libcuda.so.1")
    return _driver


def _enum(name, *members):
    return enum.Enum(name, members, module=__name__)


DataType = _enum("DataType", "FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", "FP8", "BF16", "INT64", "INT4")
TensorIOMode = _enum("TensorIOMode", "NONE", "INPUT", "OUTPUT")
TensorLocation = _enum("TensorLocation", "DEVICE", "HOST")
TensorFormat = _enum("TensorFormat", "LINEAR", "CHW32")
LayerInformationFormat = _enum("LayerInformationFormat", "ONELINE", "JSON")
ProfilingVerbosity = _enum("ProfilingVerbosity", "LAYER_NAMES_ONLY", "NONE", "DETAILED")
BuilderFlag = _enum("BuilderFlag", "TF32", "VERSION_COMPATIBLE", "STRIP_PLAN", "REFIT", "WEIGHT_STREAMING", "DISABLE_TIMING_CACHE")
MemoryPoolType = _enum("MemoryPoolType", "WORKSPACE", "TACTIC_SHARED_MEMORY")


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self):
        pass


class IOutputAllocator:
    def __init__(self):
        pass


registered = []
"""The namespaces of which the plugins that come with it were registered."""


def init_libnvinfer_plugins(logger, namespace):
    assert isinstance(logger, ILogger) and isinstance(namespace, str)
    registered.append(namespace)
    return True


def _session(content, packages=None):
    """`packages` is where the builder found ONNX Runtime; the server's Python has none, and keeps its own NumPy."""
    if packages and importlib.util.find_spec("onnxruntime") is None:
        sys.path.append(packages)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class _Tensor:
    def __init__(self, described):
        self.name, self.dtype = described.name, DataType[_ONNX[described.type]]
        self.names = described.shape
        self.shape = tuple(size if isinstance(size, int) else -1 for size in described.shape)


class Creator:
    """Of a plugin."""

    def __init__(self, name):
        self.name = name


class _Registry:
    """Takes libraries that are there, and the one of TensorRT's own that its loader finds by its name."""

    all_creators: tuple[Creator, ...] = ()

    def load_library(self, plugin_path):
        assert isinstance(plugin_path, str)
        return object() if plugin_path == "libnvinfer_plugin.so.10" or Path(plugin_path).is_file() else None


def get_plugin_registry():
    return _Registry()


class _RuntimeConfig:
    """Of modules that specialize kernels, which TensorRT is not: a test gives it their enumeration."""

    def __init__(self):
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY  # noqa: F821


def _require_driver(logger):
    assert isinstance(logger, ILogger)
    if os.environ.get("FAKE_GPU_OLD_DRIVER"):  # as pybind11 reports that the factory returned null
        logger.log(ILogger.Severity.WARNING, "CUDA driver version is insufficient for CUDA runtime version")
        logger.log(ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")


class Runtime:
    def __init__(self, logger):
        _require_driver(logger)
        self._logger, self.engine_host_code_allowed = logger, False

    def deserialize_cuda_engine(self, plan):
        plan = bytes(memoryview(plan))
        if plan[:4] != b"ftrt":
            self._logger.log(ILogger.Severity.ERROR, "deserializeCudaEngine: magic tag does not match")
            return None
        (size,) = struct.unpack_from("<Q", plan, 36)
        return _Engine(json.loads(plan[44 : 44 + size]), plan[44 + size :], self._logger)


class _Engine:
    def __init__(self, known, content, logger):
        self.session = _session(content, known.get("packages"))
        self.profiles, self.detailed, self.logger = known["profiles"], known["detailed"], logger
        self.inputs = {each.name: each for each in map(_Tensor, self.session.get_inputs())}
        self.outputs = {each.name: each for each in map(_Tensor, self.session.get_outputs())}
        self.tensors = {**self.inputs, **self.outputs}
        ends = [(name, end) for profile in self.profiles for name, shapes in profile.items() for end in shapes]
        pairs = {pair for name, end in ends for pair in zip(self.inputs[name].names, end, strict=True)}
        sizes = {axis: [size for each, size in pairs if each == axis] for axis, _ in pairs}
        self.fixed = {axis: found[0] for axis, found in sizes.items() if isinstance(axis, str) and len(found) == 1}
        self.num_io_tensors, self.num_optimization_profiles = len(self.tensors), max(1, len(self.profiles))

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return self.tensors[name].dtype

    def get_tensor_shape(self, name):
        """An axis that all profiles give one size has that size."""
        return tuple(size if isinstance(size, int) else self.fixed.get(size, -1) for size in self.tensors[name].names)

    def get_tensor_format(self, name):
        return TensorFormat.LINEAR

    def get_tensor_location(self, name):
        return TensorLocation.DEVICE

    def get_tensor_profile_shape(self, name, profile_index):
        if not self.profiles:
            return [self.tensors[name].shape] * 3
        return [tuple(shape) for shape in self.profiles[profile_index][name]]

    def create_runtime_config(self):
        return _RuntimeConfig()

    def create_execution_context(self, runtime_config=None):
        return _Context(self, runtime_config)

    def create_engine_inspector(self):
        return _Inspector(self)


class _Inspector:
    def __init__(self, engine):
        self._engine, self.execution_context = engine, None

    def get_engine_information(self, format):  # noqa: A002 - its name in TensorRT
        if format is LayerInformationFormat.ONELINE:
            return "whole network"
        if not self._engine.detailed:
            return json.dumps({"Layers": ["whole network"], "Bindings": list(self._engine.tensors)})
        said = {"FLOAT": "Float", "HALF": "Half"}
        unknown = "N/A due to dynamic shapes"

        def told(tensors):
            known = self.execution_context is not None
            return [
                {"Name": each.name, "Format/Datatype": said.get(each.dtype.name, unknown) if known else unknown} for each in tensors
            ]

        layer = {"Name": "whole", "LayerType": "gemm"}
        layer |= {"Inputs": told(self._engine.inputs.values()), "Outputs": told(self._engine.outputs.values())}
        return json.dumps({"Layers": [layer], "Bindings": list(self._engine.tensors)})


class _Context:
    def __init__(self, engine, config):
        self.engine, self.profile, self.shapes, self.addresses, self.allocators = engine, None, {}, {}, {}
        self.kept, self.kept_allocators = [], []
        strategies = globals().get("DynamicShapesKernelSpecializationStrategy")
        chosen = config.dynamic_shapes_kernel_specialization_strategy if config else None
        self.fallback = strategies is not None and chosen is not strategies.EAGER

    def set_optimization_profile_async(self, profile_index, stream_handle):
        assert isinstance(stream_handle, int) and 0 <= profile_index < self.engine.num_optimization_profiles
        self.profile = profile_index
        return True

    def set_input_shape(self, name, shape):
        assert isinstance(shape, tuple) and all(type(size) is int for size in shape)
        if self.engine.profiles:
            low, _, high = self.engine.get_tensor_profile_shape(name, self.profile)
            if not all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True)):
                self.engine.logger.log(ILogger.Severity.ERROR, f"setInputShape: {name} is not in the profile")
                return False
        self.shapes[name] = shape
        return True

    def infer_shapes(self):
        return [name for name in self.engine.inputs if name not in self.shapes]

    def get_tensor_shape(self, name):
        if name in self.shapes:
            return self.shapes[name]
        sizes = {}
        for each in self.engine.inputs.values():
            sizes.update(zip(each.names, self.shapes[each.name], strict=True))
        return tuple(size if isinstance(size, int) else sizes.get(size, -1) for size in self.engine.tensors[name].names)

    def set_tensor_address(self, name, memory):
        assert type(memory) is int and memory % 256 == 0
        self.addresses[name] = memory
        return True

    def set_output_allocator(self, name, output_allocator):
        assert isinstance(output_allocator, IOutputAllocator)
        self.allocators[name] = output_allocator
        self.kept_allocators.append(output_allocator)  # the bindings' keep_alive, of which every call adds one
        return True

    def execute_async_v3(self, stream_handle):
        if os.environ.get("FAKE_GPU_CRASH"):
            os.kill(os.getpid(), 11)
        stream = ctypes.c_void_p(stream_handle)
        missing = set(self.engine.tensors) - set(self.addresses) - set(self.allocators)
        if missing:
            self.engine.logger.log(ILogger.Severity.ERROR, f"enqueueV3: no address is set for {sorted(missing)}")
            return False
        if self.allocators:  # a shape that depends on values: TensorRT waits for them too
            _cuda().cuStreamSynchronize(stream)
            self._work(stream_handle)
            return True
        launch = ctypes.CFUNCTYPE(None)(lambda: self._work(stream_handle))
        self.kept.append(launch)
        return _cuda().fakeLaunch(stream, launch) == 0

    def _work(self, stream):
        feeds = {}
        for name, tensor in self.engine.inputs.items():
            dtype = np.dtype(_NUMPY[tensor.dtype.name])
            size = int(np.prod(self.shapes[name], dtype=np.int64)) * dtype.itemsize
            assert _cuda().fakeIsDevice(ctypes.c_uint64(self.addresses[name]), ctypes.c_size_t(size))
            feeds[name] = np.frombuffer(ctypes.string_at(self.addresses[name], size), dtype).reshape(self.shapes[name])
        found = self.engine.session.run(list(self.engine.outputs), feeds)
        for name, array in zip(self.engine.outputs, found, strict=True):
            array = np.ascontiguousarray(array)
            if name in self.allocators:
                allocator = self.allocators[name]
                self.addresses[name] = allocator.reallocate_output_async(name, 0, array.nbytes, 256, stream)
                allocator.notify_shape(name, array.shape)
            assert _cuda().fakeIsDevice(ctypes.c_uint64(self.addresses[name]), ctypes.c_size_t(array.nbytes))
            factor = float(os.environ.get("FAKE_GPU_ERROR", "1"))
            if self.fallback:  # another kernel's bits, until the right one is compiled
                factor *= 1.0001
            array = np.ascontiguousarray((array * array.dtype.type(factor)) if factor != 1 else array)
            ctypes.memmove(self.addresses[name], array.ctypes.data, array.nbytes)
        self.fallback = False


class _Loose:
    """Takes every call of a builder's configuration that is not looked at, and notes it."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given: self.calls.append(
            [name, *(each.name if isinstance(each, enum.Enum) else str(each) for each in given)]
        )


class _Config(_Loose):
    def __init__(self):
        self.calls = []
        self.profiles, self.profiling_verbosity = [], ProfilingVerbosity.LAYER_NAMES_ONLY

    def add_optimization_profile(self, profile):
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, content):
        return _Cache()

    def set_timing_cache(self, cache, ignore_mismatch):
        assert isinstance(cache, _Cache) and not ignore_mismatch
        return True

    def get_timing_cache(self):
        return _Cache()


class _Cache:
    def serialize(self):
        return b"cache"


class _Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, name, low, usual, high):
        self.shapes[name] = [tuple(low), tuple(usual), tuple(high)]


class _Network:
    content = b""

    def read(self, path):
        self.take(Path(path).read_bytes())

    def take(self, content):
        self.content = content
        session = _session(self.content)
        self.inputs = [_Tensor(each) for each in session.get_inputs()]
        self.outputs = [_Tensor(each) for each in session.get_outputs()]
        self.num_inputs, self.num_outputs = len(self.inputs), len(self.outputs)

    def get_input(self, index):
        return self.inputs[index]

    def get_output(self, index):
        return self.outputs[index]


class OnnxParser:
    num_errors = 0

    def __init__(self, network, logger):
        self._network = network

    def supports_operator(self, name):
        return True

    def parse(self, content):
        self._network.take(bytes(content))
        return True

    def parse_from_file(self, path):
        self._network.read(path)
        return True


class Builder:
    def __init__(self, logger):
        _require_driver(logger)
        self.logger = logger

    def get_plugin_registry(self):
        return _Registry()

    def create_network(self, flags):
        return _Network()

    def create_builder_config(self):
        return _Config()

    def create_optimization_profile(self):
        return _Profile()

    def build_serialized_network(self, network, config):
        header = bytearray(36)
        header[:4], header[24:28] = b"ftrt", bytes(_VERSION)
        known = {
            "profiles": config.profiles,
            "detailed": config.profiling_verbosity is ProfilingVerbosity.DETAILED,
            "calls": config.calls,
            "packages": str(Path(importlib.util.find_spec("onnxruntime").origin).parents[1]),
        }
        told = json.dumps(known).encode()
        return bytes(header) + struct.pack("<Q", len(told)) + told + network.content
