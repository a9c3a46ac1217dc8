"""Types of the part of TensorRT's Python bindings that tritonize uses; `tensorrt` and `tensorrt_rtx` ship no types and share them.

Only the type checker reads this module; nothing imports it at run time. `tests/unit/backends/test_plan_contract.py` compares the
members that tritonize uses with the bindings of every supported version. Some members exist only in some versions; code checks for
them with `hasattr` first. Members of enumerations are `object`s, which are only passed on and compared.
"""

# ruff: noqa: D102 - NVIDIA documents the methods
from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol


class Log(Protocol):
    """`ILogger`, the base class of tritonize's loggers."""


class BuildLog(Log, Protocol):
    """The log of a build, see `plans/worker/build_plan.py`."""

    errors: list[str]
    problems: deque[str]

    def note(self, line: str) -> None: ...


class Flags(Protocol):
    """Enumerations; code accesses their members by name."""

    TF32: object
    JSON: object
    ONELINE: object
    DETAILED: object
    INPUT: object
    HOST: object
    NATIVE_INSTANCENORM: object


class Registry(Protocol):
    """`IPluginRegistry`."""

    all_creators: Sequence[Creator]
    plugin_creator_list: Sequence[Creator]

    def load_library(self, plugin_path: str, /) -> object | None: ...


class Creator(Protocol):
    """`IPluginCreator`."""

    name: str


class Tensor(Protocol):
    """`ITensor`."""

    name: str
    dtype: object
    shape: Sequence[int]


class Network(Protocol):
    """`INetworkDefinition`."""

    name: str
    num_inputs: int
    num_outputs: int

    def get_input(self, index: int, /) -> Tensor: ...
    def get_output(self, index: int, /) -> Tensor: ...


class ParserError(Protocol):
    """`ParserError`; version 8.6 lacks `node_operator` and `node_name`."""

    def desc(self) -> str: ...
    def node_operator(self) -> str: ...
    def node_name(self) -> str: ...


class Parser(Protocol):
    """`OnnxParser`."""

    num_errors: int

    def set_flag(self, flag: object, /) -> None: ...
    def parse_from_file(self, path: str, /) -> bool: ...
    def supports_operator(self, name: str, /) -> bool: ...
    def supports_model_v2(self, model: bytes, path: str, /) -> bool: ...
    def get_error(self, index: int, /) -> ParserError: ...


class TimingCache(Protocol):
    """`ITimingCache`."""

    def combine(self, other: TimingCache, ignore_mismatch: bool, /) -> bool: ...
    def serialize(self) -> bytes: ...


class Profile(Protocol):
    """`IOptimizationProfile`."""

    def set_shape(self, name: str, low: Sequence[int], usual: Sequence[int], high: Sequence[int], /) -> None: ...


class BuilderConfig(Protocol):
    """`IBuilderConfig`."""

    num_compute_capabilities: int
    builder_optimization_level: int
    max_aux_streams: int
    profiling_verbosity: object
    hardware_compatibility_level: object
    plugins_to_serialize: Sequence[str]
    progress_monitor: object

    def set_compute_capability(self, capability: object, index: int, /) -> bool: ...
    def set_memory_pool_limit(self, pool: object, size: int, /) -> None: ...
    def set_flag(self, flag: object, /) -> None: ...
    def clear_flag(self, flag: object, /) -> None: ...
    def add_optimization_profile(self, profile: Profile, /) -> int: ...
    def create_timing_cache(self, content: bytes, /) -> TimingCache | None: ...
    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool, /) -> bool: ...
    def get_timing_cache(self) -> TimingCache: ...


class Builder(Protocol):
    """`Builder`."""

    def create_network(self, flags: int, /) -> Network: ...
    def create_builder_config(self) -> BuilderConfig: ...
    def create_optimization_profile(self) -> Profile: ...
    def get_plugin_registry(self) -> Registry: ...
    def build_serialized_network(self, network: Network, config: BuilderConfig, /) -> bytes | None: ...
    def build_serialized_network_to_stream(self, network: Network, config: BuilderConfig, writer: object, /) -> bool: ...


class RuntimeConfig(Protocol):
    """`IRuntimeConfig` of TensorRT-RTX."""

    dynamic_shapes_kernel_specialization_strategy: object


class Inspector(Protocol):
    """`EngineInspector`."""

    execution_context: object

    def get_engine_information(self, layout: object, /) -> str: ...


class Engine(Protocol):
    """`ICudaEngine`."""

    num_io_tensors: int
    num_optimization_profiles: int

    def get_tensor_name(self, index: int, /) -> str: ...
    def get_tensor_dtype(self, name: str, /) -> object: ...
    def get_tensor_format(self, name: str, /) -> object: ...
    def get_tensor_mode(self, name: str, /) -> object: ...
    def get_tensor_location(self, name: str, /) -> object: ...
    def get_tensor_shape(self, name: str, /) -> Sequence[int]: ...
    def get_tensor_profile_shape(self, name: str, profile: int, /) -> Sequence[Sequence[int]]: ...
    def create_engine_inspector(self) -> Inspector: ...
    def create_runtime_config(self) -> RuntimeConfig: ...
    def create_execution_context(self, config: RuntimeConfig = ..., /) -> Context | None: ...


class Context(Protocol):
    """`IExecutionContext`."""

    def set_optimization_profile_async(self, profile: int, stream: int, /) -> bool: ...
    def set_input_shape(self, name: str, shape: Sequence[int], /) -> bool: ...
    def set_tensor_address(self, name: str, address: int, /) -> bool: ...
    def set_output_allocator(self, name: str, allocator: object, /) -> bool: ...
    def get_tensor_shape(self, name: str, /) -> Sequence[int]: ...
    def infer_shapes(self) -> Iterable[str]: ...
    def execute_async_v3(self, stream: int, /) -> bool: ...


class Runtime(Protocol):
    """`Runtime`."""

    engine_host_code_allowed: bool

    def deserialize_cuda_engine(self, plan: bytes, /) -> Engine | None: ...


class TensorRT(Protocol):
    """The Python module `tensorrt` or `tensorrt_rtx`."""

    __name__: str
    __version__: str
    ILogger: type
    IProgressMonitor: type
    IStreamWriter: type
    IOutputAllocator: type
    BuilderFlag: Flags
    ProfilingVerbosity: Flags
    LayerInformationFormat: Flags
    TensorIOMode: Flags
    TensorLocation: Flags
    OnnxParserFlag: Flags
    DataType: object
    NetworkDefinitionCreationFlag: object

    def Builder(self, logger: Log, /) -> Builder: ...  # noqa: N802 - a class of the module
    def Runtime(self, logger: Log, /) -> Runtime: ...  # noqa: N802
    def OnnxParser(self, network: Network, logger: Log, /) -> Parser: ...  # noqa: N802
    def get_plugin_registry(self) -> Registry: ...
    def init_libnvinfer_plugins(self, logger: Log, namespace: str, /) -> bool: ...
