"""Decompose adaptive pooling to sizes that do not divide the input into operators that every exporter supports.

When an axis of n elements is pooled to m, the window of output i runs from floor(i n / m) to ceil((i + 1) n / m). The windows
differ in length, which no ONNX pooling operator supports, and PyTorch's own decomposition fixes the sizes of the trace. Here sizes
may be symbolic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any  # Any: sizes are numbers or symbols, which torch gives no common type

import torch
from torch import Tensor
from torch.fx.experimental.symbolic_shapes import statically_known_true

_aten = torch.ops.aten


def _bounds(size: Any, wanted: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the first index of every window, and the index behind its last one."""
    places = torch.arange(wanted, device=device)
    start = torch.div(places * size, wanted, rounding_mode="floor")
    end = torch.div((places + 1) * size + wanted - 1, wanted, rounding_mode="floor")
    return start, end


def _divides(x: Tensor, output_size: Sequence[object]) -> bool:
    """Whether all windows of each axis have the same length; PyTorch's own decomposition handles that case."""
    sizes = x.shape[x.dim() - len(output_size) :]
    return all(
        isinstance(size, int) and isinstance(out, int) and size % out == 0 for size, out in zip(sizes, output_size, strict=True)
    )


def _average(x: Tensor, output_size: Sequence[object]) -> object:
    """Average every window: multiply along each axis with a matrix that holds 1 / length inside every window."""
    if _divides(x, output_size):
        return NotImplemented
    for axis, wanted in enumerate(output_size, start=x.dim() - len(output_size)):
        size = x.shape[axis]
        if statically_known_true(wanted == size):
            continue
        if statically_known_true(wanted == 1):
            x = x.mean(axis, keepdim=True)
            continue
        start, end = _bounds(size, wanted, x.device)
        places = torch.arange(size, device=x.device)[:, None]
        inside = ((places >= start) & (places < end)).to(x.dtype)
        x = torch.matmul(x.transpose(axis, -1), inside / (end - start).to(x.dtype)).transpose(axis, -1)
    return x


def _largest(x: Tensor, output_size: Sequence[Any]) -> object:
    """Return the maximum of every window, and its index in the flattened pooled axes of the input."""
    first = x.dim() - len(output_size)
    sizes = x.shape[first:]
    total = 1
    for size in sizes:
        total = total * size
    where = torch.arange(total, device=x.device).reshape(sizes).expand(x.shape)
    for axis, wanted in reversed(list(enumerate(output_size, start=first))):
        size = x.shape[axis]
        if statically_known_true(wanted == size):
            continue
        start, end = _bounds(size, wanted, x.device)
        longest = (size + wanted - 1) // wanted + 1
        # A shorter window repeats its last index, which does not change its maximum.
        places = torch.minimum(start[:, None] + torch.arange(longest, device=x.device), end[:, None] - 1).reshape(-1)
        shape = (*x.shape[:axis], wanted, longest, *x.shape[axis + 1 :])
        x, found = x.index_select(axis, places).reshape(shape).max(axis + 1, keepdim=True)
        where = where.index_select(axis, places).reshape(shape).gather(axis + 1, found).squeeze(axis + 1)
        x = x.squeeze(axis + 1)
    return x, where


TABLE: dict[object, Callable[..., object]] = {
    _aten.adaptive_avg_pool1d.default: _average,
    _aten.adaptive_avg_pool2d.default: _average,
    _aten.adaptive_avg_pool3d.default: _average,
    _aten._adaptive_avg_pool2d.default: _average,
    _aten._adaptive_avg_pool3d.default: _average,
    _aten.adaptive_max_pool1d.default: _largest,
    _aten.adaptive_max_pool2d.default: _largest,
    _aten.adaptive_max_pool3d.default: _largest,
}
"""Decompositions by overload."""
