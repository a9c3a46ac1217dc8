"""Run an ONNX file in ONNX Runtime, in a worker process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import ExportError, WorkerError
from tritonize.core.messages import Message
from tritonize.core.messages import onnx_files as wording
from tritonize.core.messages import quality as quality_wording
from tritonize.onnx_model import ragged as ragged_batches
from tritonize.onnx_model import tasks
from tritonize.onnx_model.ragged import Ragged
from tritonize.onnx_model.tasks import RunRequest, RunResult, SamplesRequest, Sensitivity, Sums
from tritonize.process import workers
from tritonize.process.tasks import Task
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class OrtRun(RunResult):
    """The outputs of ONNX Runtime, with time and memory of its process; `library_seconds` includes the import of ONNX Runtime."""

    peak_memory: int
    """Largest resident memory of the worker, in bytes."""

    def batch_outputs(self, position: int) -> arrays.Arrays:
        """Load the outputs of batch number `position`, by name."""
        return arrays.load(self.outputs[position], 0)

    def gather(self, positions: Sequence[int], directory: Path) -> TensorFiles:
        """Copy the outputs of several batches into one set of files in `directory`, one item per batch."""
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
    roll_out: bool = False,
    ragged: Ragged | None = None,
) -> OrtRun:
    """Run every batch on ONNX Runtime's CPU provider.

    Args:
        path: the ONNX file.
        samples: the samples that the batches are made of.
        batches: the indices of the samples in each batch.
        directory: folder for the outputs and the worker's files; it is created if missing.
        deadline_s: seconds after which the worker is ended.
        memory_bytes: limit on the worker's resident memory; `None` for the default of `workers.run_worker`.
        libraries: shared libraries with custom operators that the file uses.
        ragged: how a request becomes the file's inputs, for a model with ragged inputs.
        apart: further samples, each run alone. If the file fails on one of them, its entry in the result is the error's text.
        roll_out: whether to run the samples' sequences step by step first; the result has the samples with all states.

    Raises:
        UsageError: one of the libraries cannot be loaded.
        ExportError: ONNX Runtime does not load or run the file, hangs or crashes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    request = RunRequest(
        path=path,
        samples=samples,
        batches=tuple(batches),
        directory=directory,
        libraries=tuple(libraries),
        apart=apart,
        roll_out=roll_out,
        ragged=ragged,
    )
    try:
        result = workers.run_worker(tasks.RUN, request, directory=directory, deadline_s=deadline_s, memory_bytes=memory_bytes)
    except WorkerError as error:
        raise ExportError.of(wording.RUNTIME_ENDED, where=path.name, found=error.what, details=error.details) from error
    ran = result.value
    return OrtRun(
        outputs=ran.outputs,
        seconds=ran.seconds,
        version=ran.version,
        library_seconds=ran.library_seconds + result.import_seconds,
        apart=ran.apart,
        samples=ran.samples,
        peak_memory=result.peak_memory,
    )


def run_within(
    model: schema.Model,
    path: Path,
    samples: SampleSet,
    *,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    apart: SampleSet | None = None,
    roll_out: bool = False,
) -> OrtRun:
    """Call `run` with the deadline, the memory limit and the libraries of custom operators from the spec."""
    return run(
        path,
        samples,
        batches,
        directory=directory,
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
        libraries=model.custom_op_libraries,
        apart=apart,
        roll_out=roll_out,
        ragged=ragged_batches.of(model),
    )


def sums(request: SamplesRequest, *, deadline_s: float, memory_bytes: int | None = None) -> Sums:
    """Measure ONNX Runtime's own summation error in normalizations and means, for some samples.

    Raises:
        UsageError: a library of custom operators cannot be loaded.
        ExportError: ONNX Runtime fails on the file, or the worker ended without a result.
    """
    return _measure(
        quality_wording.SUMS_NOT_MEASURED, tasks.MEASURE_SUMS, request, deadline_s=deadline_s, memory_bytes=memory_bytes
    )


def sensitivity(request: SamplesRequest, *, deadline_s: float, memory_bytes: int | None = None) -> Sensitivity:
    """Measure how far rounding alone moves the outputs, for some samples.

    Raises:
        UsageError: a library of custom operators cannot be loaded.
        ExportError: ONNX Runtime fails on the file, or the worker ended without a result.
    """
    return _measure(
        wording.ROUNDING_NOT_MEASURED, tasks.MEASURE_SENSITIVITY, request, deadline_s=deadline_s, memory_bytes=memory_bytes
    )


_Measured = TypeVar("_Measured", Sums, Sensitivity)


def _measure(
    failure: Message,
    task: Task[SamplesRequest, _Measured],
    request: SamplesRequest,
    *,
    deadline_s: float,
    memory_bytes: int | None,
) -> _Measured:
    """Run a measuring task; `failure` is the message if its worker ends without a result."""
    request.directory.mkdir(parents=True, exist_ok=True)
    try:
        result = workers.run_worker(task, request, directory=request.directory, deadline_s=deadline_s, memory_bytes=memory_bytes)
    except WorkerError as error:
        raise ExportError.of(failure, where=request.path.name, found=error.what) from error
    return replace(result.value, library_seconds=result.value.library_seconds + result.import_seconds)
