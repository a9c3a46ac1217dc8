"""Compute a model's baseline: run it on every sample, on one batch of every size, and in float64 within its bounds.

A model that answers the same question differently, that changes itself by answering, or that cannot be batched is reported as
that, and not as a failed export.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import Check, Reference, SampleSet, Source
from tritonize.core.errors import ModelRaisedError
from tritonize.core.messages import export as export_wording
from tritonize.core.messages import reference as wording
from tritonize.core.messages import samples as edge_wording
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.quality import gates, noise_floor, nonfinite
from tritonize.quality.golden_set import GoldenSet
from tritonize.reference import as_loaded, onnx_source, requirements, runner
from tritonize.reference.baseline import Baseline, dropped_notes
from tritonize.reference.runner import Computed
from tritonize.source import drawing
from tritonize.source.drawing import Drawn
from tritonize.spec import schema

WEIGHTS_BYTES = 2 << 30
"""Weights in float64 up to which PyTorch runs in float64 by default: a run keeps to 2.5 times the size of a large model."""


def compute(model: schema.Model, source: Source, drawn: Drawn, *, work: Path, recorder: Recorder) -> Baseline:
    """Run the model on every sample.

    Where it refuses the negative integers that were drawn for lack of a range, as token ids and indices are none, samples from
    0 on are drawn and computed instead, and a note says so.

    Raises:
        UsageError: the model is not batchable, or not what the spec says.
        ExportError: it cannot be loaded or run, or is no pure function.
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
    found = _compute(model, source, drawn, work=work, recorder=recorder)
    return replace(found, notes=(*found.notes, edge_wording.NOT_NEGATIVE.text()))


def _compute(model: schema.Model, source: Source, drawn: Drawn, *, work: Path, recorder: Recorder) -> Baseline:
    """The baseline of a PyTorch model."""
    computed, checks = _run(model, source, drawn, work=work, recorder=recorder)
    requirements.require_outputs(model, computed.reference.outputs)
    kept = arrays.without_edges(drawn.samples, computed.observed.unusable)
    golden = replace(_golden(model, kept, computed, work=work, recorder=recorder), unpadded=computed.observed.unpadded)
    named = source.location if source.kind == "factory" else Path(source.location).name
    judged = as_loaded.judge(model, named, golden, variants=computed.observed.variants)
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
            *_renamed(computed.reference),
            *judged.notes,
            *dropped_notes(computed.observed.unusable),
            *((edge_wording.NOT_PADDED.text(why=computed.observed.unpadded),) if computed.observed.unpadded else ()),
            *((wording.BRANCHES_NOT_OBSERVABLE.text(source=named),) if computed.observed.traced else ()),
        ),
        facts={"branches": "not observable" if computed.observed.traced else "observed", **judged.facts},
        changed=computed.observed.changed,
        findings=judged.findings,
    )


def _renamed(own: Reference) -> Iterator[str]:
    """A sentence for each output that is not called as the model calls it."""
    for each, name in own.renamed.items():
        yield export_wording.RENAMED.text(own=each, name=name)


def _nonfinite(drawn: Drawn, computed: Computed) -> nonfinite.NonfiniteOutputs | None:
    """The answers to NaN and infinities, of the cases that the model answers."""
    answers, unasked = computed.observed.apart, computed.observed.unasked
    if not drawn.nonfinite or not answers or not answers.count:
        return None
    return nonfinite.NonfiniteOutputs(samples=arrays.without_edges(drawn.nonfinite, unasked), outputs=answers)


def _run(
    model: schema.Model, source: Source, drawn: Drawn, *, work: Path, recorder: Recorder
) -> tuple[Computed, tuple[Check, ...]]:
    """PyTorch on every sample, and on one batch of every size: a model that answers a batch otherwise is not batchable."""
    batches = requirements.first_batches(model, drawn.samples)
    with recorder.stage(StageName.PYTORCH) as outcome:
        wanted = model.quality.float64 != "off"
        computed = runner.compute(
            model, source, drawn.samples, batches=batches, directory=work / "reference", float64=wanted, apart=drawn.nonfinite
        )
        requirements.require_one_shape(model, computed.reference.outputs, drawn.samples)
        checks = tuple(requirements.batch_check(model, computed, position, batch=batch) for position, batch in enumerate(batches))
        outcome.cost(computed)
        outcome.note = f"{computed.reference.parameters:,} parameters, {drawn.samples.files.count} samples"
        if any(each.cause == "training" for each in computed.observed.variants):
            outcome.note += "; evaluation mode was switched on"
    return computed, checks


def _golden(model: schema.Model, drawn: SampleSet, computed: Computed, *, work: Path, recorder: Recorder) -> GoldenSet:
    """What the error is judged by: PyTorch in float64, within its bounds, and the rules of the spec."""
    own = computed.reference.outputs
    golden = GoldenSet(
        samples=drawn,
        expected=own,
        max_batch_size=model.max_batch_size,
        required=model.quality.float64 == "required",
        rules=gates.rules(model, drawn, own),
    )
    if model.quality.float64 == "off":
        return replace(golden, why_not="the spec says off")
    if why := _too_large(model, computed):
        recorder.not_run(StageName.PYTORCH_FP64, why)
        return replace(golden, why_not=why)
    with recorder.stage(StageName.PYTORCH_FP64) as outcome:
        exact = computed.observed.exact or runner.recompute(
            model, computed.reference, drawn, dtype="fp64", directory=work / "float64"
        )
        outcome.cost(exact)
        if exact.outputs is None:
            outcome.verdict, outcome.note = "not run", exact.reason
            return replace(golden, why_not=exact.reason)
        kinds = {name: rule.kind for name, rule in golden.rules.items()}
        found = noise_floor.measured(drawn, own, exact.outputs, kinds=kinds, moved=computed.observed.moved, without=exact.without)
        outcome.note = f"{exact.outputs.count} samples"
        why = gates.without_float64(found)
        if why:
            outcome.verdict, outcome.note = "passed" if found.floors else "not run", why
    why_not = "" if found.exact else why
    return replace(golden, exact=found.exact, floors=found.floors, unmeasured=found.unmeasured, why_not=why_not)


def _too_large(model: schema.Model, computed: Computed) -> str:
    """Why float64 is not even tried, where the spec does not ask for it by name; empty where it is."""
    size = 8 * computed.reference.parameters
    if size <= WEIGHTS_BYTES or model.quality.float64 == "required" or model.quality.float64_memory_mib:
        return ""
    return f"the weights alone take {size / 2**30:.1f} GiB in float64; quality.float64_memory_mib allows it"
