"""Export a PyTorch model to an ONNX file; the file is checked, simplified and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tritonize.core.artifacts import OnnxArtifact, SampleSet, TensorFiles, TensorSpec
from tritonize.core.decisions import Decision, Warned
from tritonize.core.errors import ExportError, SimplifyError, WorkerError
from tritonize.core.messages import export as wording
from tritonize.core.messages import reference as reference_wording
from tritonize.export import tasks
from tritonize.onnx_model import artifact as onnx_artifact
from tritonize.onnx_model import tasks as onnx_tasks
from tritonize.onnx_model.tasks import FinishRequest, FinishResult
from tritonize.process import workers
from tritonize.source.tasks import LoadRequest
from tritonize.spec import schema

_NAMED = 5
"""A note names at most this many weights; of more it gives the number."""

LADDERS: Mapping[str, tuple[str, ...]] = {
    "torchscript": ("legacy", "converted", "converted_decomposed"),
    "factory": ("dynamo", "dynamo_decomposed", "legacy"),
    "module": ("dynamo", "dynamo_decomposed", "legacy"),
    "exported_program": ("dynamo", "dynamo_decomposed", "legacy"),
}
"""Export strategies in order, by the kind of source. For TorchScript the legacy exporter comes first: it is fast, and right more
often than conversion. For modules it comes last: it is as fast, but can write a wrong file without an error
where dynamo fails."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The finished ONNX file and what it cost."""

    artifact: OnnxArtifact
    torch: str
    """Version."""
    library_seconds: float
    peak_memory: int
    """Bytes."""
    decisions: tuple[Decision, ...] = ()
    """Branches and values that depend on data and that the tracer froze."""
    warned: tuple[Warned, ...] = ()
    """Warnings of the tracer."""
    notes: tuple[str, ...] = ()
    """Changes to the file that a reader of the report would not expect."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The model to export and everything the exporter needs to know about it."""

    load: LoadRequest
    """How a worker loads the model."""
    inputs: tuple[TensorSpec, ...]
    """Names, types and shapes, dynamic axes by name."""
    outputs: tuple[TensorSpec, ...]
    """The same for outputs, as PyTorch's reference run returned them."""
    example: TensorFiles
    """The batch that the exporter runs the model on."""
    samples: SampleSet
    """The samples of the comparison. Where an exporter freezes a branch, they are run to see whether they take both sides."""
    state: str | None
    """Checksum of the weights and buffers in the reference run."""


def ladder(model: schema.Model, kind: str) -> tuple[str, ...]:
    """Return the strategies for a kind of source in order, or those that the spec names."""
    return tuple(model.strategies) if model.strategies else LADDERS[kind]


def export(model: schema.Model, subject: Subject, strategy: str, *, directory: Path) -> Exported:
    """Export in one worker process, then finish the file in a second one, which loads neither torch nor the model.

    Args:
        strategy: a key of `export.worker.strategies.STRATEGIES`.
        directory: folder for `model.onnx` and the workers' logs.

    Raises:
        ExportError: the exporter fails, hangs or crashes, or writes a file that is invalid or has other names or types.
    """
    exported, path = directory / "exported" / "model.onnx", directory / "model.onnx"
    exported.parent.mkdir(parents=True)
    request = tasks.ExportRequest(
        model=subject.load,
        inputs=subject.inputs,
        outputs=subject.outputs,
        example=subject.example,
        samples=subject.samples,
        state=subject.state,
        strategy=strategy,
        opset=model.opset,
        path=exported,
    )
    search_path = [folder.resolve() for folder in model.search_path]
    first = _work(request, model, directory=directory / "export", search_path=search_path)
    finish = FinishRequest(
        exported=exported,
        path=path,
        simplify=model.simplify,
        opset=model.opset,
        inputs=subject.inputs,
        outputs=subject.outputs,
        roots=tuple(search_path),
        scope=first.value.scope,
        modules=first.value.modules,
    )
    second, notes = _finished(finish, model, directory)
    artifact = _artifact(path, second.value, strategy=strategy)
    _require_same("input", subject.inputs, artifact.inputs)
    _require_same("output", subject.outputs, artifact.outputs)
    return Exported(
        artifact=artifact,
        torch=first.value.torch,
        library_seconds=first.value.library_seconds + first.import_seconds + second.value.library_seconds + second.import_seconds,
        peak_memory=max(first.peak_memory, second.peak_memory),
        decisions=first.value.decisions,
        warned=first.value.warned,
        notes=(*notes, *(reference_wording.EXPORTED_WAY.text(where=each) for each in first.value.ways)),
    )


