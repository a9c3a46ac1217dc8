"""What a worker does to reduce a file's precision, as both sides see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonize.core.artifacts import TensorSpec
from tritonize.onnx_model.tasks import INLINE_LIMIT
from tritonize.process.tasks import Task

HalfPrecision = Literal["fp16", "bf16"]


@dataclass(frozen=True, kw_only=True)
class ReduceRequest:
    """The finished file, and where the reduced one and its emulation go."""

    source: Path
    node_map: Path | None
    path: Path
    emulation: Path
    """In the folder of `path`: they share a file of weights where there is one."""
    precision: HalfPrecision
    keep_nodes: tuple[str, ...] = ()
    keep_operators: tuple[str, ...] = ()
    half_io: bool = False
    inline_limit: int = INLINE_LIMIT
    """Bytes of weights above which they go into a file of their own."""


@dataclass(frozen=True, kw_only=True)
class ReduceAnswer:
    """What the reduced file says of itself, after it was written and loaded again."""

    opset: int
    ir_version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reduced: int
    """Nodes that take half-precision tensors, without casts."""
    kept: Mapping[str, int]
    """Reason to number of nodes that were float32 and are so still."""
    casts: int
    """Added between the two."""
    data: str | None
    """Name of the file beside it that holds the weights."""
    node_map: str
    """Name of the file beside it that says where its nodes come from."""
    library_seconds: float


REDUCE = Task(
    name="tritonize.precision.tasks:REDUCE",
    function="tritonize.precision.worker.reduction:reduce",
    request=ReduceRequest,
    answer=ReduceAnswer,
    writes=("path", "emulation"),
)
