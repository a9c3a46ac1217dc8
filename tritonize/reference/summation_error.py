"""What of an error is ONNX Runtime's own sum: measured, bounded, and then no part of the error of the file.

ONNX Runtime adds up the terms of a normalization less exactly than PyTorch; over 96³ elements that is 30 to 90 times PyTorch's own
float32 error. The file is run again with these sums in float64. Where it is right then, by the same limit, and where rounding
explains what each node is off on the same values, answers may also lie where the sums in float32 move the exact one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import Check, OnnxArtifact, SampleSet, TensorFiles
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import quality as wording
from tritonize.core.recorder import Recorder
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
    """What came of it."""

    moved: Moved | None
    """What `ErrorTracker.allow_for_sums` takes; `None` where nothing is allowed for."""
    library_seconds: float = 0.0


def allow(model: schema.Model, artifact: OnnxArtifact, tracker: ErrorTracker, *, work: Path, recorder: Recorder) -> Allowance:
    """Measure ONNX Runtime's own sums where its answers are over the noise floor; what is not allowed for becomes a stage.

    Args:
        tracker: has seen ONNX Runtime's answers.
    """
    failed = [gate for gate in tracker.gates() if _is_over(gate) and tracker.is_finite(gate)]
    groups = {gate.group for gate in failed}
    samples = tracker.golden.samples
    indices = [index for index in range(samples.files.count) if samples.group(index) in groups]
    found = _measured(model, artifact, samples, indices=indices, work=work, recorder=recorder) if indices else None
    if found is None:
        return Allowance(moved=None)
    return Allowance(
        moved=moved(tracker.golden, failed, indices, found=found, directory=work / "moved"), library_seconds=found.library_seconds
    )


def explained(
    model: schema.Model, artifact: OnnxArtifact, golden: GoldenSet, *, checks: Mapping[int, Check], work: Path, recorder: Recorder
) -> dict[int, str]:
    """Samples whose answer is outside its tolerance for ONNX Runtime's own sums alone, with the reason.

    Args:
        checks: by sample, an answer to it alone that is outside.
    """
    found = _measured(model, artifact, golden.samples, indices=list(checks), work=work, recorder=recorder) if checks else None
    if found is None or found.wide is None or found.plain is None:
        return {}
    reasons = {}
    for place, (index, check) in enumerate(checks.items()):
        bad = [tensor.name for tensor in check.tensors if not tensor.passed]
        expected, plain, wide = arrays.load(golden.expected, index), arrays.load(found.plain, place), arrays.load(found.wide, place)
        if not all(name in wide and name in expected and floating(expected[name]) for name in bad):
            continue
        right = compare({name: expected[name] for name in bad}, {name: wide[name] for name in bad}, golden.tolerances)
        if all(tensor.passed for tensor in right):
            far = {name: measure(wide[name], plain[name], 0.0, atol=0.0, ulp=False).max_abs for name in bad}
            name = max(far, key=lambda each: far[each])
            reasons[index] = wording.EDGE_SUMS.text(output=name, far=far[name])
    return reasons


def _measured(
    model: schema.Model, artifact: OnnxArtifact, samples: SampleSet, *, indices: Sequence[int], work: Path, recorder: Recorder
) -> Sums | None:
    """`None` where there are no such sums, or where they could not be measured, which becomes a stage of the report."""
    try:
        found = runtime.sums(
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
        note = beyond_rounding(found.nodes)
    except (ExportError, UsageError) as error:
        found, note = None, f"{error.what} {error.found}" if error.found else error.what
    if note:
        recorder.not_run(StageName.SUMS, note)
        return None
    return found if found and found.nodes else None


def _is_over(gate: Gate) -> bool:
    """Whether it is a noise floor that an answer of ONNX Runtime exceeds."""
    return gate.gate == "noise floor" and gate.stage is StageName.ONNXRUNTIME and gate.verdict == "failed"


def beyond_rounding(nodes: Iterable[Sequence[MeasuredSum]]) -> str:
    """The first node whose own error rounding does not explain, in a sentence; empty if rounding explains all."""
    for node in (node for sample in nodes for node in sample):
        if not node.error <= node.bound:
            return wording.SUMS_BEYOND.text(
                node=node.node, operator=node.operator, terms=node.terms, error=node.error, bound=node.bound
            )
    return ""


def moved(golden: GoldenSet, failed: Sequence[Gate], indices: Sequence[int], *, found: Sums, directory: Path) -> Moved | None:
    """The exact answers as ONNX Runtime's sums move them, for the outputs and groups that are right with these sums in float64.

    Args:
        failed: the noise floors that ONNX Runtime's answers are over.
        indices: the samples that `found` has answers to.
    """
    if golden.exact is None or found.plain is None or found.wide is None:
        return None
    floors = {(floor.output, floor.group): floor for floor in golden.floors}
    allowed: list[NoiseFloor] = []
    for gate in failed:
        floor, places = floors[gate.output, gate.group], _of_group(golden.samples, indices, gate.group)
        k, far = _in_float64(golden, floor, places, found=found)
        if gate.limit is not None and k is not None and k <= gate.limit:
            nodes = [node for place, _ in places for node in found.nodes[place]]
            worst = max(nodes, key=lambda node: node.error / (node.bound or 1.0))
            count = len(found.nodes[0])
            why = wording.SUMS.text(
                node=worst.node,
                operator=worst.operator,
                terms=worst.terms,
                error=worst.error,
                output=gate.output,
                far=far,
                count=count,
                wide=k,
                k=gate.value,
                limit=gate.limit,
            )
            allowed.append(replace(floor, summing=far, why=why))
    if not allowed:
        return None
    names = {floor.output for floor in allowed}
    tensors = tuple(tensor for tensor in golden.exact.tensors if tensor.name in names)
    files = TensorFiles(directory=directory, tensors=tensors, count=len(indices))
    for place, index in enumerate(indices):
        exact, plain, wide = (arrays.load(*item) for item in ((golden.exact, index), (found.plain, place), (found.wide, place)))
        arrays.save(files, place, {name: exact[name] + (plain[name].astype("f8") - wide[name]) for name in names})
    return Moved(files=files, places={index: place for place, index in enumerate(indices)}, floors=tuple(allowed))


def _of_group(samples: SampleSet, indices: Sequence[int], group: str) -> list[tuple[int, int]]:
    return [(place, index) for place, index in enumerate(indices) if samples.group(index) == group]


def _in_float64(
    golden: GoldenSet, floor: NoiseFloor, places: Sequence[tuple[int, int]], *, found: Sums
) -> tuple[float | None, float]:
    """The noise-floor ratio with the sums in float64, and how far the sums in float32 move the output."""
    errors = list(_errors(golden, floor.output, places, found=found))
    if not errors:
        return None, 0.0
    return noise_floor.ratio(max(error for error, _ in errors), floor.denominator), max(far for _, far in errors)


def _errors(golden: GoldenSet, output: str, places: Sequence[tuple[int, int]], *, found: Sums) -> Iterator[tuple[float, float]]:
    assert golden.exact is not None
    assert found.plain is not None
    assert found.wide is not None
    for place, index in places:
        exact, plain, wide = (
            arrays.load(*item)[output] for item in ((golden.exact, index), (found.plain, place), (found.wide, place))
        )
        if not exact.shape == plain.shape == wide.shape:
            return
        right, far = measure(exact, wide, 0.0, atol=0.0, ulp=False), measure(wide, plain, 0.0, atol=0.0, ulp=False)
        if right.finite != right.elements or far.finite != far.elements:
            return
        yield right.max_abs, far.max_abs
