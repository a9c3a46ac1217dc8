"""Request and result of the worker task that reduces a file's precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonize.onnx_model.tasks import INLINE_LIMIT, WrittenFile
from tritonize.process.tasks import Task

HalfPrecision = Literal["fp16", "bf16"]


@dataclass(frozen=True, kw_only=True)
class ReduceRequest:
    """The finished file, and the paths for the reduced one and its emulation."""

    source: Path
    node_map: Path | None
    path: Path
    emulation: Path
    """In the folder of `path`, since both may refer to one file of weights."""
    precision: HalfPrecision
    keep_nodes: tuple[str, ...] = ()
    keep_operators: tuple[str, ...] = ()
    half_io: bool = False
    inline_limit: int = INLINE_LIMIT
    """Weights larger than this, in bytes, go into a file of their own."""


@dataclass(frozen=True, kw_only=True)
class ReduceResult(WrittenFile):
    """Properties of the reduced file."""

    reduced: int
    """Number of nodes with half-precision inputs, without casts."""
    kept: Mapping[str, int]
    """Number of nodes that stay in float32, by reason."""
    casts: int
    """Number of Cast nodes added between the precisions."""
    library_seconds: float


REDUCE = Task(
    name="tritonize.precision.tasks:REDUCE",
    function="tritonize.precision.worker.reduction:reduce",
    request=ReduceRequest,
    result=ReduceResult,
    writes=("path", "emulation"),
)
