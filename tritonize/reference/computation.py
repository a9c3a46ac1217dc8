"""Compute a model's baseline: run it on every sample, on one batch of every size, and in float64 within the limits of the spec.

A model whose outputs vary for the same input, that changes itself when it runs, or that cannot be batched gets an error that says
so, and not a failed export.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import Reference, SampleSet, Source
from tritonize.core.errors import ModelRaisedError
from tritonize.core.messages import export as export_wording
from tritonize.core.messages import reference as wording
from tritonize.core.messages import samples as edge_wording
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check
from tritonize.core.results import LeftOut
from tritonize.core.stages import StageName
from tritonize.quality import gates, noise_floor, nonfinite
from tritonize.quality.golden_set import GoldenSet
from tritonize.reference import as_loaded, onnx_source, requirements, runner
from tritonize.reference.baseline import Baseline, edge_cases, padded_batches
from tritonize.reference.runner import Computed
from tritonize.source import drawing
from tritonize.source.drawing import Drawn
from tritonize.spec import schema

WEIGHTS_BYTES = 2 << 30
"""Largest size of the weights in float64 for which PyTorch runs in float64 by default. For larger models the processes of a run
must stay within 2.5 times the model's size (`benchmarks/large.py`), and float64 weights alone take twice that size."""


def compute(model: schema.Model, source: Source, drawn: Drawn, *, work: Path, recorder: Recorder) -> Baseline:
    """Run the model on every sample.

    Integer inputs without a range are drawn negative too. If the model raises on them, as it does for token ids and indices, new
    samples without negative integers are drawn, and a note says so.

    Raises:
        UsageError: the model is not batchable, or contradicts the spec.
        ExportError: the model cannot be loaded or run, or is not a pure function.
    """
    if source.kind == "onnx":
        return onnx_source.compute(model, source, drawn, work=work, recorder=recorder)
    try:
        return _compute(model, source, drawn, work=work, recorder=recorder)
    except ModelRaisedError:
        if not drawn.guessed_sign:
            raise
    work = work / "not_negative"
    drawn = drawing.draw(model, source, work, recorder=recorder, negative=False)
    baseline = _compute(model, source, drawn, work=work, recorder=recorder)
    return replace(baseline, notes=(*baseline.notes, edge_wording.NOT_NEGATIVE.text()))


def _compute(model: schema.Model, source: Source, drawn: Drawn, *, work: Path, recorder: Recorder) -> Baseline:
    """Compute the baseline of a PyTorch model."""
    computed, checks = _run(model, source, drawn, work=work, recorder=recorder)
    requirements.require_outputs(model, computed.reference.outputs)
    usable = arrays.without_edges(computed.samples, computed.observed.unusable)
    golden = replace(_golden(model, usable, computed, work=work, recorder=recorder), unpadded=computed.observed.unpadded)
    source_name = source.location if source.kind == "factory" else Path(source.location).name
    judgement = as_loaded.judge(model, source_name, golden, variants=computed.observed.variants)
    return Baseline(
        golden=golden,
        source=computed.reference.source,
        parameters=computed.reference.parameters,
        state=computed.reference.state,
        renamed=computed.reference.renamed,
        example=drawn.example,
        nonfinite=_nonfinite(drawn, computed),
        checks=checks,
        notes=(
            *((edge_wording.MIRRORED.text(count=drawn.samples.mirrored),) if drawn.samples.mirrored else ()),
            *_renamed(computed.reference),
            *judgement.notes,
            *((wording.BRANCHES_NOT_OBSERVABLE.text(source=source_name),) if computed.observed.traced else ()),
        ),
        left_out=(
            *edge_cases(computed.observed.unusable),
            *(LeftOut(part="inputs with NaN", name=name, why=why) for name, why in computed.observed.failed_apart.items()),
            *padded_batches(computed.observed.unpadded),
        ),
        facts={"branches": "not observable" if computed.observed.traced else "observed", **judgement.facts},
        changed=computed.observed.changed,
        findings=judgement.findings,
    )


