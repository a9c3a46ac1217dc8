"""Select the plan that a model configuration refers to and compare both, by the rules of Triton's native backend.

The configuration is the JSON form of `ModelConfig` that Triton passes to a backend. Every function raises `ValueError` with a text
that names the tensor or file, the value in the configuration and the value in the plan.

Source: triton-inference-server/tensorrt_backend, `src/model_state.cc` and `src/instance_state.cc`.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from tritonize.backends.plans.runner import Context, Engine, Shape, Tensor

PACKAGES = "TRITONIZE_TENSORRT"
"""Variable with the folders of the TensorRT packages that are installed with tritonize, formatted like PATH."""
PLUGINS = "TRITONIZE_PLUGINS"
"""Variable with the paths of plugin libraries, formatted like PATH; metadata names them without their folders."""
_PREFIXES = ("tensorrt", "nvidia")  # of package names: bindings, libraries, the CUDA runtime
_MAGIC = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
TYPES = {
    "TYPE_FP32": "FLOAT",
    "TYPE_FP16": "HALF",
    "TYPE_BF16": "BF16",
    "TYPE_INT8": "INT8",
    "TYPE_UINT8": "UINT8",
    "TYPE_INT32": "INT32",
    "TYPE_INT64": "INT64",
    "TYPE_BOOL": "BOOL",
}

_NO_GPU = re.compile(r"^[^#\n]*\bkind\s*:\s*(KIND_CPU|KIND_MODEL|2|3)\b", re.MULTILINE)

Config = Mapping[str, Any]  # the JSON form of ModelConfig, whose many fields have different types


def plan_file(config: Config, version_directory: Path, compute_capability: str) -> Path:
    """Return the plan for a GPU: its entry in `cc_model_filenames`, else `default_model_filename`, else model.plan."""
    by_capability: Mapping[str, str] = config.get("cc_model_filenames") or {}
    name = by_capability.get(compute_capability) or config.get("default_model_filename") or "model.plan"
    path = version_directory / name
    if not path.is_file():
        known = ", ".join(sorted(by_capability))
        others = f"; the configuration names plans for compute capability {known}" if known else ""
        raise ValueError(
            f"there is no file {name} in version directory {version_directory.name} for a GPU of compute capability "
            f"{compute_capability}{others}"
        )
    return path


def metadata(plan: Path) -> Config:
    """Return the metadata that tritonize wrote next to the plan; empty if the file does not exist."""
    path = plan.with_name(f"{plan.name}.json")
    if not path.is_file():
        return {}
    known: Config = json.loads(path.read_text(encoding="utf-8"))
    return known


def check_version(plan: Path, module: str, version: str, *, known: Config) -> None:
    """Refuse a plan of another module or version before TensorRT refuses it with a less specific error."""
    with plan.open("rb") as file:
        start = file.read(28)
    owner = _MAGIC.get(start[:4])
    if owner is None or len(start) < 28:
        return  # an unknown header: TensorRT reports the error
    built = ".".join(map(str, start[24:28]))
    if owner != module:
        raise ValueError(f"{plan.name} is a plan of {owner} {built}, which {module} does not load")
    parts = version.split(".")  # TensorRT 8.6 reports three of the four numbers
    if built.split(".")[: len(parts)] != parts and not known.get("settings", {}).get("version_compatible"):
        raise ValueError(
            f"{plan.name} was built by {module} {built}, and this server has {version}; a plan loads only in the same version"
        )


def allow_packages(variable: str = PACKAGES) -> None:
    """Import TensorRT's packages from tritonize's environment; all other packages, such as NumPy, stay the server's own."""
    folders = [each for each in os.environ.get(variable, "").split(os.pathsep) if each]
    if folders and not any(isinstance(each, _Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, _Finder(folders))


def plugins(names: Sequence[str], variable: str = PLUGINS) -> tuple[str, ...]:
    """Return the paths of plugin libraries by their names in the metadata.

    A name that the variable does not list is returned unchanged; the loader finds TensorRT's own libraries by name.
    """
    files = [each for each in os.environ.get(variable, "").split(os.pathsep) if each]
    known = {Path(each).name: each for each in reversed(files)}
    return tuple(known.get(name, name) for name in names)


class _Finder:
    """Finds top-level packages of TensorRT in the given folders, with precedence over `sys.path`."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = list(folders)

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """The protocol of `sys.meta_path`."""
        if path is not None or not name.startswith(_PREFIXES):
            return None
        return importlib.machinery.PathFinder.find_spec(name, self._folders, target)


def profiles(config: Config, instance: str, count: int) -> tuple[int, ...]:
    """Return the profiles of an instance: those of its instance group, else the first one.

    TensorRT-RTX uses all profiles, since Triton accepts the field only with `platform: "tensorrt_plan"` (core's
    `model_config_utils.cc`).

    Args:
        config: the model configuration.
        instance: the name of the instance, which Triton builds as `<group>_<number>`.
        count: the number of profiles in the plan.
    """
    if config.get("backend") == "tensorrt_rtx":
        return tuple(range(count))
    named = [group for group in config.get("instance_group", []) if instance.startswith(f"{group.get('name', '')}_")]
    group: Config = max(named, key=lambda each: len(each.get("name", "")), default={})
    found = []
    for text in group.get("profile") or ["0"]:
        if not str(text).isdigit() or int(text) >= count:
            raise ValueError(f"instance_group: profile '{text}' is not in the plan, which has {count} profiles, from 0")
        found.append(int(text))
    return tuple(dict.fromkeys(found))


def check(config: Config, engine: Engine, chosen: Sequence[int]) -> None:
    """Compare names, types, dims and batch size of the configuration with the plan; raises ValueError for the first difference."""
    limit = int(config.get("max_batch_size", 0))
    _same_names([entry["name"] for entry in config.get("input", [])], list(engine.inputs))
    for kind, tensors in (("input", engine.inputs), ("output", engine.outputs)):
        for entry in config.get(kind, []):
            if entry["name"] not in tensors:
                raise ValueError(f"{kind} '{entry['name']}' is not in the plan, which has {_list(list(tensors))}")
            _check_tensor(kind, entry, tensors[entry["name"]], batched=limit > 0)
    limits = [engine.limits(profile) for profile in chosen]
    largest = max((min(each[name][2][0] for name in each) for each in limits if each), default=limit) if limit else 0
    if limit > largest:
        named = ", ".join(map(str, chosen))
        raise ValueError(f"max_batch_size is {limit}; the profiles {named} of the plan take at most {largest}")
    for entry in config.get("input", []):
        _check_profiles(entry, [each[entry["name"]] for each in limits], batched=limit > 0)


def check_groups(text: str) -> None:
    """Refuse instances that stock Triton refuses for plans.

    Args:
        text: the content of config.pbtxt. The configuration that Triton passes to backends is not usable here, since Triton has
            filled in the kind of groups without one: KIND_CPU if it finds no GPU.
    """
    if found := _NO_GPU.search(text):
        kind = {"2": "KIND_CPU", "3": "KIND_MODEL"}.get(found[1], found[1])
        raise ValueError(f"instance_group: the kind is {kind}, but plans run only on GPUs: write KIND_GPU, or remove the kind")


def check_supported(config: Config) -> None:
    """Refuse features of stock Triton that a Python-based backend cannot provide, so that results cannot differ silently."""
    refused = []
    if config.get("batch_input") or config.get("batch_output"):
        refused.append("batch_input and batch_output")
    if any(entry.get("allow_ragged_batch") for entry in config.get("input", [])):
        refused.append("allow_ragged_batch")
    if any(entry.get("is_non_linear_format_io") for kind in ("input", "output") for entry in config.get(kind, [])):
        refused.append("is_non_linear_format_io")
    if config.get("sequence_batching"):
        refused.append("sequence_batching")
    if refused:
        raise ValueError(f"the embedded server does not support {', '.join(refused)}; stock Triton's native backend may")


def nearest(contexts: Sequence[Context], shapes: Mapping[str, tuple[int, ...]]) -> Context:
    """Return the context whose profile accepts the shapes and has the optimal shapes nearest to them."""
    refusals = {context.profile: context.refusal(shapes) for context in contexts}
    fitting = [context for context in contexts if refusals[context.profile] is None]
    if not fitting:
        raise ValueError("; ".join(str(each) for each in refusals.values()))
    return min(fitting, key=lambda context: context.distance(shapes))


def _same_names(configured: Sequence[str], planned: Sequence[str]) -> None:
    if sorted(configured) != sorted(planned):
        raise ValueError(f"the configuration has inputs {_list(configured)}, the plan has {_list(planned)}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _dims(entry: Config) -> list[int]:
    return [int(dim) for dim in entry.get("reshape", {}).get("shape", entry.get("dims", []))]


def _check_tensor(kind: str, entry: Config, tensor: Tensor, *, batched: bool) -> None:
    name = entry["name"]
    if TYPES.get(entry["data_type"]) != tensor.dtype:
        raise ValueError(f"{kind} '{name}': the configuration says {entry['data_type']}, the plan has {tensor.dtype}")
    if not tensor.shape:  # a scalar of the plan is served with dims of 1
        if batched or any(dim != 1 for dim in _dims(entry)):
            raise ValueError(f"{kind} '{name}' is a scalar in the plan: it needs dims of 1 and max_batch_size 0")
        return
    full = [-1, *_dims(entry)] if batched else _dims(entry)
    # An axis that every profile fixes has a fixed size in the plan: the batch axis if every profile has batch size 1, and axes
    # that are -1 in the configuration.
    if len(full) != len(tensor.shape) or any(a != b for a, b in zip(full, tensor.shape, strict=True) if -1 not in (a, b)):
        first = " (the batch first)" if batched else ""
        raise ValueError(f"{kind} '{name}': the configuration says dims {full}{first}, the plan has {list(tensor.shape)}")


def _check_profiles(entry: Config, limits: Sequence[tuple[Shape, Shape, Shape]], *, batched: bool) -> None:
    """Check that a size that the configuration fixes lies within one of the profiles."""
    skip = 1 if batched else 0
    for axis, dim in enumerate(_dims(entry)):
        spans = [(low[axis + skip], high[axis + skip]) for low, _, high in limits if axis + skip < len(low)]
        if dim != -1 and spans and not any(low <= dim <= high for low, high in spans):
            words = ", ".join(f"{low} to {high}" for low, high in spans)
            raise ValueError(f"input '{entry['name']}': the configuration says {dim} on axis {axis}; the profiles take {words}")
