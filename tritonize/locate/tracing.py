"""Start the workers that record the tensors of PyTorch's modules and measure the error of every node of an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.artifacts import SampleSet
from tritonize.core.errors import ExportError, WorkerError
from tritonize.core.messages import locate as wording
from tritonize.locate import tasks
from tritonize.locate.tasks import Captured, CaptureRequest, ErrorsRequest, ErrorsResult
from tritonize.process import workers
from tritonize.process.tasks import Request, Result, Task
from tritonize.process.workers import WorkerResult
from tritonize.source.tasks import LoadRequest

PART_BYTES = 1 << 29
"""Default limit on the outputs of one part of a graph, in bytes: 512 MiB."""
_WITHOUT_HOOKS: Mapping[str, str] = {"torchscript": "a TorchScript file", "exported_program": "an exported program"}
"""Kinds of sources whose modules run without Python, so that they call no hooks."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a worker."""

    deadline_s: float
    memory_bytes: int | None = None
    """Limit on the memory of the process; `None` for the default."""
    part_bytes: int = PART_BYTES
    """Limit on the outputs of one part of the graph."""
    libraries: tuple[str, ...] = ()
    """Shared libraries with custom operators."""


@dataclass(frozen=True, kw_only=True)
class Traced(ErrorsResult):
    """The error along a graph, with the worker's memory; `library_seconds` includes imports."""

    peak_memory: int
    """Peak resident memory of the worker in bytes."""


@dataclass(frozen=True, kw_only=True)
class Modules:
    """The inputs and outputs of the modules of a PyTorch model."""

    captured: Captured
    unavailable: str | None = None
    """Why they could not be recorded; `None` if they were."""


def modules(
    load: LoadRequest,
    samples: SampleSet,
    batches: Sequence[tuple[int, ...]],
    *,
    directory: Path,
    limits: Limits,
    search_path: Sequence[Path] = (),
) -> Modules:
    """Run a PyTorch model on batches and record the inputs and outputs of its modules.

    Args:
        load: how a worker loads the model.

    Raises:
        UsageError, ExportError: the model cannot be loaded or run.
    """
    if load.kind in _WITHOUT_HOOKS:
        why = f"the modules of {_WITHOUT_HOOKS[load.kind]} run without Python, so their outputs cannot be recorded"
        return Modules(captured=Captured(tensors=()), unavailable=why)
    request = CaptureRequest(model=load, samples=samples, batches=tuple(batches), directory=directory / "values")
    return Modules(captured=_work(tasks.CAPTURE, request, directory, limits=limits, search_path=search_path).value)


def errors(
    found: Path,
    expected: Path | Modules,
    samples: SampleSet,
    *,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    limits: Limits,
    node_map: Path | None = None,
    emulated: bool = False,
) -> Traced:
    """Measure the error of every node of the ONNX file `found`, against another file or against PyTorch's modules.

    Args:
        node_map: the node map of `found`; for modules, it assigns the nodes to them.
        emulated: whether `found` emulates a type below fp32 by casts to it and back.

    Raises:
        UsageError: the two sides have no tensors in common, or their inputs differ from those of the samples.
        ExportError: the expected file does not run.
    """
    request = ErrorsRequest(
        found=found,
        expected=expected if isinstance(expected, Path) else None,
        captured=expected.captured if isinstance(expected, Modules) else None,
        node_map=node_map,
        samples=samples,
        batches=tuple(batches),
        directory=directory / "values",
        part_bytes=limits.part_bytes,
        libraries=limits.libraries,
        emulated=emulated,
    )
    result = _work(tasks.FIND_ERRORS, request, directory, limits=limits)
    measured = result.value
    return Traced(
        series=measured.series,
        nodes=measured.nodes,
        parts=measured.parts,
        largest_part=measured.largest_part,
        broken=measured.broken,
        library_seconds=measured.library_seconds + result.import_seconds,
        peak_memory=result.peak_memory,
    )


def _work(
    task: Task[Request, Result], request: Request, directory: Path, *, limits: Limits, search_path: Sequence[Path] = ()
) -> WorkerResult[Result]:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return workers.run_worker(
            task,
            request,
            directory=directory,
            deadline_s=limits.deadline_s,
            memory_bytes=limits.memory_bytes,
            search_path=search_path,
        )
    except WorkerError as error:
        raise ExportError.of(wording.SEARCH_ENDED, found=error.what, details=error.details) from error
