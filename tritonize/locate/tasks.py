"""Requests and results of the worker tasks that find the node that an error comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonize.core.artifacts import SampleSet
from tritonize.core.error_location import NodeError
from tritonize.process.tasks import Task
from tritonize.source.tasks import LoadRequest


@dataclass(frozen=True, kw_only=True)
class ModuleTensor:
    """One input or output tensor of one call of a module, in every batch."""

    module: str
    """Path in the user's model; the empty text is the model itself."""
    call: int
    """Number of the module's call, from 0."""
    place: Literal["input", "output"]
    position: int
    """Index among the tensors of the call's inputs or outputs."""
    dtype: str
    shapes: tuple[tuple[int, ...], ...]
    """One shape per batch."""
    files: tuple[Path, ...]
    """One file per batch. Entries for the same tensor share a file."""
    weighted: bool
    """Whether the module itself has parameters or buffers."""

    @property
    def key(self) -> str:
        """A text that identifies the tensor."""
        return f"{self.place} {self.position} of call {self.call} of {self.module}"


@dataclass(frozen=True, kw_only=True)
class Captured:
    """The inputs and outputs of the modules of a PyTorch model."""

    tensors: tuple[ModuleTensor, ...]
    """In the order in which the modules were called."""


@dataclass(frozen=True, kw_only=True)
class CaptureRequest:
    """The model to run, and the folder for the tensors."""

    model: LoadRequest
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...]
    directory: Path


@dataclass(frozen=True, kw_only=True)
class ErrorsRequest:
    """The two sides to compare."""

    found: Path
    """The ONNX file whose errors are measured."""
    expected: Path | None = None
    """The reference as an ONNX file."""
    captured: Captured | None = None
    """The reference as tensors of PyTorch's modules, if `expected` is `None`."""
    node_map: Path | None = None
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...]
    directory: Path
    part_bytes: int
    """Largest size in bytes of the outputs of one part; a single node with larger outputs is a part by itself."""
    libraries: tuple[str, ...] = ()
    """Shared libraries with custom operators."""
    emulated: bool = False
    """Whether `found` emulates a type below fp32 by casts to it and back; its nodes then have the names of `expected`."""


@dataclass(frozen=True, kw_only=True)
class ErrorsResult:
    """The error along the graph."""

    series: tuple[NodeError, ...]
    """The nodes whose outputs could be compared, in topological order."""
    nodes: int
    parts: int
    largest_part: int
    """Size in bytes of the outputs of the largest part."""
    broken: str | None
    """Why the graph does not run as a whole; `None` if it does. If not, only the own errors of nodes are known."""
    library_seconds: float


CAPTURE = Task(
    name="tritonize.locate.tasks:CAPTURE",
    function="tritonize.locate.worker.module_outputs:capture",
    request=CaptureRequest,
    result=Captured,
)
FIND_ERRORS = Task(
    name="tritonize.locate.tasks:FIND_ERRORS",
    function="tritonize.locate.worker.node_errors:compare",
    request=ErrorsRequest,
    result=ErrorsResult,
)
