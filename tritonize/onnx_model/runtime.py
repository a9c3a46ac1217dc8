"""Run an ONNX file in ONNX Runtime, in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, TensorFiles, from_json, to_json
from tritonize.core.errors import ExportError, WorkerError
from tritonize.core.messages import quality as wording
from tritonize.process import workers
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class OrtRun:
    """What ONNX Runtime answered, batch by batch."""

    outputs: tuple[TensorFiles, ...]
    seconds: tuple[float, ...]
    """Of each batch's run."""
    version: str
    library_seconds: float
    peak_memory: int
    """Bytes."""

    apart: tuple[TensorFiles | str, ...] = ()
    """The answers to samples asked apart, or why there is none."""

    def answer(self, position: int) -> arrays.Arrays:
        """The outputs of batch number `position`, by name."""
        return arrays.load(self.outputs[position], 0)

    def gather(self, positions: Sequence[int], directory: Path) -> TensorFiles:
        """Some of the answers as one set of items."""
        tensors = self.outputs[positions[0]].tensors if positions else ()
        files = TensorFiles(directory=directory, tensors=tensors, count=len(positions))
        for index, position in enumerate(positions):
            arrays.save(files, index, self.answer(position))
        return files


def run(
    path: Path,
    samples: SampleSet,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    *,
    deadline_s: float,
    memory_bytes: int | None = None,
    libraries: Sequence[str] = (),
    apart: SampleSet | None = None,
) -> OrtRun:
    """Run every batch on the CPU provider.

    Args:
        libraries: shared libraries with operators that the file uses.
        apart: further samples, each asked alone; that the file fails on one is an answer and no error.

    Raises:
        UsageError: one of the libraries cannot be loaded.
        ExportError: ONNX Runtime does not load or run the file, hangs or crashes.
    """
    request = {
        "path": str(path),
        "samples": to_json(samples),
        "batches": [list(batch) for batch in batches],
        "directory": str(directory),
        "libraries": list(libraries),
        "apart": apart and to_json(apart),
    }
    directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = workers.run_named(
            "onnx_model.worker.session.run", request, directory=directory, deadline_s=deadline_s, memory_bytes=memory_bytes
        )
    except WorkerError as error:
        raise ExportError(
            "ONNX Runtime ended without an answer.", where=path.name, found=error.what, details=error.details
        ) from error
    return OrtRun(
        outputs=tuple(from_json(TensorFiles, files) for files in answer.value["outputs"]),
        seconds=tuple(answer.value["seconds"]),
        version=answer.value["version"],
        library_seconds=answer.value["library_seconds"] + answer.import_seconds,
        peak_memory=answer.peak_memory,
        apart=tuple(each if isinstance(each, str) else from_json(TensorFiles, each) for each in answer.value["apart"]),
    )


def run_within(
    model: schema.Model,
    path: Path,
    samples: SampleSet,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    *,
    apart: SampleSet | None = None,
) -> OrtRun:
    """`run` with the limits and the operator libraries that a spec gives."""
    return run(
        path,
        samples,
        batches,
        directory,
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
        libraries=model.custom_op_libraries,
        apart=apart,
    )


@dataclass(frozen=True, kw_only=True)
class MeasuredSum:
    """One node that adds up many terms, in float32 against float64 on the same values."""

    node: str
    operator: str
    terms: int
    """Elements that one sum adds up."""
    error: float
    """max |in float32 - in float64| of what the node answers."""
    bound: float
    """What rounding explains at most, there."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What a file answers, and what it would if ONNX Runtime did its long sums in float64."""

    plain: TensorFiles | None
    """One item per sample; `None` where the file has no such sums."""
    wide: TensorFiles | None
    nodes: tuple[tuple[MeasuredSum, ...], ...]
    """For each sample, of each node that has such sums."""
    library_seconds: float


def sums(
    path: Path,
    samples: SampleSet,
    indices: Sequence[int],
    directory: Path,
    *,
    deadline_s: float,
    memory_bytes: int | None = None,
    libraries: Sequence[str] = (),
) -> Sums:
    """How much of the answers to some samples is ONNX Runtime's own sum, in normalizations and means.

    Raises:
        UsageError, ExportError: it cannot be measured.
    """
    request = {
        "path": str(path),
        "samples": to_json(samples),
        "indices": list(indices),
        "directory": str(directory),
        "libraries": list(libraries),
    }
    directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = workers.run_named(
            "onnx_model.worker.sums.measure", request, directory=directory, deadline_s=deadline_s, memory_bytes=memory_bytes
        )
    except WorkerError as error:
        raise ExportError.of(wording.SUMS_NOT_MEASURED, where=path.name, found=error.what) from error
    plain, wide = (value and from_json(TensorFiles, value) for value in (answer.value["plain"], answer.value["wide"]))
    return Sums(
        plain=plain,
        wide=wide,
        nodes=tuple(tuple(from_json(MeasuredSum, node) for node in nodes) for nodes in answer.value["nodes"]),
        library_seconds=answer.value["library_seconds"] + answer.import_seconds,
    )


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """How far rounding alone moves answers."""

    moved: tuple[dict[str, float], ...]
    """Per sample, output to max |difference|, in the output's unit; infinite where rounding changes how many answers there are."""
    chosen: frozenset[str]
    """Outputs that depend on which of several values comes first, as indices of a sort do."""
    library_seconds: float


def sensitivity(
    path: Path,
    samples: SampleSet,
    indices: Sequence[int],
    directory: Path,
    *,
    deadline_s: float,
    memory_bytes: int | None = None,
    libraries: Sequence[str] = (),
) -> Sensitivity:
    """How far rounding alone moves the answers to some samples.

    Raises:
        ExportError: it cannot be measured.
    """
    request = {"path": str(path), "samples": to_json(samples), "indices": list(indices), "libraries": list(libraries)}
    directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = workers.run_named(
            "onnx_model.worker.sensitivity.measure", request, directory=directory, deadline_s=deadline_s, memory_bytes=memory_bytes
        )
    except WorkerError as error:
        raise ExportError("How far rounding moves the answers could not be measured.", where=path.name, found=error.what) from error
    seconds = answer.value["library_seconds"] + answer.import_seconds
    moved, chosen = tuple(answer.value["moved"]), frozenset(answer.value["chosen"])
    return Sensitivity(moved=moved, chosen=chosen, library_seconds=seconds)
