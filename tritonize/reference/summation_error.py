"""Measure the part of an error that comes from summation in ONNX Runtime, and allow for it within a bound.

ONNX Runtime sums the terms of a normalization less precisely than PyTorch; over 96³ elements its error is 30 to 90 times PyTorch's
own float32 error. The file runs again with these sums in float64. If the outputs are then within the same limit, and rounding
explains the error of each summing node on the same values, outputs are also compared with the exact outputs shifted by the error
of the float32 sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import OnnxArtifact, SampleSet, TensorFiles
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import quality as wording
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check
from tritonize.core.results import Gate, NoiseFloor
from tritonize.core.stages import StageName
from tritonize.onnx_model import runtime
from tritonize.onnx_model.tasks import MeasuredSum, SamplesRequest, Sums
from tritonize.quality import noise_floor
from tritonize.quality.comparison import compare
from tritonize.quality.differences import floating, measure
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker, Moved
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """The allowance for summation in ONNX Runtime."""

    moved: Moved | None
    """Argument of `ErrorTracker.allow_for_sums`; `None` without an allowance."""
    library_seconds: float = 0.0


def allow(model: schema.Model, artifact: OnnxArtifact, tracker: ErrorTracker, *, work: Path, recorder: Recorder) -> Allowance:
    """Measure the summation error of ONNX Runtime for outputs over the noise-floor limit.

    If it cannot be measured, or rounding does not explain it, the reason is recorded as a stage that did not run.

    Args:
        tracker: contains ONNX Runtime's outputs.
    """
    failed = [gate for gate in tracker.gates() if _is_over(gate) and tracker.is_finite(gate)]
    groups = {gate.group for gate in failed}
    samples = tracker.golden.samples
    indices = [index for index in range(samples.files.count) if samples.group(index) in groups]
    sums = _measured(model, artifact, samples, indices=indices, work=work, recorder=recorder) if indices else None
    if sums is None:
        return Allowance(moved=None)
    return Allowance(
        moved=moved(tracker.golden, failed, indices, sums=sums, directory=work / "moved"), library_seconds=sums.library_seconds
    )


def explained(
    model: schema.Model, artifact: OnnxArtifact, golden: GoldenSet, *, checks: Mapping[int, Check], work: Path, recorder: Recorder
) -> dict[int, str]:
    """Find the samples whose outputs are outside the tolerance only because of summation in ONNX Runtime: sample to reason.

    Args:
        checks: sample to its failed check, run alone.
    """
    sums = _measured(model, artifact, golden.samples, indices=list(checks), work=work, recorder=recorder) if checks else None
    if sums is None or sums.wide is None or sums.plain is None:
        return {}
    reasons = {}
    for place, (index, check) in enumerate(checks.items()):
        failed = [tensor.name for tensor in check.tensors if not tensor.passed]
        expected, plain, wide = arrays.load(golden.expected, index), arrays.load(sums.plain, place), arrays.load(sums.wide, place)
        if not all(name in wide and name in expected and floating(expected[name]) for name in failed):
            continue
        with_wide_sums = compare(
            {name: expected[name] for name in failed}, {name: wide[name] for name in failed}, golden.tolerances
        )
        if all(tensor.passed for tensor in with_wide_sums):
            distances = {name: measure(wide[name], plain[name], 0.0, atol=0.0, ulp=False).max_abs for name in failed}
            name = max(distances, key=lambda output: distances[output])
            reasons[index] = wording.EDGE_SUMS.text(output=name, far=distances[name])
    return reasons


def _measured(
    model: schema.Model, artifact: OnnxArtifact, samples: SampleSet, *, indices: Sequence[int], work: Path, recorder: Recorder
) -> Sums | None:
    """Measure the sums; return `None` if the file has none, or if they could not be measured, and record why not."""
    try:
        sums = runtime.sums(
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
        note = beyond_rounding(sums.nodes)
    except (ExportError, UsageError) as error:
        sums, note = None, f"{error.what} {error.found}" if error.found else error.what
    if note:
        recorder.not_run(StageName.SUMS, note)
        return None
    return sums if sums and sums.nodes else None


def _is_over(gate: Gate) -> bool:
    """Return whether ONNX Runtime's outputs exceed the noise-floor limit of this gate."""
    return gate.gate == "noise floor" and gate.stage is StageName.ONNXRUNTIME and gate.verdict == "failed"


