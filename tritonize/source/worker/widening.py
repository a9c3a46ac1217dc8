"""Convert a module's parameters and buffers to another precision without changing their meaning; runs inside a worker.

`Module.to(torch.float64)` drops the imaginary part of complex tensors. It also converts 8-bit floating types, which hold encoded
weights, to a type that the model's code cannot decode.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

NUMBERS = frozenset((torch.float64, torch.float32, torch.float16, torch.bfloat16))
"""The real types whose elements are plain numbers."""
_COMPLEX = {torch.float64: torch.complex128}
"""Real type to complex type. PyTorch does not compute in half-precision complex types, so complex weights stay as they are."""


def to_precision(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Convert every real and complex parameter and buffer to that precision, in place. Integers and encoded weights stay."""

    def converted(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype in NUMBERS:
            return tensor.to(dtype)
        return tensor.to(_COMPLEX.get(dtype, tensor.dtype)) if tensor.is_complex() else tensor

    module._apply(converted)  # type: ignore[no-untyped-call]


def weights(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The parameters and buffers that hold numbers. They share memory with the module; complex ones are pairs of real numbers."""
    for tensor in (*module.parameters(), *module.buffers()):
        if torch.nn.parameter.is_lazy(tensor) or tensor.is_meta or tensor.layout != torch.strided:
            continue
        if tensor.is_complex() and not tensor.is_conj():
            yield torch.view_as_real(tensor.detach())
        elif tensor.dtype in NUMBERS:
            yield tensor.detach()
