"""Start the workers that run the PyTorch model: for the reference, and again in another precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritonize.core.artifacts import Reference, SampleSet, Source, TensorFiles
from tritonize.core.errors import ExportError, UsageError, WorkerError
from tritonize.core.messages import reference as wording
from tritonize.process import workers
from tritonize.reference import tasks
from tritonize.reference.tasks import Observed, Precision, Recomputed
from tritonize.source.tasks import LoadRequest
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class Computed:
    """A reference, and PyTorch's outputs for some batches of the same samples."""

    reference: Reference
    batched: TensorFiles
    samples: SampleSet
    """Of a stateful model, with the state of every step."""
    observed: Observed = field(default_factory=Observed)
    """What the run found out besides the outputs; empty if ONNX Runtime computed them."""
    library_seconds: float = 0.0
    peak_memory: int = 0
    """Bytes."""


def load_request(model: schema.Model, source: Source) -> LoadRequest:
    """Return how a worker loads the model."""
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
    """Run the model in a worker on every sample alone, and on `batches` of samples.

    Args:
        float64: run a small model in float64 too.
        apart: further samples with names (`edges`), each run alone; a failure of the model on one of them is not an error.

    Raises:
        UsageError, ExportError: the model cannot be loaded or run as described; the error names the reason.
    """
    request = tasks.ReferenceRequest(
        model=load_request(model, source),
        samples=samples,
        batches=tuple(batches),
        directory=directory,
        float64=float64,
        apart=apart,
        tolerance=_bounds(model.tolerance or schema.Tolerance()),
        tolerances={name: _bounds(model.tolerance_of(name)) for name in model.outputs},
    )
    directory.mkdir(parents=True, exist_ok=True)
    try:
        result = workers.run_worker(
            tasks.COMPUTE,
            request,
            directory=directory,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        )
    except WorkerError as error:
        raise ExportError.of(wording.MODEL_ENDED, where=source.location, found=error.what, details=error.details) from error
    return _computed(source, result)


def _bounds(tolerance: schema.Tolerance) -> tuple[float, float]:
    return tolerance.rtol, tolerance.atol


def _computed(source: Source, result: workers.WorkerResult[tasks.ReferenceResult]) -> Computed:
    """The worker's result, with time and memory of its process."""
    value = result.value
    return Computed(
        reference=Reference(
            source=replace(source, sha256={**source.sha256, **value.code}),
            outputs=value.outputs,
            parameters=value.parameters,
            state=value.state,
            renamed=value.renamed,
        ),
        batched=value.batched,
        samples=value.samples,
        observed=value.observed,
        library_seconds=value.library_seconds + result.import_seconds,
        peak_memory=result.peak_memory,
    )


def recompute(model: schema.Model, reference: Reference, samples: SampleSet, *, dtype: Precision, directory: Path) -> Recomputed:
    """Run the model in a worker on every sample again, weights and inputs in another precision, within the limits of `quality`.

    A failure is a result with a reason, not an error: too little time or memory, or code that computes in float32 regardless.
    """
    request = tasks.RecomputeRequest(
        model=load_request(model, reference.source),
        samples=samples,
        expected=reference.outputs,
        dtype=dtype,
        directory=directory,
    )
    directory.mkdir(parents=True, exist_ok=True)
    memory = model.quality.float64_memory_mib
    try:
        result = workers.run_worker(
            tasks.RECOMPUTE,
            request,
            directory=directory,
            deadline_s=model.quality.float64_deadline_s,
            memory_bytes=memory << 20 if memory else model.memory_bytes,
            search_path=[path.resolve() for path in model.search_path],
        )
    except (WorkerError, ExportError, UsageError) as error:
        return Recomputed(outputs=None, reason=f"{error.what} {error.found}" if error.found else error.what)
    seconds = result.value.library_seconds + result.import_seconds
    return replace(result.value, library_seconds=seconds, peak_memory=result.peak_memory)
