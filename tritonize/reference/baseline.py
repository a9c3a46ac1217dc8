"""PyTorch asked first, and about itself: the answers that everything later is compared with, and what they are judged by.

A model that answers the same question differently, that changes itself by answering, or that cannot be batched is reported as
that, and not as a failed export.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonize.core import arrays
from tritonize.core.artifacts import Check, Finding, OnnxArtifact, Reference, SampleSet, Source, TensorCheck, TensorFiles
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import export as export_wording
from tritonize.core.messages import quality as quality_wording
from tritonize.core.messages import reference as wording
from tritonize.core.messages import samples as edge_wording
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.onnx_model import runtime
from tritonize.quality import gates, noise_floor, nonfinite
from tritonize.quality.comparison import compare
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import as_loaded, runner, summation_error
from tritonize.reference.runner import Computed
from tritonize.source import samples
from tritonize.spec import schema

WEIGHTS_BYTES = 2 << 30
"""Weights in float64 up to which PyTorch is asked in float64 untold: a run keeps to 2.5 times the size of a large model."""
OVER_PLACES = ("InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization")
"""Operators that divide a constant by next to nothing."""
EXPLAINED = 10.0
"""How many times as far as rounding was seen to move an answer it may be off, and rounding still be the reason."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What PyTorch answered, and what it is judged by."""

    samples: SampleSet
    """Without the edge cases that the model has no answer to."""
    computed: Computed
    golden: GoldenSet
    checks: tuple[Check, ...]
    """Its own batches against its answers to single samples."""
    notes: tuple[str, ...]
    facts: Mapping[str, Any]
    """What is known of the reference itself, as plain data."""
    findings: tuple[Finding, ...]
    """Why it is not settled what the reference is."""
    nonfinite: nonfinite.Asked | None = None
    """Its answers to NaN and infinities."""


def ask(
    model: schema.Model, source: Source, drawn: SampleSet, work: Path, recorder: Recorder, apart: SampleSet | None = None
) -> Answered:
    """Run PyTorch on every sample, on one batch of every size, and in float64 within its bounds.

    Args:
        apart: samples with NaN and infinities.

    Raises:
        UsageError: the model is not batchable, or not what the spec says.
        ExportError: it cannot be loaded or run, or is no pure function.
    """
    computed, checks = _ask(model, source, drawn, apart, work, recorder)
    kept, notes = usable(drawn, computed.unusable)
    notes += (edge_wording.NOT_PADDED.text(why=computed.unpadded),) if computed.unpadded else ()
    golden = replace(_golden(model, kept, computed, work, recorder), unpadded=computed.unpadded)
    named = source.location if source.kind == "factory" else Path(source.location).name
    judged = as_loaded.judge(model, named, golden, computed.variants)
    notes = (*judged.notes, *notes)
    if computed.traced:
        notes += (wording.BRANCHES_NOT_OBSERVABLE.text(source=named),)
    asked = None
    if apart and computed.apart and computed.apart.count:
        asked = nonfinite.Asked(samples=samples.without(apart, computed.unasked), outputs=computed.apart)
    notes = (*_renamed(computed.reference), *notes)
    return Answered(
        samples=kept,
        computed=computed,
        golden=golden,
        checks=checks,
        notes=notes,
        facts={"branches": "not observable" if computed.traced else "observed", **judged.facts},
        findings=judged.findings,
        nonfinite=asked,
    )


def _renamed(own: Reference) -> Iterator[str]:
    """A sentence for each output that is not called as the model calls it."""
    for each, name in own.renamed.items():
        yield export_wording.RENAMED.text(own=each, name=name)


def with_edges(model: schema.Model, drawn: SampleSet) -> SampleSet:
    """The samples with the edge cases behind them that the spec asks for."""
    asked = model.quality.edge_cases
    if not asked:
        return drawn
    whole = samples.add_edges(model, drawn)
    return whole if asked is True else samples.without(whole, set(whole.edges.values()).difference(asked))


