"""Compute the baseline of a Python step: what its function returns in a process without a server."""

from __future__ import annotations

from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import Reference, Source, TensorSpec
from tritonize.core.errors import ExportError, WorkerError
from tritonize.core.messages import samples as sample_wording
from tritonize.core.messages import steps as wording
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.process import workers
from tritonize.quality import gates
from tritonize.quality.golden_set import STEP_SOURCE, GoldenSet
from tritonize.reference import requirements, tasks
from tritonize.reference.baseline import Baseline, edge_cases
from tritonize.reference.runner import Computed
from tritonize.source.drawing import Drawn
from tritonize.spec import decoupled, schema


def output_specs(model: schema.Model) -> tuple[TensorSpec, ...]:
    """The outputs that the spec of a Python step describes, in their order."""
    specs = []
    for name, output in model.outputs.items():
        assert output.dtype is not None
        assert output.shape is not None
        specs.append(TensorSpec(name=name, dtype=output.dtype, shape=tuple(output.shape)))
    return tuple(specs)


def compute(model: schema.Model, source: Source, drawn: Drawn, *, folder: Path, work: Path, recorder: Recorder) -> Baseline:
    """Call the function on every sample, and on one batch of every size.

    Args:
        folder: holds the step's files, and nothing else.

    Raises:
        UsageError: the outputs are not those of the spec, or differ between a batch and its single samples.
        ExportError: the function raises, ends its process, takes too long, or is not a function of its inputs alone.
    """
    assert model.python is not None
    batches = requirements.first_batches(model, drawn.samples)
    directory = work / "reference"
    directory.mkdir(parents=True, exist_ok=True)
    request = tasks.StepRequest(
        function=f"{model.python_file.name}:{model.python.rpartition(':')[2]}",
        folder=folder.absolute(),
        inputs=tuple(model.inputs),
        outputs=output_specs(model),
        samples=drawn.samples,
        batches=tuple(batches),
        directory=directory,
        decoupled=decoupled.is_decoupled(model.triton),
    )
    with recorder.stage(StageName.STEP) as outcome:
        computed = _computed(model, source, request)
        samples = computed.samples
        requirements.require_one_shape(model, computed.reference.outputs, samples)
        checks = tuple(
            requirements.batch_check(model, computed, position, batch=batch, stage=StageName.STEP)
            for position, batch in enumerate(batches)
        )
        outcome.cost(computed)
        requests = len(samples.requests)
        what = f"{samples.files.count} responses to {requests} samples" if requests else f"{samples.files.count} samples"
        outcome.note = f"{model.python_file.name}, {what}"
    unusable = computed.observed.unusable
    usable = arrays.without_edges(samples, unusable)
    golden = GoldenSet(
        samples=usable,
        expected=computed.reference.outputs,
        max_batch_size=model.max_batch_size,
        why_not="the reference is a Python function, which computes in types of its own",
        answered_by=STEP_SOURCE,
        required=model.quality.float64 == "required",
        quick=model.quality.quick,
        rules=gates.rules(model, usable, computed.reference.outputs),
    )
    optional = ", ".join(name for name, tensor in model.inputs.items() if tensor.optional)
    omitted = (sample_wording.OMITTED.text(names=optional),) if optional else ()
    notes = (wording.OWN_REFERENCE.text(), *omitted)
    return Baseline(golden=golden, source=source, checks=checks, notes=notes, left_out=edge_cases(unusable))


def _computed(model: schema.Model, source: Source, request: tasks.StepRequest) -> Computed:
    try:
        result = workers.run_worker(
            tasks.CALL_STEP,
            request,
            directory=request.directory,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
            search_path=[request.folder],
        )
    except WorkerError as error:
        raise ExportError.of(wording.ENDED, where=request.function, found=error.what, details=error.details) from error
    value = result.value
    return Computed(
        reference=Reference(source=source, outputs=value.outputs, parameters=0),
        batched=value.batched,
        samples=value.samples,
        observed=tasks.Observed(unusable=value.unusable),
        library_seconds=value.library_seconds + result.import_seconds,
        peak_memory=result.peak_memory,
    )
