"""What changed between two ONNX files, found in a worker."""

from __future__ import annotations

from pathlib import Path

from tritonize.core.errors import ExportError, WorkerError
from tritonize.onnx_model import tasks
from tritonize.onnx_model.tasks import GraphDiff, GraphDiffRequest
from tritonize.process import workers


def compare(before: Path, after: Path, directory: Path, *, deadline_s: float = 600.0) -> GraphDiff:
    """Operators, inputs, outputs and weights of two files.

    Raises:
        UsageError: one of them is no ONNX file.
        ExportError: one has an input or output that is no tensor; the worker died over them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    request = GraphDiffRequest(before=before.absolute(), after=after.absolute())
    try:
        return workers.run_worker(tasks.DIFF, request, directory=directory, deadline_s=deadline_s).value
    except WorkerError as error:
        raise ExportError(
            "The graphs cannot be compared.", where=f"{before}, {after}", found=error.what, details=error.details
        ) from error