def beyond_rounding(nodes: Iterable[Sequence[MeasuredSum]]) -> str:
    """Return a sentence about the first node whose error rounding does not explain; empty if rounding explains all of them."""
    for node in (node for sample in nodes for node in sample):
        if not node.error <= node.bound:
            return wording.SUMS_BEYOND.text(
                node=node.node, operator=node.operator, terms=node.terms, error=node.error, bound=node.bound
            )
    return ""


def moved(golden: GoldenSet, failed: Sequence[Gate], indices: Sequence[int], *, sums: Sums, directory: Path) -> Moved | None:
    """Shift the exact outputs by the summation error, for the outputs and groups that pass with the sums in float64.

    Args:
        failed: the noise-floor gates that ONNX Runtime's outputs exceed.
        indices: the samples of `sums`.
        directory: folder for the shifted outputs.
    """
    if golden.exact is None or sums.plain is None or sums.wide is None:
        return None
    floors = {(floor.output, floor.group): floor for floor in golden.floors}
    allowed: list[NoiseFloor] = []
    for gate in failed:
        floor, places = floors[gate.output, gate.group], _of_group(golden.samples, indices, gate.group)
        k, distance = _with_wide_sums(golden, floor, places, sums=sums)
        if gate.limit is not None and k is not None and k <= gate.limit:
            nodes = [node for place, _ in places for node in sums.nodes[place]]
            worst = max(nodes, key=lambda node: node.error / (node.bound or 1.0))
            count = len(sums.nodes[0])
            why = wording.SUMS.text(
                node=worst.node,
                operator=worst.operator,
                terms=worst.terms,
                error=worst.error,
                output=gate.output,
                far=distance,
                count=count,
                wide=k,
                k=gate.value,
                limit=gate.limit,
            )
            allowed.append(replace(floor, summing=distance, why=why))
    if not allowed:
        return None
    names = {floor.output for floor in allowed}
    tensors = tuple(tensor for tensor in golden.exact.tensors if tensor.name in names)
    files = TensorFiles(directory=directory, tensors=tensors, count=len(indices))
    for place, index in enumerate(indices):
        exact, plain, wide = (arrays.load(*item) for item in ((golden.exact, index), (sums.plain, place), (sums.wide, place)))
        arrays.save(files, place, {name: exact[name] + (plain[name].astype("f8") - wide[name]) for name in names})
    return Moved(files=files, places={index: place for place, index in enumerate(indices)}, floors=tuple(allowed))


def _of_group(samples: SampleSet, indices: Sequence[int], group: str) -> list[tuple[int, int]]:
    """Return item number and sample number of the samples of a group."""
    return [(place, index) for place, index in enumerate(indices) if samples.group(index) == group]


def _with_wide_sums(
    golden: GoldenSet, floor: NoiseFloor, places: Sequence[tuple[int, int]], *, sums: Sums
) -> tuple[float | None, float]:
    """Return the noise-floor ratio (k) with the sums in float64, and max |difference| that the sums in float32 make."""
    errors = list(_errors(golden, floor.output, places, sums=sums))
    if not errors:
        return None, 0.0
    return noise_floor.ratio(max(error for error, _ in errors), floor.denominator), max(distance for _, distance in errors)


def _errors(golden: GoldenSet, output: str, places: Sequence[tuple[int, int]], *, sums: Sums) -> Iterator[tuple[float, float]]:
    """Yield, per sample, the error with float64 sums and the distance that float32 sums make; stop at NaN or another shape."""
    assert golden.exact is not None
    assert sums.plain is not None
    assert sums.wide is not None
    for place, index in places:
        exact, plain, wide = (
            arrays.load(*item)[output] for item in ((golden.exact, index), (sums.plain, place), (sums.wide, place))
        )
        if not exact.shape == plain.shape == wide.shape:
            return
        error, distance = measure(exact, wide, 0.0, atol=0.0, ulp=False), measure(wide, plain, 0.0, atol=0.0, ulp=False)
        if error.finite != error.elements or distance.finite != distance.elements:
            return
        yield error.max_abs, distance.max_abs
