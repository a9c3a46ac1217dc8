"""Reduce an ONNX file to half precision and compare it with the baseline, before a plan is built or the file is served.

ONNX Runtime's CPU provider cannot test a float16 file: it computes in float32 and drops the roundings between the nodes, so what
overflows in float16 does not overflow there. It does not run bfloat16 at all. So both are compared through an emulation that rounds
every half tensor. A float16 file is also run directly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tritonize.core import arrays
from tritonize.core.artifacts import OnnxArtifact, TensorFiles, TensorSpec
from tritonize.core.errors import ExportError
from tritonize.core.messages import precision as wording
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Check
from tritonize.core.stages import StageName
from tritonize.onnx_model import runtime
from tritonize.precision import reduction
from tritonize.precision.reduction import Reduced
from tritonize.quality import noise_floor
from tritonize.quality.batch_checks import check_batches
from tritonize.quality.golden_set import GoldenSet
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference import edge_case_rounding, runner
from tritonize.reference.baseline import Baseline
from tritonize.spec import schema

WORDS = {"fp16": "FP16", "bf16": "BF16"}


@dataclass(frozen=True, kw_only=True)
class ReducedOnnx:
    """A file in half precision and its comparison."""

    artifact: OnnxArtifact
    baseline: Baseline
    """The baseline in the types of the file's inputs and outputs, for all later comparisons."""
    checks: tuple[Check, ...]
    notes: tuple[str, ...]


def reduce(
    model: schema.Model,
    artifact: OnnxArtifact,
    baseline: Baseline,
    *,
    work: Path,
    recorder: Recorder,
    tracker: ErrorTracker | None = None,
) -> ReducedOnnx:
    """Reduce a file to the spec's precision and compare it with the float32 baseline. Differences are returned, not raised.

    Args:
        tracker: accumulates the errors and gets the noise floors of half precision; without one, only tolerances are checked.

    Raises:
        UsageError, ExportError: see `reduction.reduce`; or a sample or an expected output does not fit into half precision.
    """
    with recorder.stage(StageName.PRECISION) as outcome:
        reduced = reduction.reduce(model, artifact, work / model.precision)
        outcome.cost(reduced)
        kept = sum(reduced.artifact.kept_nodes.values())
        outcome.note = f"{model.precision} {reduced.artifact.reduced_nodes} nodes, fp32 {kept}, {reduced.casts} casts"
        in_its_types = baseline.in_files(
            declared(baseline.samples.files, reduced.artifact.inputs, work / "declared_samples"),
            declared(baseline.golden.expected, reduced.artifact.outputs, work / "declared_outputs"),
        )
    if tracker and not tracker.reduced:
        set_noise_floors(model, baseline, tracker, work=work, recorder=recorder)
    checks: list[Check] = []
    if model.precision == "fp16":
        stage = StageName.ONNXRUNTIME_FP16
        checks += _check(
            model, reduced.artifact.path, in_its_types.golden, stage=stage, work=work, recorder=recorder, tracker=tracker
        )
    stage = StageName.ONNXRUNTIME.at(_half(model), emulated=True)
    checks += _check(model, reduced.emulation, baseline.golden, stage=stage, work=work, recorder=recorder, tracker=tracker)
    if tracker:
        edge_case_rounding.allow_for_rounding(model, artifact, tracker, work=work / "rounding", recorder=recorder)
    return ReducedOnnx(
        artifact=reduced.artifact, baseline=in_its_types, checks=tuple(checks), notes=tuple(_notes(model, reduced, checks))
    )


def set_noise_floors(model: schema.Model, baseline: Baseline, tracker: ErrorTracker, *, work: Path, recorder: Recorder) -> None:
    """Judge all later stages by PyTorch's own error in half precision against float64, if float64 could run.

    If PyTorch does not run in half precision, or not for one output, its float32 error is used, with the unit of the half type.
    """
    exact = tracker.golden.exact
    if exact is None:
        return
    half = _half(model)
    stage = StageName.PYTORCH.at(half)
    with recorder.stage(stage) as outcome:
        own = runner.recompute(
            model, baseline.reference, baseline.samples, dtype=half, directory=work / stage.key.replace(" ", "_")
        )
        outcome.cost(own)
        if own.outputs is None:
            outcome.verdict, outcome.note = "not run", own.reason
    floors = {
        (floor.output, floor.group): floor
        for outputs in (baseline.golden.expected, own.outputs)
        if outputs is not None
        for floor in noise_floor.noise_floors(baseline.samples, outputs, exact, precision=model.precision)
    }
    tracker.judge_reduced_by(tuple(floors.values()))


