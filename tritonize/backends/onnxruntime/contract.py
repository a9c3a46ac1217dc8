"""Compare a model configuration with an ONNX model, by the rules of Triton's native ONNX Runtime backend.

The configuration is the plain data that Triton passes to a backend: the JSON form of `ModelConfig`. Every function raises
`ValueError` with a text that names the tensor, the value in the configuration and the value in the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime as ort

if TYPE_CHECKING:
    from tritonize.backends.python_backend import NodeArg

Config = Mapping[str, Any]  # JSON of Triton's, whose fields of a hundred kinds are looked at where they are used

TYPES = {
    "tensor(float)": "TYPE_FP32",
    "tensor(float16)": "TYPE_FP16",
    "tensor(bfloat16)": "TYPE_BF16",
    "tensor(double)": "TYPE_FP64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(bool)": "TYPE_BOOL",
    "tensor(string)": "TYPE_STRING",
}

_CONTROL_TYPES = {"fp32_false_true": "TYPE_FP32", "int32_false_true": "TYPE_INT32", "bool_false_true": "TYPE_BOOL"}
_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


def model_file(config: Config, version_directory: Path) -> Path:
    """The ONNX file to load: `default_model_filename`, else model.onnx; in a directory of that name, its model.onnx."""
    path = version_directory / (config.get("default_model_filename") or "model.onnx")
    if path.is_dir():
        path /= "model.onnx"
    if not path.is_file():
        raise ValueError(f"there is no file {path.relative_to(version_directory)} in version directory {version_directory.name}")
    return path


def session_options(config: Config) -> ort.SessionOptions:
    """ONNX Runtime's options for the configuration's `parameters`, `optimization` and `model_operations`."""
    options = ort.SessionOptions()
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = _GRAPH_LEVELS.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    mode = _integer(config, "execution_mode")
    if mode not in (0, 1):
        raise ValueError(f"parameter execution_mode: expected 0 (sequential) or 1 (parallel), found {mode}")
    options.execution_mode = ort.ExecutionMode.ORT_PARALLEL if mode else ort.ExecutionMode.ORT_SEQUENTIAL
    # A count of 0 leaves the choice to ONNX Runtime.
    options.intra_op_num_threads = max(0, _integer(config, "intra_op_thread_count"))
    options.inter_op_num_threads = max(0, _integer(config, "inter_op_thread_count"))
    if (arena := _boolean(config, "enable_mem_arena")) is not None:
        options.enable_cpu_mem_arena = arena
    if (pattern := _boolean(config, "enable_mem_pattern")) is not None:
        options.enable_mem_pattern = pattern
    key = "session.use_device_allocator_for_initializers"
    if (entry := parameter(config, key)) is not None:
        options.add_session_config_entry(key, entry)
    for library in config.get("model_operations", {}).get("op_library_filename", []):
        options.register_custom_ops_library(library)
    return options


def run_options(config: Config) -> ort.RunOptions:
    """ONNX Runtime's options for every run."""
    options = ort.RunOptions()
    key = "memory.enable_memory_arena_shrinkage"
    if (entry := parameter(config, key)) is not None:
        options.add_run_config_entry(key, entry)
    return options


def check(config: Config, session: ort.InferenceSession) -> None:
    """Compare names, types and dims of the configuration with the loaded model; raises for the first disagreement."""
    _check_supported(config)
    batched = int(config.get("max_batch_size", 0)) > 0
    model_inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    controls = _controls(config)
    required = [entry["name"] for entry in config.get("input", []) if not entry.get("optional")] + list(controls)
    _same_names(required, list(model_inputs))
    overridable = {tensor.name: tensor for tensor in session.get_overridable_initializers()}
    for entry in config.get("input", []):
        if entry.get("optional") and batched:
            raise ValueError(f"input '{entry['name']}': an optional input is not possible in a model with batching")
        _check_tensor("input", entry, {**model_inputs, **overridable}, batched=batched)
    for name, control in controls.items():
        _check_control(name, control, model_inputs, batched=batched)
    model_outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    for entry in config.get("output", []):
        _check_tensor("output", entry, model_outputs, batched=batched)


def parameter(config: Config, name: str) -> str | None:
    """The text of one of the configuration's `parameters`."""
    value = config.get("parameters", {}).get(name)
    return None if value is None else str(value.get("string_value", ""))


def _integer(config: Config, name: str) -> int:
    text = parameter(config, name)
    try:
        return 0 if text is None else int(text)
    except ValueError:
        raise ValueError(f"parameter {name}: expected a whole number, found '{text}'") from None


