"""Find Python attributes that a model changes when it runs, besides parameters and buffers: caches, counters, tables. In a worker.

PyTorch does not track them, so an exported file contains their values from the exported run.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from types import FunctionType, ModuleType

import numpy as np
import torch

from tritonize.onnx_model.worker import origins
from tritonize.source.worker import module_state

_OF_TORCH = frozenset(vars(torch.nn.Module())) | {"_compiled_call_impl"}
"""Attributes that every module has, including its parameters and buffers."""
_DEPTH = 6
"""Levels of nesting that are inspected in an attribute."""
_MOST_VALUES = 20_000
"""Number of values that are inspected in total, so that a large table does not take seconds."""

State = Mapping[str, "Attribute"]


@dataclass(frozen=True)
class Attribute:
    """The value of an attribute."""

    digest: int
    """Checksum of the contents."""
    description: str
    """Short description of the value."""


def state(module: torch.nn.Module) -> dict[str, Attribute]:
    """Return the attributes of a model's parts, of their classes, and of the Python files that define them, by path.

    Values deeper than 6 levels, or after the first 20,000 values, are not inspected.
    """
    digester = _Digester()
    return {name: Attribute(digester.digest(value, _DEPTH), _describe(value)) for name, value in _attributes(module)}


def changes(before: State, after: State) -> tuple[str, ...]:
    """Describe the attributes that changed or were added, with their values before and after."""
    names = [name for name, attribute in after.items() if name not in before or before[name].digest != attribute.digest]
    return tuple(f"{name} ({_change(before.get(name), after[name])})" for name in names)


def _change(before: Attribute | None, after: Attribute) -> str:
    if before is None:
        return f"new: {after.description}"
    return (
        f"{before.description}, then {after.description}"
        if before.description != after.description
        else f"{after.description}, with other values"
    )


def _attributes(module: torch.nn.Module) -> Iterator[tuple[str, object]]:
    """Yield path and value of every attribute that may hold state."""
    kinds: dict[type, None] = {}
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule | torch.fx.GraphModule):
            continue
        for name, value in vars(part).items():
            if name not in _OF_TORCH:
                yield f"{path}.{name}" if path else name, value
        kinds.update(dict.fromkeys(base for base in type(part).__mro__ if base.__module__.partition(".")[0] != "torch"))
    for kind in kinds:
        yield from ((f"{kind.__qualname__}.{name}", value) for name, value in vars(kind).items() if _is_data(name, value))
    for module_name in dict.fromkeys(kind.__module__ for kind in kinds):
        variables = vars(sys.modules[module_name]) if module_name in sys.modules else {}
        if variables.get("__file__") and not origins.is_installed(variables["__file__"]):
            yield from ((f"{module_name}:{name}", value) for name, value in variables.items() if _is_data(name, value))


def _is_data(name: str, value: object) -> bool:
    """Return whether a variable of a class or a module is data, or a function with a cache."""
    if hasattr(value, "cache_info"):
        return True
    code = (FunctionType, ModuleType, type, staticmethod, classmethod, property, torch.nn.Module)
    return not name.startswith("__") and not isinstance(value, code) and not callable(value)


class _Digester:
    """Computes checksums of values, up to a total number of values."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES
        self._inside: set[int] = set()

    def digest(self, value: object, depth: int) -> int:
        """Return a checksum of the contents; 0 beyond the limits, and for a value inside itself."""
        self._left -= 1
        if depth < 0 or self._left < 0 or id(value) in self._inside:
            return 0
        if isinstance(value, torch.Tensor):
            return _tensor_digest(value)
        if isinstance(value, np.ndarray):
            content = value.tobytes() if value.dtype != object else repr(value).encode()
            return zlib.crc32(content, zlib.crc32(f"{value.dtype}{value.shape}".encode()))
        if isinstance(value, str | bytes | bool | int | float | complex | None):
            return zlib.crc32(repr(value).encode())
        self._inside.add(id(value))
        try:
            parts = [self.digest(part, depth - 1) for part in _parts(value)]
        finally:
            self._inside.discard(id(value))
        return zlib.crc32(f"{type(value).__qualname__}{sorted(parts) if isinstance(value, Set) else parts}".encode())


def _parts(value: object) -> Iterator[object]:
    """Yield the values inside a container or an object, in order."""
    if hasattr(value, "cache_info"):
        with contextlib.suppress(TypeError):
            yield value.cache_info().currsize
    elif isinstance(value, Mapping):
        for key, item in list(value.items()):
            yield key
            yield item
    elif isinstance(value, Sequence | Set | deque):
        yield from list(value)
    elif isinstance(value, functools.partial):
        yield from (value.args, value.keywords)
    elif isinstance(value, torch.Generator):
        yield value.get_state()
    elif not isinstance(value, type | ModuleType | FunctionType):
        yield from list(getattr(value, "__dict__", {}).values())


def _tensor_digest(tensor: torch.Tensor) -> int:
    about = zlib.crc32(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    with contextlib.suppress(Exception):  # a kind of tensor whose bytes cannot be read
        return zlib.crc32(str(module_state.checksum("", tensor)).encode(), about)
    return about


def _describe(value: object) -> str:
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{'tensor' if isinstance(value, torch.Tensor) else 'array'} of shape {list(value.shape)}"
    if isinstance(value, bool | int | float | complex | None):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 24 else f"{value[:23]}…")
    if hasattr(value, "cache_info"):
        return "a function's cache"
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, Mapping | Sequence | Set | deque) else kind
