"""The values inside a graph and inside a PyTorch model: where they part, node by node and module by module, in workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core.artifacts import SampleSet
from tritonize.core.errors import ExportError, WorkerError
from tritonize.locate import tasks
from tritonize.locate.tasks import Captured, CaptureRequest, ErrorsRequest, ErrorsResult
from tritonize.process import workers
from tritonize.process.tasks import Request, Result, Task
from tritonize.process.workers import WorkerResult
from tritonize.source.tasks import LoadRequest

PART_BYTES = 1 << 29
"""What one part of a graph may answer at once, by default: 512 MiB."""
UNWATCHED: Mapping[str, str] = {"torchscript": "a TorchScript file", "exported_program": "an exported program"}
"""Kinds of sources whose modules run without Python, where no hook is called."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a worker may take."""

    deadline_s: float
    memory_bytes: int | None = None
    """Of the whole process; `None` for the default."""
    part_bytes: int = PART_BYTES
    libraries: tuple[str, ...] = ()
    """Shared libraries with operators that the files use."""


@dataclass(frozen=True, kw_only=True)
class Traced(ErrorsResult):
    """The error along a graph, and what the process took; `library_seconds` is with imports."""

    peak_memory: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Modules:
    """What the modules of a PyTorch model took and answered."""

    captured: Captured
    unavailable: str | None = None
    """Why they could not be watched."""


def modules(
    load: LoadRequest,
    samples: SampleSet,
    batches: Sequence[tuple[int, ...]],
    *,
    directory: Path,
    limits: Limits,
    search_path: Sequence[Path] = (),
) -> Modules:
    """Run a PyTorch model on batches and keep what each of its modules took and answered.

    Args:
        load: how a worker loads the model.

    Raises:
        UsageError, ExportError: it cannot be loaded or run.
    """
    if load.kind in UNWATCHED:
        why = f"the modules inside {UNWATCHED[load.kind]} run without Python, so their answers cannot be watched"
        return Modules(captured=Captured(seen=()), unavailable=why)
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
    """The error of every node of the ONNX file `found`, against another file or against PyTorch's modules.

    Args:
        node_map: of `found`; with modules it says which node is whose.
        emulated: whether `found` is an emulation: its casts to a type below fp32 and back stand for computing in it.

    Raises:
        UsageError: the two have nothing in common, or take other inputs than the samples have.
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
    answer = _work(tasks.FIND_ERRORS, request, directory, limits=limits)
    found_errors = answer.value
    return Traced(
        series=found_errors.series,
        nodes=found_errors.nodes,
        parts=found_errors.parts,
        largest_part=found_errors.largest_part,
        broken=found_errors.broken,
        library_seconds=found_errors.library_seconds + answer.import_seconds,
        peak_memory=answer.peak_memory,
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
        raise _ended(error) from error


def _ended(error: WorkerError) -> ExportError:
    return ExportError(
        "The search for the error ended without an answer.",
        found=error.what,
        next_step="raise deadline_s or memory_mib in the spec, or ask for smaller parts",
        details=error.details,
    )
