"""Edge cases whose answer rounding alone decides: how far it moves them is measured and allowed for, or they are left out."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

from tritonize.core.artifacts import Check, OnnxArtifact, SampleSet, TensorCheck
from tritonize.core.errors import ExportError
from tritonize.core.messages import quality as wording
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.onnx_model import runtime
from tritonize.onnx_model.tasks import SamplesRequest, Sensitivity
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import summation_error
from tritonize.spec import schema

OVER_PLACES = ("InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization")
"""Operators that divide a constant by next to nothing."""
EXPLAINED = 10.0
"""How many times as far as rounding was seen to move an answer it may be off, and rounding still be the reason."""


def allow_for_rounding(
    model: schema.Model, artifact: OnnxArtifact, tracker: ErrorTracker, *, work: Path, recorder: Recorder
) -> float:
    """Measure how far rounding alone moves the answers to edge cases whose error PyTorch's own noise hardly explains.

    Sums over whole axes count as plain ones, since on a constant their error is one of sign and not of chance. Where it cannot be
    measured, PyTorch's own noise decides alone.

    Returns:
        Seconds that the libraries took for it.
    """
    edges, indices = tracker.golden.samples.edges, _in_doubt(artifact, tracker)
    if not indices:
        return 0.0
    found = _sensitivity(model, artifact, tracker.golden.samples, indices=indices, work=work, recorder=recorder)
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


def _sensitivity(
    model: schema.Model, artifact: OnnxArtifact, samples: SampleSet, *, indices: Sequence[int], work: Path, recorder: Recorder
) -> Sensitivity | None:
    """How far rounding moves the answers; `None`, and a stage that did not run, where that cannot be measured."""
    try:
        return runtime.sensitivity(
            SamplesRequest(
                path=artifact.path,
                samples=samples,
                indices=tuple(indices),
                directory=work,
                libraries=tuple(model.custom_op_libraries),
            ),
            deadline_s=model.deadline_s,
            memory_bytes=model.memory_bytes,
        )
    except ExportError as error:
        note = f"{error.what} {error.found}" if error.found else error.what
        recorder.not_run(StageName.ROUNDING, note)
        return None


def unanswerable(
    model: schema.Model, artifact: OnnxArtifact, golden: GoldenSet, *, checks: Sequence[Check], work: Path, recorder: Recorder
) -> dict[str, str]:
    """Edge cases that float32 cannot answer to the tolerance: name to why.

    Of those whose answer is outside it, where rounding alone moves the answer as far, and explains the whole error; or where the
    answer is whole numbers that say which of several values comes first, which no rule decides where inputs of one value tie.
    """
    edges = golden.samples.edges
    failing = {check.samples[0]: check for check in checks if not check.passed and check.samples[0] in edges}
    found = {edges[index]: why for index, why in _beyond_tolerance(golden).items() if index not in failing}
    measured = (
        _sensitivity(model, artifact, golden.samples, indices=list(failing), work=work, recorder=recorder) if failing else None
    )
    for (index, check), far in zip(failing.items(), measured.moved if measured else (), strict=False):
        bad = [tensor for tensor in check.tensors if not tensor.passed]
        reasons = [_why_unanswerable(tensor, far.get(tensor.name, 0.0), measured.chosen if measured else ()) for tensor in bad]
        if all(reasons):
            found[edges[index]] = reasons[0]
    left = {index: check for index, check in failing.items() if edges[index] not in found}
    sums = summation_error.explained(model, artifact, golden, checks=left, work=work / "sums", recorder=recorder)
    return found | {edges[index]: why for index, why in sums.items()}


def _beyond_tolerance(golden: GoldenSet) -> dict[int, str]:
    """Edge cases that rounding was seen to move beyond the tolerance: what another machine answers to them is chance."""
    indices = {name: index for index, name in golden.samples.edges.items()}
    found = {}
    for floor in golden.floors:
        tolerance = golden.rule(floor.output).tolerance
        if floor.group in indices and floor.sensitivity > tolerance.atol + tolerance.rtol * floor.scale:
            found[indices[floor.group]] = wording.EDGE_ROUNDED.text(output=floor.output, far=floor.sensitivity)
    return found


def _why_unanswerable(tensor: TensorCheck, moved: float, chosen: Collection[str]) -> str:
    """Empty where the answer is simply wrong."""
    alike = (tensor.expected_dtype, tensor.expected_shape) == (tensor.found_dtype, tensor.found_shape)
    if alike and (tensor.expected_dtype or "").startswith(("int", "uint")) and tensor.name in chosen:
        return wording.EDGE_TIES.text(output=tensor.name)
    if not alike and math.isinf(moved) and tensor.found_dtype == tensor.expected_dtype:
        return wording.EDGE_NUMBER.text(output=tensor.name)
    if _explained(tensor, moved):
        return wording.EDGE_ROUNDED.text(output=tensor.name, far=moved)
    return ""


def _explained(tensor: TensorCheck, moved: float) -> bool:
    return tensor.max_abs is not None and moved > tensor.atol and tensor.max_abs <= EXPLAINED * moved
