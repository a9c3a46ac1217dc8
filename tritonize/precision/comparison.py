"""A proven file in half precision, and how it answers before anything is built of it or served.

ONNX Runtime's CPU provider is no judge of a float16 file: it computes it in float32 and drops the roundings between the nodes, so
what overflows in float16 does not overflow there. bfloat16 it does not run at all. So each is compared by an emulation that rounds
every half tensor; a float16 file is run as well, as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tritonize.core import arrays
from tritonize.core.artifacts import Check, OnnxArtifact, TensorFiles, TensorSpec
from tritonize.core.errors import ExportError
from tritonize.core.recorder import Recorder
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
    """A file in half precision, and how it answers."""

    artifact: OnnxArtifact
    baseline: Baseline
    """In the types of the file's inputs and outputs: what it is compared with from now on."""
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
    """Reduce a proven file to the spec's precision and compare it with the baseline in float32. That it differs is a result.

    Args:
        tracker: adds up the errors, and gets the noise floors of half precision; without one tolerances alone decide.

    Raises:
        UsageError, ExportError: see `reduction.reduce`; or a sample or an answer does not fit into half inputs and outputs.
    """
    with recorder.stage(StageName.PRECISION) as outcome:
        made = reduction.reduce(model, artifact, work / model.precision)
        outcome.cost(made)
        kept = sum(made.artifact.kept_nodes.values())
        outcome.note = f"{model.precision}: {made.artifact.reduced_nodes} nodes reduced, {kept} kept in fp32, {made.casts} casts"
        in_its_types = baseline.in_files(
            declared(baseline.samples.files, made.artifact.inputs, work / "declared_samples"),
            declared(baseline.golden.expected, made.artifact.outputs, work / "declared_outputs"),
        )
    if tracker and not tracker.reduced:
        set_noise_floors(model, baseline, tracker, work=work, recorder=recorder)
    checks: list[Check] = []
    if model.precision == "fp16":
        stage = StageName.ONNXRUNTIME_FP16
        checks += _check(model, made.artifact.path, in_its_types.golden, stage=stage, work=work, recorder=recorder, tracker=tracker)
    stage = StageName.ONNXRUNTIME.at(_half(model), emulated=True)
    checks += _check(model, made.emulation, baseline.golden, stage=stage, work=work, recorder=recorder, tracker=tracker)
    if tracker:
        edge_case_rounding.allow_for_rounding(model, artifact, tracker, work=work / "rounding", recorder=recorder)
    return ReducedOnnx(
        artifact=made.artifact, baseline=in_its_types, checks=tuple(checks), notes=tuple(_notes(model, made, checks))
    )


def set_noise_floors(model: schema.Model, baseline: Baseline, tracker: ErrorTracker, *, work: Path, recorder: Recorder) -> None:
    """Let what follows be judged by how far PyTorch in half precision is from float64, where that could run.

    Where PyTorch does not run in half precision, or not for an output, the noise is what it is in float32, measured in the unit of
    the half type.
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
    """ONNX Runtime against the golden set, every sample at every batch size."""
    batches = golden.batches()
    with recorder.stage(stage) as outcome:
        ran = runtime.run_within(model, path, golden.samples, batches=batches, directory=work / stage.key.replace(" ", "_"))
        checks = tuple(check_batches(golden, stage, batches, answers=ran, tracker=tracker))
        outcome.cost(ran)
        outcome.note = f"{len(batches)} batches"
        outcome.verdict = "passed" if all(check.passed for check in checks) else "failed"
    return checks


def declared(files: TensorFiles, tensors: tuple[TensorSpec, ...], directory: Path) -> TensorFiles:
    """The arrays in the types that the file declares; the same set where nothing changes.

    A number that would become infinite is refused: an infinite answer to it would seem to be the right one.

    Raises:
        ExportError: it names the tensor, the sample and the number.
    """
    wanted = {tensor.name: tensor.dtype for tensor in tensors}
    tensors = tuple(replace(tensor, dtype=wanted.get(tensor.name, tensor.dtype)) for tensor in files.tensors)
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
                raise ExportError(
                    f"{tensor.name!r} has numbers that {tensor.dtype} does not hold.",
                    where=f"sample {index}",
                    found=f"{float(np.abs(array[np.isfinite(array)]).max()):.7g}",
                    next_step="set half_io: false, so that inputs and outputs stay fp32",
                )
        arrays.save(cast, index, item)
    return cast


def _notes(model: schema.Model, made: Reduced, checks: list[Check]) -> list[str]:
    """What a person who signs has to know, and the next step where an answer is outside its tolerance."""
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
            f"In {name} output {output} differs from PyTorch {far} ({stage}: {reason}). Next: name the nodes or operators that "
            f"need fp32 in keep_fp32, or widen outputs.{output}.tolerance on purpose."
        )
    if made.artifact.kept_nodes:
        reasons = ", ".join(f"{count} ({reason})" for reason, count in sorted(made.artifact.kept_nodes.items()))
        notes.append(f"Nodes kept in fp32: {reasons}.")
    return notes
