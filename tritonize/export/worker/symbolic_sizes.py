"""Keep sizes symbolic through the Python of a model that would turn them into numbers while it is captured.

`len(x)`, `int(x.shape[1] / 2)` and pooling over `x.shape[-1]` fix a dynamic axis, or fail, in torch.export. While a model is
captured these names mean, in the model's own modules alone, functions that return a symbolic size for a symbolic size.
Each was found on a published network. What comes of it is proven like every other export.
"""

from __future__ import annotations

import builtins
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name


@contextlib.contextmanager
def kept(module: torch.nn.Module) -> Iterator[None]:
    """While the module is captured: sizes stay sizes through len(), int() and pooling in its own code."""
    owners = {sys.modules[type(part).__module__] for part in module.modules() if type(part).__module__ in sys.modules}
    with contextlib.ExitStack() as stack:
        for owner in sorted(owners, key=lambda each: each.__name__):
            if owner.__name__.partition(".")[0] not in ("torch", "tritonize"):
                for name, replacement in (("len", _len), ("int", _Int)):
                    if name not in vars(owner):  # a model's own `len` is its own affair
                        stack.enter_context(mock.patch.object(owner, name, replacement, create=True))
        for name, pool in _pools().items():
            stack.enter_context(mock.patch.object(F, name, pool))
        yield


def _len(value: Any) -> Any:
    return value.shape[0] if isinstance(value, Tensor) else builtins.len(value)


class _IntType(type):
    """Makes `isinstance(3, int)` true where `int` is our name for it."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, builtins.int)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, builtins.int)

    def __call__(cls, value: Any = 0, *base: Any) -> Any:
        if isinstance(value, torch.SymInt):
            return value
        if isinstance(value, torch.SymFloat):
            return torch.sym_int(value)  # type: ignore[no-untyped-call]
        return builtins.int(value, *base)


class _Int(metaclass=_IntType):
    """`int`, but for symbolic numbers."""


def _pools() -> dict[str, Callable[..., Any]]:
    """torch.nn.functional's pooling functions, by name, with symbolic windows."""
    reductions: dict[str, Callable[[Tensor, Sequence[int]], Tensor]] = {
        "avg": lambda x, axes: x.mean(tuple(axes), keepdim=True),
        "max": lambda x, axes: x.amax(tuple(axes), keepdim=True),
    }
    originals = {f"{kind}_pool{axes}d": getattr(F, f"{kind}_pool{axes}d") for kind in reductions for axes in (1, 2, 3)}
    originals["max_pool1d"] = _max_pool1d
    return {name: _pool(original, int(name[-2]), reductions[name[:3]]) for name, original in originals.items()}


def _pool(original: Callable[..., Any], axes: int, reduce: Callable[[Tensor, Sequence[int]], Tensor]) -> Callable[..., Any]:
    """Pooling whose window is the whole picture, and dynamic, is a reduction."""

    def pool(x: Tensor, kernel_size: Any, *args: Any, **options: Any) -> Any:
        window = tuple(kernel_size) if isinstance(kernel_size, tuple | list) else (kernel_size,) * axes
        dynamic = any(isinstance(size, torch.SymInt) for size in window)
        if dynamic and not args and not options and all(bool(a == b) for a, b in zip(window, x.shape[-axes:], strict=True)):
            return reduce(x, range(-axes, 0))
        return original(x, kernel_size, *args, **options)

    return pool


def _max_pool1d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As max_pool2d, since torch.export fixes the length of the former's input and not of the latter's."""

    def one(value: Any) -> Any:
        return value[0] if isinstance(value, tuple | list) else value

    if return_indices:
        return torch.max_pool1d_with_indices(x, kernel_size, stride, padding, dilation, ceil_mode)
    step = kernel_size if stride is None or stride == [] else stride
    y = torch.max_pool2d(x.unsqueeze(-2), (1, one(kernel_size)), (1, one(step)), (0, one(padding)), (1, one(dilation)), ceil_mode)
    return y.squeeze(-2)
