"""Run an ONNX file in ONNX Runtime, in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import ExportError, WorkerError
from tritonize.core.messages import quality as wording
from tritonize.onnx_model import tasks
from tritonize.onnx_model.tasks import RunRequest, RunResult, SamplesRequest, Sensitivity, Sums
from tritonize.process import workers
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class OrtRun(RunResult):
    """What ONNX Runtime answered, and what its process took; `library_seconds` is with its import."""

    peak_memory: int
    """Bytes."""

    def batch_outputs(self, position: int) -> arrays.Arrays:
        """The outputs of batch number `position`, by name."""
        return arrays.load(self.outputs[position], 0)

    def gather(self, positions: Sequence[int], directory: Path) -> TensorFiles:
        """Some of the answers as one set of items."""
        tensors = self.outputs[positions[0]].tensors if positions else ()
        files = TensorFiles(directory=directory, tensors=tensors, count=len(positions))
        for index, position in enumerate(positions):
            arrays.save(files, index, self.batch_outputs(position))
        return files


def run(
    path: Path,
    samples: SampleSet,
    batches: Sequence[tuple[int, ...]],
    *,
    directory: Path,
    deadline_s: float,
    memory_bytes: int | None = None,
    libraries: Sequence[str] = (),
    apart: SampleSet | None = None,
) -> OrtRun:
    """Run every batch on the CPU provider.

    Args:
        libraries: shared libraries with operators that the file uses.
        apart: further samples, each run alone; that the file fails on one is an answer and no error.

    Raises:
        UsageError: one of the libraries cannot be loaded.
        ExportError: ONNX Runtime does not load or run the file, hangs or crashes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    request = RunRequest(
        path=path, samples=samples, batches=tuple(batches), directory=directory, libraries=tuple(libraries), apart=apart
    )
    try:
        answer = workers.run_worker(tasks.RUN, request, directory=directory, deadline_s=deadline_s, memory_bytes=memory_bytes)
    except WorkerError as error:
        raise ExportError(
            "ONNX Runtime ended without an answer.", where=path.name, found=error.what, details=error.details
        ) from error
    found = answer.value
    return OrtRun(
        outputs=found.outputs,
        seconds=found.seconds,
        version=found.version,
        library_seconds=found.library_seconds + answer.import_seconds,
        apart=found.apart,
        peak_memory=answer.peak_memory,
    )


def run_within(
    model: schema.Model,
    path: Path,
    samples: SampleSet,
    *,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    apart: SampleSet | None = None,
) -> OrtRun:
    """`run` with the limits and the operator libraries that a spec gives."""
    return run(
        path,
        samples,
        batches,
        directory=directory,
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
        libraries=model.custom_op_libraries,
        apart=apart,
    )


def sums(request: SamplesRequest, *, deadline_s: float, memory_bytes: int | None = None) -> Sums:
    """How much of the answers to some samples is ONNX Runtime's own sum, in normalizations and means.

    Raises:
        UsageError, ExportError: it cannot be measured.
    """
    request.directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = workers.run_worker(
            tasks.MEASURE_SUMS, request, directory=request.directory, deadline_s=deadline_s, memory_bytes=memory_bytes
        )
    except WorkerError as error:
        raise ExportError.of(wording.SUMS_NOT_MEASURED, where=request.path.name, found=error.what) from error
    return replace(answer.value, library_seconds=answer.value.library_seconds + answer.import_seconds)


def sensitivity(request: SamplesRequest, *, deadline_s: float, memory_bytes: int | None = None) -> Sensitivity:
    """How far rounding alone moves the answers to some samples.

    Raises:
        ExportError: it cannot be measured.
    """
    request.directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = workers.run_worker(
            tasks.MEASURE_SENSITIVITY, request, directory=request.directory, deadline_s=deadline_s, memory_bytes=memory_bytes
        )
    except WorkerError as error:
        raise ExportError(
            "How far rounding moves the answers could not be measured.", where=request.path.name, found=error.what
        ) from error
    return replace(answer.value, library_seconds=answer.value.library_seconds + answer.import_seconds)
