"""The PyTorch model and what it answers: the reference that everything later is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonize.core.artifacts import Reference, SampleSet, Source, TensorFiles
from tritonize.core.errors import ExportError, UsageError, WorkerError
from tritonize.process import workers
from tritonize.reference import tasks
from tritonize.reference.tasks import Observed, Precision, Recomputed
from tritonize.source.tasks import LoadRequest
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class Computed:
    """A reference, and PyTorch's own answers to some batches of the same samples."""

    reference: Reference
    batched: TensorFiles
    observed: Observed = field(default_factory=Observed)
    """What PyTorch showed beside them; nothing where ONNX Runtime computed them."""
    library_seconds: float = 0.0
    peak_memory: int = 0
    """Bytes."""


def load_request(model: schema.Model, source: Source) -> LoadRequest:
    """How a worker loads the model."""
    return LoadRequest(
        kind=source.kind,
        location=source.location,
        kwargs=model.kwargs,
        weights=model.state_dict.file if model.state_dict else None,
        weights_key=model.state_dict.key if model.state_dict else "",
        weights_prefix=model.state_dict.prefix if model.state_dict else "",
        operators=tuple(model.operators),
        inputs=tuple(model.inputs),
        outputs=tuple(model.outputs),
        training=model.training,
        fast_path=model.reference == "fast_path",
    )


def compute(
    model: schema.Model,
    source: Source,
    samples: SampleSet,
    *,
    batches: Sequence[tuple[int, ...]],
    directory: Path,
    float64: bool = False,
    apart: SampleSet | None = None,
) -> Computed:
    """Run the model in a worker on every sample alone, and on `batches` of them; a small one in float64 too, where that is asked.

    Args:
        apart: further samples with names (`edges`), each asked alone; that the model fails on one is an answer and no error.

    Raises:
        UsageError, ExportError: the model cannot be loaded or run as described; see the text.
    """
    request = tasks.ReferenceRequest(
        model=load_request(model, source),
        samples=samples,
        batches=tuple(batches),
        directory=directory,
        float64=float64,
        apart=apart,
        tolerances={name: (output.tolerance.rtol, output.tolerance.atol) for name, output in model.outputs.items()},
    )
    directory.mkdir(parents=True, exist_ok=True)
    try:
        answer = workers.run_worker(
            tasks.COMPUTE,
            request,
            directory=directory,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        )
    except WorkerError as error:
        raise died(error, "while PyTorch loaded and ran the model", source) from error
    return _computed(source, answer)


def _computed(source: Source, answer: workers.WorkerResult[tasks.ReferenceResult]) -> Computed:
    """The worker's answer, with what its process cost."""
    value = answer.value
    return Computed(
        reference=Reference(
            source=replace(source, sha256={**source.sha256, **value.code}),
            outputs=value.outputs,
            parameters=value.parameters,
            state=value.state,
            renamed=value.renamed,
        ),
        batched=value.batched,
        observed=value.observed,
        library_seconds=value.library_seconds + answer.import_seconds,
        peak_memory=answer.peak_memory,
    )


def recompute(model: schema.Model, answered: Reference, samples: SampleSet, *, dtype: Precision, directory: Path) -> Recomputed:
    """Run the model in a worker on every sample again, weights and inputs in another precision, within the bounds of `quality`.

    That it cannot, for want of time or memory or since it keeps to float32 inside, is an answer and no error.
    """
    request = tasks.RecomputeRequest(
        model=load_request(model, answered.source),
        samples=samples,
        expected=answered.outputs,
        dtype=dtype,
        directory=directory,
    )
    directory.mkdir(parents=True, exist_ok=True)
    memory = model.quality.float64_memory_mib
    try:
        answer = workers.run_worker(
            tasks.RECOMPUTE,
            request,
            directory=directory,
            deadline_s=model.quality.float64_deadline_s,
            memory_bytes=memory << 20 if memory else model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        )
    except (WorkerError, ExportError, UsageError) as error:
        return Recomputed(outputs=None, reason=f"{error.what} {error.found}" if error.found else error.what)
    seconds = answer.value.library_seconds + answer.import_seconds
    return replace(answer.value, library_seconds=seconds, peak_memory=answer.peak_memory)


def died(error: WorkerError, when: str, source: Source) -> ExportError:
    """The error of a worker that ran the user's model and gave no answer."""
    return ExportError(
        f"The model's process ended {when}.",
        where=source.location,
        found=error.what,
        cause="the model's own code exits, hangs, crashes or needs more memory than there is",
        next_step="raise deadline_s or memory_mib in the spec if that is all it lacks",
        details=error.details,
    )
