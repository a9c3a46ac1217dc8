"""Keep sizes symbolic in Python code that would turn them into numbers while torch.export captures the model.

`len(x)`, `int(x.shape[1] / 2)` and pooling over `x.shape[-1]` fix a dynamic axis, or fail, in torch.export. During the capture, the
model's own Python modules get replacements of these functions that return a symbolic size for a symbolic size. Each one is needed
by a published network. The exported file is compared with PyTorch like every other.
"""

from __future__ import annotations

import builtins
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any  # Any: sizes are numbers, symbols or lists of them, in torch's signatures as here
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name


@contextlib.contextmanager
def preserved(module: torch.nn.Module) -> Iterator[None]:
    """Replace len(), int() and pooling in the module's own code while it is captured, so that sizes stay symbolic."""
    owners = {sys.modules[type(part).__module__] for part in module.modules() if type(part).__module__ in sys.modules}
    with contextlib.ExitStack() as stack:
        for owner in sorted(owners, key=lambda each: each.__name__):
            if owner.__name__.partition(".")[0] not in ("torch", "tritonize"):
                for name, replacement in (("len", _len), ("int", _Int)):
                    if name not in vars(owner):  # keep a `len` that the model defines itself
                        stack.enter_context(mock.patch.object(owner, name, replacement, create=True))
        for name, pool in _pools().items():
            stack.enter_context(mock.patch.object(F, name, pool))
        yield


def _len(value: Any) -> Any:
    return value.shape[0] if isinstance(value, Tensor) else builtins.len(value)


class _IntType(type):
    """Make `isinstance(3, int)` true where `int` names the replacement."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, builtins.int)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, builtins.int)

    def __call__(cls, value: Any = 0, *base: object) -> object:
        if isinstance(value, torch.SymInt):
            return value
        if isinstance(value, torch.SymFloat):
            return torch.sym_int(value)  # type: ignore[no-untyped-call]
        return builtins.int(value, *base)


class _Int(metaclass=_IntType):
    """Replace `int`: it leaves symbolic numbers symbolic."""


def _pools() -> dict[str, Callable[..., object]]:
    """Return replacements of torch.nn.functional's pooling functions by name; they accept symbolic windows."""
    reductions: dict[str, Callable[[Tensor, Sequence[int]], Tensor]] = {
        "avg": lambda x, axes: x.mean(tuple(axes), keepdim=True),
        "max": lambda x, axes: x.amax(tuple(axes), keepdim=True),
    }
    originals = {f"{kind}_pool{axes}d": getattr(F, f"{kind}_pool{axes}d") for kind in reductions for axes in (1, 2, 3)}
    originals["max_pool1d"] = _max_pool1d
    return {name: _pool(original, int(name[-2]), reductions[name[:3]]) for name, original in originals.items()}


def _pool(original: Callable[..., object], axes: int, reduce: Callable[[Tensor, Sequence[int]], Tensor]) -> Callable[..., object]:
    """Wrap a pooling function: a dynamic window as large as the whole input becomes a reduction."""

    def pool(x: Tensor, kernel_size: object, *args: object, **options: object) -> object:
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
) -> object:
    """Use max_pool2d: torch.export fixes the input length of max_pool1d, and not of max_pool2d."""

    def one(value: object) -> Any:
        return value[0] if isinstance(value, tuple | list) else value

    if return_indices:
        return torch.max_pool1d_with_indices(x, kernel_size, stride, padding, dilation, ceil_mode)
    step = kernel_size if stride is None or stride == [] else stride
    y = torch.max_pool2d(x.unsqueeze(-2), (1, one(kernel_size)), (1, one(step)), (0, one(padding)), (1, one(dilation)), ceil_mode)
    return y.squeeze(-2)
