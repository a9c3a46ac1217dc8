"""What a model keeps in Python beside its parameters and buffers: caches, counters, tables. Runs inside a worker.

PyTorch knows nothing of it, so an export holds what it was in the one run that it was made from.
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
"""Attributes that every module has, its parameters and buffers among them."""
_DEPTH = 6
"""How deep an attribute is looked into."""
_MOST = 20_000
"""How many values are looked at, so that a large table costs no seconds."""

State = Mapping[str, "Kept"]


@dataclass(frozen=True)
class Kept:
    """One attribute."""

    digest: int
    words: str
    """What it holds, short."""


def state(module: torch.nn.Module) -> dict[str, Kept]:
    """The attributes of a model's parts and of their classes, and the values in its own files, by their paths.

    What is deeper than 6 levels, or beyond 20,000 values, is left out.
    """
    seen = _Seen()
    return {name: Kept(seen.digest(value, _DEPTH), _words(value)) for name, value in _places(module)}


def changes(before: State, after: State) -> tuple[str, ...]:
    """What became another, or was added, with what it held before and after."""
    names = [name for name, kept in after.items() if name not in before or before[name].digest != kept.digest]
    return tuple(f"{name} ({_change(before.get(name), after[name])})" for name in names)


def _change(before: Kept | None, after: Kept) -> str:
    if before is None:
        return f"new: {after.words}"
    return f"{before.words}, then {after.words}" if before.words != after.words else f"{after.words}, with other values"


def _places(module: torch.nn.Module) -> Iterator[tuple[str, object]]:
    kinds: dict[type, None] = {}
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule | torch.fx.GraphModule):
            continue
        for name, value in vars(part).items():
            if name not in _OF_TORCH:
                yield f"{path}.{name}" if path else name, value
        kinds.update(dict.fromkeys(each for each in type(part).__mro__ if each.__module__.partition(".")[0] != "torch"))
    for kind in kinds:
        yield from ((f"{kind.__qualname__}.{name}", each) for name, each in vars(kind).items() if _holds(name, each))
    for name in dict.fromkeys(kind.__module__ for kind in kinds):
        space = vars(sys.modules[name]) if name in sys.modules else {}
        if space.get("__file__") and not origins.is_installed(space["__file__"]):
            yield from ((f"{name}:{each}", value) for each, value in space.items() if _holds(each, value))


def _holds(name: str, value: object) -> bool:
    """Whether a value of a class or a file is data, or a function with a cache."""
    if hasattr(value, "cache_info"):
        return True
    code = (FunctionType, ModuleType, type, staticmethod, classmethod, property, torch.nn.Module)
    return not name.startswith("__") and not isinstance(value, code) and not callable(value)


class _Seen:
    """Digests of values, within the bound of all of them together."""

    def __init__(self) -> None:
        self._left = _MOST
        self._inside: set[int] = set()

    def digest(self, value: object, depth: int) -> int:
        """The same for the same content."""
        self._left -= 1
        if depth < 0 or self._left < 0 or id(value) in self._inside:
            return 0
        if isinstance(value, torch.Tensor):
            return _of_tensor(value)
        if isinstance(value, np.ndarray):
            content = value.tobytes() if value.dtype != object else repr(value).encode()
            return zlib.crc32(content, zlib.crc32(f"{value.dtype}{value.shape}".encode()))
        if isinstance(value, str | bytes | bool | int | float | complex | None):
            return zlib.crc32(repr(value).encode())
        self._inside.add(id(value))
        try:
            parts = [self.digest(each, depth - 1) for each in _parts(value)]
        finally:
            self._inside.discard(id(value))
        return zlib.crc32(f"{type(value).__qualname__}{sorted(parts) if isinstance(value, Set) else parts}".encode())


def _parts(value: object) -> Iterator[object]:
    """What a container or an object holds, in order."""
    if hasattr(value, "cache_info"):
        with contextlib.suppress(TypeError):
            yield value.cache_info().currsize
    elif isinstance(value, Mapping):
        for key, each in list(value.items()):
            yield key
            yield each
    elif isinstance(value, Sequence | Set | deque):
        yield from list(value)
    elif isinstance(value, functools.partial):
        yield from (value.args, value.keywords)
    elif isinstance(value, torch.Generator):
        yield value.get_state()
    elif not isinstance(value, type | ModuleType | FunctionType):
        yield from list(getattr(value, "__dict__", {}).values())


def _of_tensor(tensor: torch.Tensor) -> int:
    about = zlib.crc32(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    with contextlib.suppress(Exception):  # a kind whose bytes cannot be read
        return zlib.crc32(str(module_state.checksum("", tensor)).encode(), about)
    return about


def _words(value: object) -> str:
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