def tolerance(model: schema.Model, output: str) -> schema.Tolerance:
    """The tolerance of an output, as asked for or the default."""
    return model.outputs[output].tolerance if output in model.outputs else schema.Tolerance()


def _ask(
    model: schema.Model, source: Source, drawn: SampleSet, apart: SampleSet | None, work: Path, recorder: Recorder
) -> tuple[Computed, tuple[Check, ...]]:
    """PyTorch on every sample, and on one batch of every size: a model that answers a batch otherwise is not batchable."""
    batches = first_batches(model, drawn)
    with recorder.stage(StageName.PYTORCH) as outcome:
        wanted = model.quality.float64 != "off"
        answered = runner.compute(model, source, drawn, batches, work / "reference", float64=wanted, apart=apart)
        require_one_shape(model, answered.reference.outputs, drawn)
        checks = tuple(batch_check(model, answered, position, batch) for position, batch in enumerate(batches))
        outcome.cost(answered)
        outcome.note = f"{answered.reference.parameters:,} parameters, {drawn.files.count} samples"
        if any(each.cause == "training" for each in answered.variants):
            outcome.note += "; evaluation mode was switched on"
    return answered, checks


def first_batches(model: schema.Model, drawn: SampleSet) -> list[tuple[int, ...]]:
    """One batch of every size and shape."""
    sizes = [size for size in arrays.batch_sizes(model.max_batch_size) if size > 1]
    return [batch for size in sizes for batch in arrays.first_batches(drawn, size)]


def batch_check(
    model: schema.Model, answered: Computed, position: int, batch: tuple[int, ...], stage: StageName = StageName.PYTORCH
) -> Check:
    """An answer to a batch against the answers to its samples alone.

    Args:
        position: of the batch among `answered.batched`.

    Raises:
        UsageError: they differ, or the outputs have no batch axis.
    """
    found = arrays.load(answered.batched, position)
    singles = [arrays.load(answered.reference.outputs, index) for index in batch]
    for name, array in found.items():
        if not array.ndim or array.shape[0] != len(batch) or singles[0][name].shape[:1] != (1,):
            raise _not_batchable(len(batch), f"output {name!r} has shape {list(array.shape)} for {len(batch)} samples")
    expected = runner.expected(answered.reference, batch)
    tensors = compare(expected, found, {name: tolerance(model, name) for name in expected})
    check = Check(stage=stage, batch_size=len(batch), samples=batch, tensors=tensors)
    if not check.passed:
        bad = next(tensor for tensor in tensors if not tensor.passed)
        far = "" if bad.max_abs is None else f"; largest difference {bad.max_abs:.3g}"
        raise _not_batchable(len(batch), f"output {bad.name!r}: {bad.reason}{far}")
    return check


def require_one_shape(model: schema.Model, outputs: TensorFiles, drawn: SampleSet) -> None:
    """Raise where answers to samples of one shape, which may lie in one batch, have several.

    Raises:
        UsageError: it names the output and two shapes.
    """
    for members in arrays.groups(drawn) if model.max_batch_size > 1 else ():
        first = arrays.load(outputs, members[0])
        for index in members[1:]:
            for name, array in arrays.load(outputs, index).items():
                if array.shape[1:] != first[name].shape[1:]:
                    raise UsageError.of(
                        quality_wording.SIZES_BY_DATA,
                        where=f"output {name}, samples {members[0]} and {index}",
                        found=f"shapes {list(first[name].shape)} and {list(array.shape)}",
                    )


def _not_batchable(size: int, found: str) -> UsageError:
    return UsageError(
        f"The model is not batchable: its answer to a batch of {size} is not its answers to the samples one by one.",
        found=found,
        cause="the model mixes the samples of a batch, or has no batch axis",
        next_step="set max_batch_size to 0 (--no-batch on the command line), or mend the model",
    )


def usable(drawn: SampleSet, unusable: Mapping[str, str]) -> tuple[SampleSet, tuple[str, ...]]:
    """The samples without edge cases that the model has no answer to, and a sentence for each of these."""
    kept = samples.without(drawn, unusable)
    return kept, tuple(f"Edge case {name} is not among the samples: {why}." for name, why in unusable.items())


