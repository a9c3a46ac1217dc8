"""The shape in which clients send a tensor that has no axis besides the batch: Triton accepts no empty `dims`."""

from __future__ import annotations

from collections.abc import Sequence


def note(shape: Sequence[object], *, batched: bool) -> str:
    """Return `served as [batch, 1]` for the shape of a model's tensor `[batch]`, and for a scalar; empty for any other shape.

    Args:
        shape: sizes and names of axes, with the batch.
        batched: whether the first axis is the batch.
    """
    if len(shape) != int(batched):
        return ""
    return f"served as [{shape[0]}, 1]" if batched else "served as [1]"
