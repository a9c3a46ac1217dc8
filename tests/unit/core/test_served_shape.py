"""The shape in which clients send a tensor without an axis besides the batch."""

from __future__ import annotations

from tritonize.cli import tensors
from tritonize.core import served_shape
from tritonize.core.artifacts import TensorSpec


def test_only_a_tensor_without_an_axis_besides_the_batch_has_another_shape() -> None:
    assert served_shape.note(["batch"], batched=True) == "served as [batch, 1]"
    assert served_shape.note([], batched=False) == "served as [1]"
    assert served_shape.note(["batch", 3], batched=True) == served_shape.note([3], batched=False) == ""


def test_a_list_of_tensors_says_it_where_the_first_axis_is_the_batch() -> None:
    scale = [TensorSpec(name="scale", dtype="fp32", shape=("n",))]
    assert list(tensors.lines("inputs", scale, batched=True))[1].endswith("[n], served as [n, 1]")
    assert list(tensors.lines("inputs", scale))[1].endswith("[n]")