def _golden(model: schema.Model, drawn: SampleSet, answered: Computed, work: Path, recorder: Recorder) -> GoldenSet:
    """What the error is judged by: PyTorch in float64, within its bounds, and the rules of the spec."""
    own = answered.reference.outputs
    asked = GoldenSet(
        samples=drawn,
        expected=own,
        max_batch_size=model.max_batch_size,
        required=model.quality.float64 == "required",
        rules=gates.rules(model, drawn, own),
    )
    if model.quality.float64 == "off":
        return replace(asked, why_not="the spec says off")
    if why := _too_large(model, answered):
        recorder.not_run(StageName.PYTORCH_FP64, why)
        return replace(asked, why_not=why)
    with recorder.stage(StageName.PYTORCH_FP64) as outcome:
        exact = answered.exact or runner.recompute(model, answered.reference, drawn, "fp64", work / "float64")
        outcome.cost(exact)
        if exact.outputs is None:
            outcome.verdict, outcome.note = "not run", exact.reason
            return replace(asked, why_not=exact.reason)
        kinds = {name: rule.kind for name, rule in asked.rules.items()}
        found = noise_floor.measured(drawn, own, exact.outputs, kinds=kinds, moved=answered.moved, without=exact.without)
        outcome.note = f"{exact.outputs.count} samples"
        why = gates.without_float64(found)
        if why:
            outcome.verdict, outcome.note = "passed" if found.floors else "not run", why
    why_not = "" if found.exact else why
    return replace(asked, exact=found.exact, floors=found.floors, unmeasured=found.unmeasured, why_not=why_not)


def allow_for_rounding(model: schema.Model, artifact: OnnxArtifact, tracker: ErrorTracker, work: Path, recorder: Recorder) -> float:
    """Measure how far rounding alone moves the answers to edge cases whose error PyTorch's own noise hardly explains.

    Sums over whole axes count as plain ones, since on a constant their error is one of sign and not of chance. Where it cannot be
    measured, PyTorch's own noise decides alone.

    Returns:
        Seconds that the libraries took for it.
    """
    edges, indices = tracker.golden.samples.edges, _in_doubt(artifact, tracker)
    if not indices:
        return 0.0
    found = _sensitivity(model, artifact, tracker.golden.samples, indices, work, recorder)
    if found is None:
        return 0.0
    pairs = zip(indices, found.moved, strict=True)
    moved = ((name, index, far) for index, outputs in pairs for name, far in outputs.items())
    tracker.allow_for_rounding({(name, edges[index]): far for name, index, far in moved if math.isfinite(far)})
    return found.library_seconds


def _in_doubt(artifact: OnnxArtifact, tracker: ErrorTracker) -> tuple[int, ...]:
    """Edge cases that rounding may decide: by their error here; all of them where a constant is 0 / sqrt(eps) on the way."""
    if tracker.golden.floors and artifact.node_map is not None:
        nodes = artifact.node_map.read_text(encoding="utf-8")
        if any(f'"{operator}"' in nodes for operator in OVER_PLACES):
            return tuple(tracker.golden.samples.edges)
    return tracker.doubtful()


def _too_large(model: schema.Model, answered: Computed) -> str:
    """Why float64 is not even tried, where nobody asked for it by name; empty where it is."""
    size = 8 * answered.reference.parameters
    if size <= WEIGHTS_BYTES or model.quality.float64 == "required" or model.quality.float64_memory_mib:
        return ""
    return f"the weights alone take {size / 2**30:.1f} GiB in float64; quality.float64_memory_mib allows it"