def _half(model: schema.Model) -> Literal["fp16", "bf16"]:
    return "fp16" if model.precision == "fp16" else "bf16"


def _check(
    model: schema.Model,
    path: Path,
    golden: GoldenSet,
    *,
    stage: StageName,
    work: Path,
    recorder: Recorder,
    tracker: ErrorTracker | None,
) -> tuple[Check, ...]:
    """Run the file in ONNX Runtime and compare every sample at every batch size with the golden set."""
    batches = golden.batches()
    with recorder.stage(stage) as outcome:
        ran = runtime.run_within(model, path, golden.samples, batches=batches, directory=work / stage.key.replace(" ", "_"))
        checks = tuple(check_batches(golden, stage, batches, found=ran, tracker=tracker))
        outcome.cost(ran)
        outcome.note = f"{len(batches)} batches"
        outcome.verdict = "passed" if all(check.passed for check in checks) else "failed"
    return checks


def declared(files: TensorFiles, tensors: tuple[TensorSpec, ...], directory: Path) -> TensorFiles:
    """Convert the arrays to the types that the file declares; return `files` itself if no type changes.

    Raises:
        ExportError: a number would become infinite, which would make an infinite output seem right. The error names the tensor, the
            sample and the number.
    """
    types = {tensor.name: tensor.dtype for tensor in tensors}
    tensors = tuple(replace(tensor, dtype=types.get(tensor.name, tensor.dtype)) for tensor in files.tensors)
    if tensors == files.tensors:
        return files
    cast = TensorFiles(directory=directory, tensors=tensors, count=files.count)
    for index in range(files.count):
        item = arrays.load(files, index)
        for tensor in tensors:
            array = item[tensor.name]
            with np.errstate(over="ignore"):
                item[tensor.name] = array.astype(arrays.numpy_dtype(tensor.dtype))
            if np.count_nonzero(np.isfinite(array)) != np.count_nonzero(np.isfinite(item[tensor.name])):
                raise ExportError.of(
                    wording.OUT_OF_RANGE,
                    where=f"sample {index}",
                    found=f"{float(np.abs(array[np.isfinite(array)]).max()):.7g}",
                    name=tensor.name,
                    dtype=tensor.dtype,
                )
        arrays.save(cast, index, item)
    return cast


def _notes(model: schema.Model, reduced: Reduced, checks: list[Check]) -> list[str]:
    """Return notes on how the file was compared, and the next step for each output outside its tolerance."""
    name = WORDS[model.precision]
    if model.precision == "bf16":
        notes = ["BF16 was emulated: ONNX Runtime computed node by node in float32, and every bf16 tensor was rounded to bf16."]
    else:
        notes = [
            "FP16 was compared twice: as the file, which ONNX Runtime's CPU provider computes in float32 with rounded weights, "
            "and emulated, with every fp16 tensor rounded to fp16."
        ]
    worst: dict[str, tuple[float, str, str]] = {}
    for check in checks:
        for tensor in check.tensors:
            size = tensor.max_abs if tensor.max_abs is not None else float("inf")
            if not tensor.passed and size >= worst.get(tensor.name, (-1.0, "", ""))[0]:
                worst[tensor.name] = (size, check.stage, tensor.reason or "")
    for output, (size, stage, reason) in worst.items():
        far = f"by up to {size:.3g}" if np.isfinite(size) else "everywhere"
        notes.append(
            f"In {name} output {output} differs from PyTorch {far} ({stage}: {reason}). To accept it, name the nodes or operators "
            f"that need fp32 in keep_fp32, or widen outputs.{output}.tolerance on purpose."
        )
    if reduced.artifact.kept_nodes:
        reasons = ", ".join(f"{count} ({reason})" for reason, count in sorted(reduced.artifact.kept_nodes.items()))
        notes.append(f"Nodes kept in fp32: {reasons}.")
    return notes
