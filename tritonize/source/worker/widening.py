"""A module's parameters and buffers in another precision, without changing what they stand for; runs inside a worker.

`Module.to(torch.float64)` makes complex numbers real, and 8-bit floating types, which hold encoded weights, numbers of another
type than the model's code decodes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

NUMBERS = frozenset((torch.float64, torch.float32, torch.float16, torch.bfloat16))
"""The real types whose elements are plain numbers, in whatever width."""
_COMPLEX = {torch.float64: torch.complex128}
"""Half precision has no complex type that PyTorch computes in: complex weights stay as they are there."""


def to_precision(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Give every real and complex parameter and buffer that precision; whole numbers and encoded weights stay as they are."""

    def converted(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype in NUMBERS:
            return tensor.to(dtype)
        return tensor.to(_COMPLEX.get(dtype, tensor.dtype)) if tensor.is_complex() else tensor

    module._apply(converted)  # type: ignore[no-untyped-call]


def weights(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """The parameters and buffers that hold numbers: complex ones as pairs of real ones, in the same memory."""
    for each in (*module.parameters(), *module.buffers()):
        if torch.nn.parameter.is_lazy(each) or each.is_meta or each.layout != torch.strided:
            continue
        if each.is_complex() and not each.is_conj():
            yield torch.view_as_real(each.detach())
        elif each.dtype in NUMBERS:
            yield each.detach()
