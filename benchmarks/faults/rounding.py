"""Rounding as a fault: to TF32 what enters a product, to half precision what every layer answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.faults.layers import Product
from benchmarks.faults.surgery import WEIGHTED, Put, all_of, matrices


def tf32(x: Tensor) -> Tensor:
    """To a significand of 11 bits, to nearest: Veltkamp's splitting, which is plain arithmetic and so can be exported."""
    factor = 2.0**42 + 1 if x.dtype == torch.float64 else 2.0**13 + 1
    wide = x * factor
    return wide - (wide - x)


def _through(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    return lambda x: x.to(dtype).to(x.dtype)


def _rounded(value: Any, rounding: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return rounding(value) if value.is_floating_point() else value
    return type(value)(_rounded(each, rounding) for each in value)


def _round_weights(module: nn.Module, rounding: Callable[[Tensor], Tensor]) -> None:
    for weight in (weight for layer in all_of(module, WEIGHTED) for weight in matrices(layer)):
        weight.copy_(rounding(weight))


def to_tf32(module: nn.Module, generator: np.random.Generator) -> bool:  # noqa: ARG001
    """What enters a convolution or a matrix product, as a GPU with TF32 takes it."""
    _round_weights(module, tf32)
    for layer in all_of(module, (*WEIGHTED, Product)):
        layer.register_forward_pre_hook(lambda _, given: _rounded(given, tf32))
    return True


def to_half(dtype: torch.dtype) -> Put:
    """All weights of layers, and what every layer answers."""

    def put(module: nn.Module, generator: np.random.Generator) -> bool:  # noqa: ARG001
        rounding = _through(dtype)
        _round_weights(module, rounding)
        for layer in module.modules():
            if not list(layer.children()):
                layer.register_forward_hook(lambda _, given, answered: _rounded(answered, rounding))  # noqa: ARG005
        return True

    return put
