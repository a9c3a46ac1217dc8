"""Start the worker that reduces a float32 ONNX file to float16 or bfloat16 and writes the emulation for its comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from tritonize.core.artifacts import OnnxArtifact
from tritonize.core.errors import ExportError, WorkerError
from tritonize.core.messages import precision as wording
from tritonize.onnx_model import artifact as onnx_artifact
from tritonize.precision import tasks
from tritonize.precision.tasks import HalfPrecision, ReduceRequest, ReduceResult
from tritonize.process import workers
from tritonize.spec import schema

HALF = ("fp16", "bf16")
"""The precisions of a spec that change the types in the ONNX graph."""


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """The reduced file, with run time and memory of the reduction."""

    artifact: OnnxArtifact
    emulation: Path
    """The same graph in float32, every half tensor rounded to its type; inputs and outputs are float32."""
    casts: int
    """Number of Cast nodes between the precisions."""
    library_seconds: float
    peak_memory: int
    """Bytes."""


def reduce(model: schema.Model, artifact: OnnxArtifact, directory: Path) -> Reduced:
    """Reduce a file to the spec's precision.

    Args:
        artifact: a float32 file.
        directory: folder for `model.onnx`, `emulation.onnx`, `node_map.json` and the worker's log.

    Raises:
        UsageError: `keep_fp32` names a node or an operator that the graph does not have.
        ExportError: nothing could be reduced, or the file is invalid.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path, emulation = directory / "model.onnx", directory / "emulation.onnx"
    request = ReduceRequest(
        source=artifact.path,
        node_map=artifact.node_map,
        path=path,
        emulation=emulation,
        precision=cast("HalfPrecision", model.precision),  # what `HALF` lists
        keep_nodes=tuple(model.keep_fp32.nodes),
        keep_operators=tuple(model.keep_fp32.operators),
        half_io=model.half_io,
    )
    try:
        result = workers.run_worker(
            tasks.REDUCE,
            request,
            directory=directory,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
        )
    except WorkerError as error:
        raise ExportError.of(
            wording.CONVERSION_ENDED, where=artifact.path.name, found=error.what, details=error.details, precision=model.precision
        ) from error
    return Reduced(
        artifact=_artifact(artifact, path, result.value, precision=model.precision),
        emulation=emulation,
        casts=result.value.casts,
        library_seconds=result.value.library_seconds + result.import_seconds,
        peak_memory=result.peak_memory,
    )


def _artifact(whole: OnnxArtifact, path: Path, reduced: ReduceResult, *, precision: str) -> OnnxArtifact:
    """Return the artifact of the reduced file of `whole`."""
    written = onnx_artifact.describe(
        path, reduced, exporter=whole.exporter, strategy=whole.strategy, simplified=whole.simplified, optional=whole.optional
    )
    return replace(written, precision=precision, reduced_nodes=reduced.reduced, kept_nodes=reduced.kept)
