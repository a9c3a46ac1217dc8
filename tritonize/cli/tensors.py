"""Format a list of tensors for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tritonize.core import served_shape

if TYPE_CHECKING:
    from tritonize.core.artifacts import TensorSpec

NAME = 24
"""Smallest width of the name column; longer names widen it."""


def lines(title: str, tensors: Sequence[TensorSpec], *, batched: bool = False) -> Iterator[str]:
    """One line per tensor with name, element type and shape, below a title; nothing for an empty list.

    Args:
        batched: whether the first axis is the batch: then a tensor without another axis has the shape that clients use, too.
    """
    if tensors:
        yield title
    width = max([NAME, *(len(tensor.name) + 2 for tensor in tensors)])
    for tensor in tensors:
        shape = f"[{', '.join(map(str, tensor.shape))}]" if tensor.shape else ""
        served = served_shape.note(tensor.shape, batched=True) if batched else ""
        yield f"  {tensor.name:<{width}}{tensor.dtype:<10}{shape}{f', {served}' if served else ''}".rstrip()