def _boolean(config: Config, name: str) -> bool | None:
    text = parameter(config, name)
    if text is None:
        return None
    if text.lower() not in ("true", "1", "false", "0"):
        raise ValueError(f"parameter {name}: expected true or false, found '{text}'")
    return text.lower() in ("true", "1")


def _check_supported(config: Config) -> None:
    """Refuse features of stock Triton that a Python-based backend cannot provide, so that results cannot differ silently."""
    refused = []
    if config.get("batch_input") or config.get("batch_output"):
        refused.append("batch_input and batch_output")
    if any(entry.get("allow_ragged_batch") for entry in config.get("input", [])):
        refused.append("allow_ragged_batch")
    if config.get("sequence_batching", {}).get("state"):
        refused.append("sequence_batching.state")
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    refused += [name for name in ("cpu_execution_accelerator", "gpu_execution_accelerator") if accelerators.get(name)]
    if refused:
        raise ValueError(f"the embedded server does not support {', '.join(refused)}; stock Triton's native backend may")


def _controls(config: Config) -> dict[str, Config]:
    """The inputs that the sequence batcher adds to every request, by name."""
    entries = config.get("sequence_batching", {}).get("control_input", [])
    return {entry["name"]: entry["control"][0] for entry in entries if entry.get("control")}


def _same_names(configured: Sequence[str], modelled: Sequence[str]) -> None:
    if sorted(configured) == sorted(modelled):
        return
    texts = [f"the configuration has inputs {_list(configured)}, the model has {_list(modelled)}"]
    if extra := [name for name in configured if name not in modelled]:
        texts.append(f"not in the model: {_list(extra)}")
    if missing := [name for name in modelled if name not in configured]:
        texts.append(f"not in the configuration: {_list(missing)}")
    if len(set(configured)) < len(configured):
        texts.append("a name appears twice")
    raise ValueError("; ".join(texts))


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _check_tensor(kind: str, entry: Config, tensors: Mapping[str, NodeArg], *, batched: bool) -> None:
    """Check that one input or output exists in the model with the same type and dims.

    A dynamic axis of the model accepts any dim of an input; the dims of an output must equal the model's, including -1.
    """
    name = entry["name"]
    if name not in tensors:
        raise ValueError(f"{kind} '{name}' is not in the model, which has {_list(list(tensors))}")
    tensor = tensors[name]
    if entry["data_type"] != TYPES.get(tensor.type):
        found = TYPES.get(tensor.type, tensor.type)
        raise ValueError(f"{kind} '{name}': the configuration says {entry['data_type']}, the model has {found}")
    dims = [int(dim) for dim in entry.get("reshape", {}).get("shape", entry.get("dims", []))]
    shape = [dim if isinstance(dim, int) and dim >= 0 else -1 for dim in tensor.shape or []]
    if not shape:  # a scalar of the model is served with dims of 1
        if batched or any(dim != 1 for dim in dims):
            raise ValueError(
                f"{kind} '{name}' is a scalar in the model: it needs dims of 1 and max_batch_size 0, "
                f"the configuration says {dims}{' with batching' if batched else ''}"
            )
        return
    full = [-1, *dims] if batched else dims
    if batched and shape[0] != -1:
        raise ValueError(f"{kind} '{name}': for batching its first dimension must be dynamic, the model has {shape}")
    same = len(full) == len(shape) and all(
        ours == theirs or (kind == "input" and theirs == -1) for ours, theirs in zip(full, shape, strict=True)
    )
    if not same:
        first = " (the batch first)" if batched else ""
        raise ValueError(f"{kind} '{name}': the configuration says dims {full}{first}, the model has {shape}")


def _check_control(name: str, control: Config, inputs: Mapping[str, NodeArg], *, batched: bool) -> None:
    """Check that a control input of the sequence batcher has one element per request and the configured type."""
    tensor = inputs[name]
    shape = list(tensor.shape or [])[1 if batched else 0 :]
    if shape != [1]:
        raise ValueError(f"sequence control '{name}': dims [1] are expected, the model has {shape}")
    data_type = next((_CONTROL_TYPES[key] for key in _CONTROL_TYPES if control.get(key)), control.get("data_type"))
    if data_type != TYPES.get(tensor.type):
        found = TYPES.get(tensor.type, tensor.type)
        raise ValueError(f"sequence control '{name}': the configuration says {data_type}, the model has {found}")
