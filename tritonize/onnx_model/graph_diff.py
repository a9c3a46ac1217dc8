"""Compare the graphs and weights of two ONNX files in a worker process."""

from __future__ import annotations

from pathlib import Path

from tritonize.core.errors import ExportError, WorkerError
from tritonize.core.messages import onnx_files as wording
from tritonize.onnx_model import tasks
from tritonize.onnx_model.tasks import GraphDiff, GraphDiffRequest
from tritonize.process import workers


def compare(before: Path, after: Path, directory: Path, *, deadline_s: float = 600.0) -> GraphDiff:
    """Return the differences in operators, inputs, outputs and weights.

    Args:
        before: the first ONNX file.
        after: the second ONNX file.
        directory: folder for the worker's request, result and log; it is created if missing.
        deadline_s: seconds after which the worker is ended.

    Raises:
        UsageError: one of the files is not a valid ONNX file, or its external data is missing or outside its folder.
        ExportError: an input or output of a file is not a tensor that Triton can serve, or the worker ended without a result.
    """
    directory.mkdir(parents=True, exist_ok=True)
    request = GraphDiffRequest(before=before.absolute(), after=after.absolute())
    try:
        return workers.run_worker(tasks.DIFF, request, directory=directory, deadline_s=deadline_s).value
    except WorkerError as error:
        raise ExportError.of(wording.NOT_COMPARED, where=f"{before}, {after}", found=error.what, details=error.details) from error
