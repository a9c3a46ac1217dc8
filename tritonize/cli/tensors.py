"""A list of tensors on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonize.core.artifacts import TensorSpec

NAME = 24
"""Columns of a name; more where one is longer, so that its type never touches it."""


def lines(title: str, tensors: Sequence[TensorSpec]) -> Iterator[str]:
    """Name, element type and shape of each, in columns; no lines for an empty list."""
    if tensors:
        yield title
    width = max([NAME, *(len(tensor.name) + 2 for tensor in tensors)])
    for tensor in tensors:
        shape = f"[{', '.join(map(str, tensor.shape))}]" if tensor.shape else ""
        yield f"  {tensor.name:<{width}}{tensor.dtype:<10}{shape}".rstrip()