def _sensitivity(
    model: schema.Model, artifact: OnnxArtifact, asked: SampleSet, indices: Sequence[int], work: Path, recorder: Recorder
) -> runtime.Sensitivity | None:
    """How far rounding moves the answers; `None` where that cannot be measured, which is told as a stage."""
    try:
        return runtime.sensitivity(
            artifact.path,
            asked,
            indices,
            work,
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
            libraries=model.custom_op_libraries,
        )
    except ExportError as error:
        note = f"{error.what} {error.found}" if error.found else error.what
        recorder.not_run(StageName.ROUNDING, note)
        return None


def unanswerable(
    model: schema.Model, artifact: OnnxArtifact, golden: GoldenSet, checks: Sequence[Check], work: Path, recorder: Recorder
) -> dict[str, str]:
    """Edge cases that float32 cannot answer to the tolerance: name to why.

    Of those whose answer is outside it, where rounding alone moves the answer as far, and explains the whole error; or where the
    answer is whole numbers that say which of several values comes first, which is nobody's rule where inputs of one value tie.
    """
    edges = golden.samples.edges
    failing = {check.samples[0]: check for check in checks if not check.passed and check.samples[0] in edges}
    found = {edges[index]: why for index, why in _beyond_tolerance(golden).items() if index not in failing}
    measured = _sensitivity(model, artifact, golden.samples, list(failing), work, recorder) if failing else None
    for (index, check), far in zip(failing.items(), measured.moved if measured else (), strict=False):
        bad = [tensor for tensor in check.tensors if not tensor.passed]
        reasons = [_why_unanswerable(tensor, far.get(tensor.name, 0.0), measured.chosen if measured else ()) for tensor in bad]
        if all(reasons):
            found[edges[index]] = reasons[0]
    left = {index: check for index, check in failing.items() if edges[index] not in found}
    sums = summation_error.explained(model, artifact, golden, left, work / "sums", recorder)
    return found | {edges[index]: why for index, why in sums.items()}


def _beyond_tolerance(golden: GoldenSet) -> dict[int, str]:
    """Edge cases that rounding was seen to move beyond the tolerance: what another machine answers to them is chance."""
    indices = {name: index for index, name in golden.samples.edges.items()}
    found = {}
    for floor in golden.floors:
        tolerance = golden.rule(floor.output).tolerance
        if floor.group in indices and floor.sensitivity > tolerance.atol + tolerance.rtol * floor.scale:
            found[indices[floor.group]] = quality_wording.EDGE_ROUNDED.text(output=floor.output, far=floor.sensitivity)
    return found


def _why_unanswerable(tensor: TensorCheck, moved: float, chosen: Collection[str]) -> str:
    """Empty where the answer is simply wrong."""
    alike = (tensor.expected_dtype, tensor.expected_shape) == (tensor.found_dtype, tensor.found_shape)
    if alike and (tensor.expected_dtype or "").startswith(("int", "uint")) and tensor.name in chosen:
        return quality_wording.EDGE_TIES.text(output=tensor.name)
    if not alike and math.isinf(moved) and tensor.found_dtype == tensor.expected_dtype:
        return quality_wording.EDGE_NUMBER.text(output=tensor.name)
    if _explained(tensor, moved):
        return quality_wording.EDGE_ROUNDED.text(output=tensor.name, far=moved)
    return ""


def _explained(tensor: TensorCheck, moved: float) -> bool:
    return tensor.max_abs is not None and moved > tensor.atol and tensor.max_abs <= EXPLAINED * moved


def drop(answered: Reference, golden: GoldenSet, dropped: Collection[str]) -> tuple[Reference, GoldenSet]:
    """The reference and the golden set without some edge cases, by name."""
    indices = [index for index, name in golden.samples.edges.items() if name in dropped]
    kept = samples.without(golden.samples, dropped)
    own = arrays.drop(answered.outputs, indices)
    exact = arrays.drop(golden.exact, indices) if golden.exact else None
    floors = tuple(floor for floor in golden.floors if floor.group not in dropped)
    unmeasured = tuple(each for each in golden.unmeasured if each.group not in dropped)
    left = replace(golden, samples=kept, expected=own, exact=exact, floors=floors, unmeasured=unmeasured)
    return replace(answered, outputs=own), left
