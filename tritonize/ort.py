"""Run an ONNX file in ONNX Runtime, in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize import arrays, processes
from tritonize.artifacts import SampleSet, TensorFiles, from_json, to_json
from tritonize.errors import ExportError, WorkerError


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

    def answer(self, position: int) -> arrays.Arrays:
        """The outputs of batch number `position`, by name."""
        return arrays.load(self.outputs[position], 0)


def run(
    path: Path,
    samples: SampleSet,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    *,
    deadline_s: float,
    memory_bytes: int | None = None,
    libraries: Sequence[str] = (),
) -> OrtRun:
    """Run every batch on the CPU provider.

    Args:
        libraries: shared libraries with operators that the file uses.

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
    }
    directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = processes.run_worker("ort.run", request, directory=directory, deadline_s=deadline_s, memory_bytes=memory_bytes)
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
    )


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """How far rounding alone moves answers."""

    moved: tuple[dict[str, float], ...]
    """Per sample, output to max |difference|, in the output's unit."""
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
        answer = processes.run_worker(
            "sensitivity.measure", request, directory=directory, deadline_s=deadline_s, memory_bytes=memory_bytes
        )
    except WorkerError as error:
        raise ExportError("How far rounding moves the answers could not be measured.", where=path.name, found=error.what) from error
    seconds = answer.value["library_seconds"] + answer.import_seconds
    moved, chosen = tuple(answer.value["moved"]), frozenset(answer.value["chosen"])
    return Sensitivity(moved=moved, chosen=chosen, library_seconds=seconds)
