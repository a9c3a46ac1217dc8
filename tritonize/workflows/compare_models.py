"""Compare two models with each other on the same samples, without a server: `tritonize check`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import arrays, errors
from tritonize.core.artifacts import SampleSet, TensorFiles
from tritonize.core.errors import UsageError
from tritonize.core.messages import usage as wording
from tritonize.core.recorder import Recorder
from tritonize.core.reports import Report
from tritonize.core.stages import ModelFile, StageName
from tritonize.onnx_model import runtime
from tritonize.quality import tolerance_advice
from tritonize.quality.batch_checks import BatchOutputs, SingleOutputs, check_batches
from tritonize.quality.golden_set import Batch, GoldenSet, Rules
from tritonize.reference import runner
from tritonize.source import identification, input_inference, inspection, samples
from tritonize.spec import schema
from tritonize.workflows import evidence


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One of the two models and its outputs."""

    batched: BatchOutputs
    """Outputs of the batches."""
    singles: TensorFiles
    """Outputs of the single samples."""
    versions: Mapping[str, str]


@dataclass(frozen=True)
class _Renamed:
    """Outputs renamed to the expected names: matched by name if all names are equal, otherwise by order. Times are 0."""

    found: BatchOutputs
    expected: BatchOutputs

    @property
    def seconds(self) -> Sequence[float]:
        return (0.0,) * len(self.found.seconds)

    def batch_outputs(self, position: int) -> arrays.Arrays:
        expected, found = self.expected.batch_outputs(position), self.found.batch_outputs(position)
        if set(expected) == set(found):
            return found
        if len(expected) != len(found):
            raise UsageError.of(wording.OUTPUT_COUNTS_DIFFER, expected=", ".join(expected), found=", ".join(found))
        return dict(zip(expected, found.values(), strict=True))


def compare_models(
    expected: schema.Model,
    found: schema.Model,
    work: Path,
    *,
    recorder: Recorder | None = None,
    tolerance: schema.Tolerance | None = None,
) -> Report:
    """Run both models on every sample at every batch size; the first is the reference.

    Both specs describe the same inputs; their sources may be TorchScript, `.pt2`, factories or `.onnx` files.

    Raises:
        UsageError, ExportError: a model cannot be loaded or run, or the two have different numbers of outputs.
    """
    recorder = recorder or Recorder()
    started = time.perf_counter()
    expected, found = _with_inputs(expected, found, work / "describe")
    with recorder.stage(StageName.SAMPLES) as outcome:
        drawn = samples.write(expected, work / "samples")
        outcome.note = f"{drawn.files.count} samples, {drawn.origin}"
    batches = arrays.all_batches(drawn, expected.max_batch_size)
    first = _run(expected, drawn, batches, work=work / "expected", recorder=recorder)
    second = _run(found, drawn, batches, work=work / "found", recorder=recorder)
    names = [tensor.name for tensor in first.singles.tensors]
    golden = GoldenSet(
        samples=drawn,
        expected=first.singles,
        max_batch_size=expected.max_batch_size,
        rules={name: Rules(tolerance=tolerance or expected.tolerance_of(name)) for name in names},
    )
    renamed = _Renamed(second.batched, first.batched)
    checks = tuple(check_batches(golden, StageName.CHECK, batches, found=renamed, expected=first.batched))
    passed = bool(checks) and all(check.passed for check in checks)
    return Report(
        command="check",
        model=f"{Path(found.source).name} against {Path(expected.source).name}",
        version=None,
        verdict="passed" if passed else "failed",
        checks=checks,
        tolerances=tolerance_advice.advise(checks),
        stages=tuple(recorder.stages),
        versions={**evidence.versions("numpy"), **first.versions, **second.versions},
        details={"seconds": time.perf_counter() - started},
    )


def _with_inputs(expected: schema.Model, found: schema.Model, work: Path) -> tuple[schema.Model, schema.Model]:
    """Give both models the same inputs: those of the specs, or of the first file that describes them."""
    sources = [(each, identification.identify(each)) for each in (expected, found)]
    describing = [pair for pair in sources if pair[1].kind in ("exported_program", "onnx")]
    model, source = describing[0] if describing and not expected.inputs and not expected.samples.function else sources[0]
    completed = input_inference.complete(model, source, work)
    update = {"inputs": completed.inputs, "axes": completed.axes}
    expected = expected.model_copy(update={**update, "samples": completed.samples})
    return expected, found if found.inputs else found.model_copy(update=update)


def _run(model: schema.Model, drawn: SampleSet, batches: list[Batch], *, work: Path, recorder: Recorder) -> _Side:
    """Run one model on the batches."""
    source = identification.identify(model)
    with recorder.stage(ModelFile(Path(model.source).name)) as outcome:
        if source.kind == "onnx":
            inspection.inspect(source, work / "inspect", deadline_s=model.deadline_s)  # rejects a damaged ONNX file
            ran = runtime.run_within(model, Path(source.location), drawn, batches=batches, directory=work)
            outcome.note = f"ONNX Runtime {ran.version}"
            alone = {batch[0]: position for position, batch in enumerate(batches) if len(batch) == 1}
            singles = ran.gather([alone[index] for index in range(drawn.files.count)], work / "singles")
            return _Side(batched=ran, singles=singles, versions={"onnxruntime": ran.version})
        errors.require("torch", extra="torch")
        computed = runner.compute(model, source, drawn, batches=batches, directory=work)
        outcome.note = f"PyTorch, {computed.reference.parameters:,} parameters"
    return _Side(batched=SingleOutputs(computed.batched), singles=computed.reference.outputs, versions={})
