"""What changed between two ONNX files, found in a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.artifacts import from_json
from tritonize.core.errors import ExportError, WorkerError
from tritonize.process import workers


@dataclass(frozen=True, kw_only=True)
class WeightChange:
    """An initializer that both files have, with other contents."""

    name: str
    sha256: tuple[str, str]
    """Of type, shape and contents; before, after."""
    relative: float | None
    """||after - before|| / ||before||; `None` where the shapes differ, or where that is no number."""
    elements: int


@dataclass(frozen=True, kw_only=True)
class GraphDiff:
    """What changed; pairs are before, after."""

    opset: tuple[int, int]
    nodes: tuple[int, int]
    operators: Mapping[str, tuple[int, int]]
    """Of each operator that does not occur as often in both, how often it does; subgraphs and functions included."""
    inputs: Mapping[str, tuple[str, str]]
    """Of each that differs, type and shape; `none` where one file lacks it."""
    outputs: Mapping[str, tuple[str, str]]
    weights: tuple[int, int]
    """Number of initializers."""
    weights_added: tuple[str, ...]
    weights_removed: tuple[str, ...]
    weights_changed: tuple[WeightChange, ...]
    """The largest change first, those without a number before all."""


def compare(before: Path, after: Path, directory: Path, *, deadline_s: float = 600.0) -> GraphDiff:
    """Operators, inputs, outputs and weights of two files.

    Raises:
        UsageError: one of them is no ONNX file.
        ExportError: one has an input or output that is no tensor; the worker died over them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    request = {"before": str(before.absolute()), "after": str(after.absolute())}
    try:
        answer = workers.run_named("onnx_model.worker.graph_diff.compare", request, directory=directory, deadline_s=deadline_s)
    except WorkerError as error:
        raise ExportError(
            "The graphs cannot be compared.", where=f"{before}, {after}", found=error.what, details=error.details
        ) from error
    return from_json(GraphDiff, answer.value)