def _renamed(reference: Reference) -> Iterator[str]:
    """Yield a sentence for each output that has another name than in the model."""
    for model_name, name in reference.renamed.items():
        yield export_wording.RENAMED.text(own=model_name, name=name)


def _nonfinite(drawn: Drawn, computed: Computed) -> nonfinite.NonfiniteOutputs | None:
    """Return the samples with NaN and infinities on which the model does not fail, with their outputs; `None` if there are none."""
    outputs, failed = computed.observed.apart, computed.observed.failed_apart
    if not drawn.nonfinite or not outputs or not outputs.count:
        return None
    return nonfinite.NonfiniteOutputs(samples=arrays.without_edges(drawn.nonfinite, failed), outputs=outputs)


def _run(
    model: schema.Model, source: Source, drawn: Drawn, *, work: Path, recorder: Recorder
) -> tuple[Computed, tuple[Check, ...]]:
    """Run PyTorch on every sample and on one batch of every size, and check that the model is batchable."""
    batches = requirements.first_batches(model, drawn.samples)
    with recorder.stage(StageName.PYTORCH) as outcome:
        float64 = model.quality.float64 != "off"
        computed = runner.compute(
            model, source, drawn.samples, batches=batches, directory=work / "reference", float64=float64, apart=drawn.nonfinite
        )
        requirements.require_one_shape(model, computed.reference.outputs, computed.samples)
        checks = tuple(requirements.batch_check(model, computed, position, batch=batch) for position, batch in enumerate(batches))
        outcome.cost(computed)
        outcome.note = f"{computed.reference.parameters:,} parameters, {drawn.samples.files.count} samples"
        if any(variant.cause == "training" for variant in computed.observed.variants):
            outcome.note += "; set to eval mode"
    return computed, checks


def _golden(model: schema.Model, drawn: SampleSet, computed: Computed, *, work: Path, recorder: Recorder) -> GoldenSet:
    """Make the golden set: the expected outputs, PyTorch in float64 within its limits, and the rules of the spec."""
    outputs = computed.reference.outputs
    golden = GoldenSet(
        samples=drawn,
        expected=outputs,
        max_batch_size=model.max_batch_size,
        required=model.quality.float64 == "required",
        quick=model.quality.quick,
        rules=gates.rules(model, drawn, outputs),
    )
    if model.quality.float64 == "off":
        return replace(golden, why_not="a quick run" if model.quality.quick else "the spec sets quality.float64: off")
    if why := _too_large(model, computed):
        recorder.not_run(StageName.PYTORCH_FP64, why)
        return replace(golden, why_not=why)
    with recorder.stage(StageName.PYTORCH_FP64) as outcome:
        float64 = computed.observed.exact or runner.recompute(
            model, computed.reference, drawn, dtype="fp64", directory=work / "float64"
        )
        outcome.cost(float64)
        if float64.outputs is None:
            outcome.verdict, outcome.note = "not run", float64.reason
            return replace(golden, why_not=float64.reason)
        kinds = {name: rule.kind for name, rule in golden.rules.items()}
        measured = noise_floor.measured(
            drawn, outputs, float64.outputs, kinds=kinds, moved=computed.observed.moved, without=float64.without
        )
        outcome.note = f"{float64.outputs.count} samples"
        why = gates.without_float64(measured)
        if why:
            outcome.verdict, outcome.note = "passed" if measured.floors else "not run", why
    why_not = "" if measured.exact else why
    return replace(golden, exact=measured.exact, floors=measured.floors, unmeasured=measured.unmeasured, why_not=why_not)


def _too_large(model: schema.Model, computed: Computed) -> str:
    """Return why float64 is not tried for a large model; empty if it is tried, also because the spec requires it."""
    size = 8 * computed.reference.parameters
    if size <= WEIGHTS_BYTES or model.quality.float64 == "required" or model.quality.float64_memory_mib:
        return ""
    return f"the weights alone take {size / 2**30:.1f} GiB in float64; to run it, set quality.float64_memory_mib"
