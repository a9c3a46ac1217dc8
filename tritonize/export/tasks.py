"""Worker tasks that export: a PyTorch model to an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonize.core.artifacts import SampleSet, TensorFiles, TensorSpec
from tritonize.core.decisions import Decision, Warned
from tritonize.process.tasks import Task
from tritonize.source.tasks import LoadRequest


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What to export, and how."""

    model: LoadRequest
    inputs: tuple[TensorSpec, ...]
    """Names, types and shapes, dynamic axes by name."""
    outputs: tuple[TensorSpec, ...]
    """Likewise, as the reference found them, with the batch axis by name where the model is batched."""
    example: TensorFiles
    """The one batch that the exporter runs."""
    samples: SampleSet | None = None
    """What the model is proven on: where an exporter freezes a decision on data, they show whether it goes both ways. Without them
    the example alone does."""
    state: str | None = None
    """Checksum of the model that the reference ran."""
    strategy: str
    """A name of `strategies.STRATEGIES`."""
    opset: int
    path: Path
    """The file that is written."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What the exporter wrote, and what it cost."""

    library_seconds: float
    torch: str
    """Version."""
    scope: str
    """Path of the user's module in what was exported."""
    modules: tuple[str, ...]
    """Paths of the modules inside the user's one."""
    decisions: tuple[Decision, ...]
    """What the model decides on data, and the exporter has frozen."""
    ways: tuple[str, ...]
    """Places of the user's code where the model takes another way in an export."""
    warned: tuple[Warned, ...]
    """What the tracer warned of, with its lines."""


EXPORT = Task(
    name="tritonize.export.tasks:EXPORT",
    function="tritonize.export.worker.strategies:run",
    request=ExportRequest,
    result=ExportResult,
    writes=("path",),
)
