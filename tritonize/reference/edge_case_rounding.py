"""Edge cases whose outputs depend on rounding: measure the effect of rounding and allow for it, or drop the edge case."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

from tritonize.core.artifacts import OnnxArtifact, SampleSet
from tritonize.core.errors import ExportError
from tritonize.core.messages import quality as wording
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check, TensorCheck
from tritonize.core.stages import StageName
from tritonize.onnx_model import runtime
from tritonize.onnx_model.tasks import SamplesRequest, Sensitivity
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import summation_error
from tritonize.spec import schema

SPATIAL_NORMALIZATIONS = ("InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization")
"""Operators that compute 0 / sqrt(epsilon) for a constant input, where 0 is a rounding error."""
EXPLAINED = 10.0
"""Rounding explains an error of up to this many times the measured effect of rounding."""


def allow_for_rounding(
    model: schema.Model, artifact: OnnxArtifact, tracker: ErrorTracker, *, work: Path, recorder: Recorder
) -> float:
    """Measure how far rounding alone moves the outputs for edge cases whose error is near or above PyTorch's noise floor.

    On a constant input the rounding errors of a sum have one sign and do not average out, so the noise floor says little there.
    If rounding cannot be measured, the noise floor alone decides.

    Returns:
        Seconds spent in libraries.
    """
    edges, indices = tracker.golden.samples.edges, _doubtful(artifact, tracker)
    if not indices:
        return 0.0
    sensitivity = _sensitivity(model, artifact, tracker.golden.samples, indices=indices, work=work, recorder=recorder)
    if sensitivity is None:
        return 0.0
    pairs = zip(indices, sensitivity.moved, strict=True)
    moved = ((name, index, distance) for index, outputs in pairs for name, distance in outputs.items())
    tracker.allow_for_rounding({(name, edges[index]): distance for name, index, distance in moved if math.isfinite(distance)})
    return sensitivity.library_seconds


def _doubtful(artifact: OnnxArtifact, tracker: ErrorTracker) -> tuple[int, ...]:
    """Return the edge cases whose error may come from rounding; all of them if the file has a spatial normalization."""
    if tracker.golden.floors and artifact.node_map is not None:
        nodes = artifact.node_map.read_text(encoding="utf-8")
        if any(f'"{operator}"' in nodes for operator in SPATIAL_NORMALIZATIONS):
            return tuple(tracker.golden.samples.edges)
    return tracker.doubtful()


def _sensitivity(
    model: schema.Model, artifact: OnnxArtifact, samples: SampleSet, *, indices: Sequence[int], work: Path, recorder: Recorder
) -> Sensitivity | None:
    """Measure how far rounding moves the outputs; on failure, return `None` and record a stage that did not run."""
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


def undetermined(
    model: schema.Model, artifact: OnnxArtifact, golden: GoldenSet, *, checks: Sequence[Check], work: Path, recorder: Recorder
) -> dict[str, str]:
    """Find the edge cases whose outputs float32 does not determine to within the tolerance: name to reason.

    An edge case is undetermined if rounding moves its output beyond the tolerance. If its output is outside the tolerance, the
    effect of rounding must also explain the whole error, or the output must be integers from a ranking (the order of tied values
    is unspecified), or summation in ONNX Runtime must be the cause.
    """
    edges = golden.samples.edges
    failing = {check.samples[0]: check for check in checks if not check.passed and check.samples[0] in edges}
    reasons = {edges[index]: why for index, why in _beyond_tolerance(golden).items() if index not in failing}
    sensitivity = (
        _sensitivity(model, artifact, golden.samples, indices=list(failing), work=work, recorder=recorder) if failing else None
    )
    for (index, check), moved in zip(failing.items(), sensitivity.moved if sensitivity else (), strict=False):
        failed = [tensor for tensor in check.tensors if not tensor.passed]
        ranked = sensitivity.chosen if sensitivity else ()
        by_tensor = [_why_undetermined(tensor, moved.get(tensor.name, 0.0), ranked) for tensor in failed]
        if all(by_tensor):
            reasons[edges[index]] = by_tensor[0]
    left = {index: check for index, check in failing.items() if edges[index] not in reasons}
    sums = summation_error.explained(model, artifact, golden, checks=left, work=work / "sums", recorder=recorder)
    return reasons | {edges[index]: why for index, why in sums.items()}


def _beyond_tolerance(golden: GoldenSet) -> dict[int, str]:
    """Return the edge cases that rounding moves beyond the tolerance, with the reason; their outputs may differ by machine."""
    indices = {name: index for index, name in golden.samples.edges.items()}
    reasons = {}
    for floor in golden.floors:
        tolerance = golden.rule(floor.output).tolerance
        if floor.group in indices and floor.sensitivity > tolerance.atol + tolerance.rtol * floor.scale:
            reasons[indices[floor.group]] = wording.EDGE_ROUNDED.text(output=floor.output, far=floor.sensitivity)
    return reasons


def _why_undetermined(tensor: TensorCheck, moved: float, ranked: Collection[str]) -> str:
    """Return why float32 does not determine an output; empty if the output is wrong.

    Args:
        moved: effect of rounding on the output.
        ranked: outputs that depend on a ranking of values.
    """
    same_form = (tensor.expected_dtype, tensor.expected_shape) == (tensor.found_dtype, tensor.found_shape)
    if same_form and (tensor.expected_dtype or "").startswith(("int", "uint")) and tensor.name in ranked:
        return wording.EDGE_TIES.text(output=tensor.name)
    if not same_form and math.isinf(moved) and tensor.found_dtype == tensor.expected_dtype:
        return wording.EDGE_NUMBER.text(output=tensor.name)
    if _explained(tensor, moved):
        return wording.EDGE_ROUNDED.text(output=tensor.name, far=moved)
    return ""


def _explained(tensor: TensorCheck, moved: float) -> bool:
    return tensor.max_abs is not None and moved > tensor.atol and tensor.max_abs <= EXPLAINED * moved
