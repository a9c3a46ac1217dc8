"""What workers do to find the node that an error comes from, as both sides see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritonize.core.artifacts import SampleSet
from tritonize.core.error_location import NodeError
from tritonize.process.tasks import Task
from tritonize.source.tasks import LoadRequest


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A tensor that went into a module or came out of it, in every batch."""

    module: str
    """Path in the user's model; the empty text is the model itself."""
    call: int
    """Which call of the module it was, from 0."""
    place: Literal["input", "output"]
    position: int
    """Among the tensors of that call's inputs or outputs."""
    dtype: str
    shapes: tuple[tuple[int, ...], ...]
    """By batch."""
    files: tuple[Path, ...]
    """By batch. Two that are the same tensor share the file."""
    weighted: bool
    """Whether the module has parameters or buffers of its own."""

    @property
    def key(self) -> str:
        """Tells it from all others."""
        return f"{self.place} {self.position} of call {self.call} of {self.module}"


@dataclass(frozen=True, kw_only=True)
class Captured:
    """What the modules of a PyTorch model took and answered."""

    seen: tuple[Seen, ...]
    """In the order in which it was seen."""


@dataclass(frozen=True, kw_only=True)
class CaptureRequest:
    """The model to run, and where the files go."""

    model: LoadRequest
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...]
    directory: Path


@dataclass(frozen=True, kw_only=True)
class ErrorsRequest:
    """What to compare with what."""

    found: Path
    """The graph that is looked at."""
    expected: Path | None = None
    """The graph that is right."""
    captured: Captured | None = None
    """What the modules answered, where there is no graph that is right."""
    node_map: Path | None = None
    samples: SampleSet
    batches: tuple[tuple[int, ...], ...]
    directory: Path
    part_bytes: int
    """What one part may answer at once; a single node that answers more is a part of its own."""
    libraries: tuple[str, ...] = ()
    emulated: bool = False
    """Whether casts to a type below fp32 and back stand for computing in it; nodes are then named as in `expected`."""


@dataclass(frozen=True, kw_only=True)
class ErrorsResult:
    """The error along the graph."""

    series: tuple[NodeError, ...]
    """In topological order; the nodes whose answers could be compared."""
    nodes: int
    parts: int
    largest_part: int
    """Bytes."""
    broken: str | None
    """Why the graph does not run as a whole, where it does not: errors are then known for right inputs alone."""
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
