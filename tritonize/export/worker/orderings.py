"""Decompose sorting operators (stable sort, median, kthvalue) into a plain sort, which ONNX has."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def _sort(x: Tensor, *, stable: bool | None, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """Use a plain sort, which becomes ONNX's TopK; TopK keeps tied values in the order of their positions."""
    values, index = x.sort(dim, descending)
    return values, index


def _argsort(x: Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> Tensor:  # noqa: ARG001
    """Return the index of `_sort`."""
    return x.sort(dim, descending)[1]


def _median(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Return the lower median, as PyTorch does."""
    return _smallest(x, (x.shape[dim] + 1) // 2, dim, keepdim)


def _smallest(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Return the k-th smallest value, counted from 1, and its index."""
    values, index = x.sort(dim)
    values, index = values.narrow(dim, k - 1, 1), index.narrow(dim, k - 1, 1)
    return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))


TABLE: dict[object, Callable[..., object]] = {
    torch.ops.aten.sort.stable: _sort,
    torch.ops.aten.argsort.stable: _argsort,
    torch.ops.aten.median.dim: _median,
    torch.ops.aten.kthvalue.default: _smallest,
}