class Taken(NamedTuple):
    """A source that already is an ONNX file, finished, and the number of elements of its weights."""

    exported: Exported
    parameters: int


def take(model: schema.Model, source: Path, directory: Path) -> Taken:
    """Finish an existing ONNX file like an exported one. Returns it and the number of elements of its weights.

    Args:
        directory: a new folder.

    Raises:
        UsageError: its external data is missing or lies outside its folder.
        ExportError: it is invalid.
    """
    directory.mkdir(parents=True)
    path = directory / "model.onnx"
    request = FinishRequest(
        exported=source, path=path, simplify=model.simplify, opset=None, consume=False, optional=tuple(model.inputs)
    )
    worker_result, notes = _finished(request, model, directory)
    optional, constants = worker_result.value.optional, worker_result.value.constants
    notes += tuple(wording.OPTIONAL.text(name=name) for name in optional)
    if constants:
        names = ", ".join(constants[:_NAMED]) + (", …" if len(constants) > _NAMED else "")
        notes += (wording.CONSTANTS.text(count=len(constants), names=names),)
    exported = Exported(
        artifact=_artifact(path, worker_result.value, strategy="as_is"),
        torch="",
        library_seconds=worker_result.value.library_seconds + worker_result.import_seconds,
        peak_memory=worker_result.peak_memory,
        notes=notes,
    )
    return Taken(exported, worker_result.value.parameters)


def _finished(
    request: FinishRequest, model: schema.Model, directory: Path
) -> tuple[workers.WorkerResult[FinishResult], tuple[str, ...]]:
    """Finish the exported file. If simplification fails, finish it again without, and return a note that says so."""
    try:
        return _finish(request, model, directory / "finish"), ()
    except ExportError as error:
        ended = isinstance(error.__cause__, WorkerError)  # a crash, too much memory or a deadline
        if not request.simplify or not (ended or isinstance(error, SimplifyError)):
            raise
        reason = str(error.found).rstrip(".")
    worker_result = _finish(replace(request, simplify=False), model, directory / "unsimplified")
    return worker_result, (wording.UNSIMPLIFIED.text(reason=reason),)


def _finish(request: FinishRequest, model: schema.Model, directory: Path) -> workers.WorkerResult[FinishResult]:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return workers.run_worker(
            onnx_tasks.FINISH, request, directory=directory, deadline_s=model.deadline_s, memory_bytes=model.memory_bytes
        )
    except WorkerError as error:
        raise _ended(error, model) from error


def _work(
    request: tasks.ExportRequest, model: schema.Model, *, directory: Path, search_path: list[Path]
) -> workers.WorkerResult[tasks.ExportResult]:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return workers.run_worker(
            tasks.EXPORT,
            request,
            directory=directory,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
            search_path=search_path,
        )
    except WorkerError as error:
        raise _ended(error, model) from error


def _ended(error: WorkerError, model: schema.Model) -> ExportError:
    location = model.source if model.is_factory else Path(model.source).name
    return ExportError.of(wording.EXPORT_ENDED, where=location, found=error.what, details=error.details)


def _artifact(path: Path, finished: FinishResult, *, strategy: str) -> OnnxArtifact:
    return onnx_artifact.describe(
        path,
        finished,
        exporter=finished.producer,
        strategy=strategy,
        simplified=finished.simplified,
        optional=finished.optional,
    )


def _require_same(kind: str, expected: tuple[TensorSpec, ...], found: tuple[TensorSpec, ...]) -> None:
    """Require the model's names, types and ranks in the exported file, and the same size on every axis that both fix.

    Raises:
        ExportError: one of them differs, or the exporter fixed an axis that is dynamic in the spec.
    """
    described = [[f"{tensor.name} {tensor.dtype} rank {len(tensor.shape)}" for tensor in tensors] for tensors in (expected, found)]
    if sorted(described[0]) != sorted(described[1]):
        raise ExportError.of(
            wording.EXPORTED_NAMES, expected=", ".join(described[0]), found=", ".join(described[1]) or "none", kind=kind
        )
    by_name = {tensor.name: tensor for tensor in found}
    for tensor in expected:
        shape = by_name[tensor.name].shape
        for axis, (before, after) in enumerate(zip(tensor.shape, shape, strict=True)):
            if isinstance(after, str) or before == after:
                continue
            raise ExportError.of(
                wording.EXPORTED_AXIS_FIXED if isinstance(before, str) else wording.EXPORTED_SIZE,
                expected=f"{list(tensor.shape)}",
                found=f"{list(shape)}",
                kind=kind,
                name=tensor.name,
                axis=axis,
            )
