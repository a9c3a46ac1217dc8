"""Two models against each other on the same samples, without a server: `tritonize check`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonize.core import arrays, errors
from tritonize.core.artifacts import Check, Report, SampleSet, TensorFiles
from tritonize.core.errors import UsageError
from tritonize.core.recorder import Recorder
from tritonize.core.stages import ModelFile, StageName
from tritonize.onnx_model import runtime
from tritonize.quality.comparison import compare
from tritonize.reference import baseline, runner
from tritonize.source import input_inference, samples
from tritonize.spec import schema
from tritonize.workflows import evidence


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What one model answered: one set of one item per batch."""

    outputs: tuple[TensorFiles, ...]
    versions: Mapping[str, str]

    def at(self, position: int) -> arrays.Arrays:
        return arrays.load(self.outputs[position], 0)


def compare_models(
    expected: schema.Model,
    found: schema.Model,
    work: Path,
    recorder: Recorder | None = None,
    *,
    tolerance: schema.Tolerance | None = None,
) -> Report:
    """Ask both models for every sample at every batch size; the first is the reference.

    Both specs describe the same inputs; their sources may be TorchScript, `.pt2`, factories or `.onnx` files.

    Raises:
        UsageError, ExportError: one of them cannot be loaded or run; they have another number of outputs.
    """
    recorder = recorder or Recorder()
    started = time.perf_counter()
    expected, found = _described(expected, found, work / "describe")
    with recorder.stage(StageName.SAMPLES) as outcome:
        drawn = samples.write(expected, work / "samples")
        outcome.note = f"{drawn.files.count} samples, {drawn.origin}"
    batches = [batch for size in arrays.batch_sizes(expected.max_batch_size) for batch in arrays.batches(drawn, size)]
    first = _ask(expected, drawn, batches, work / "expected", recorder)
    second = _ask(found, drawn, batches, work / "found", recorder)
    checks = []
    for position, batch in enumerate(batches):
        wanted = first.at(position)
        answer = _paired(wanted, second.at(position))
        tolerances = {name: tolerance or baseline.tolerance(expected, name) for name in wanted}
        size = len(batch) if drawn.batched else 0
        checks.append(Check(stage=StageName.CHECK, batch_size=size, samples=batch, tensors=compare(wanted, answer, tolerances)))
    passed = bool(checks) and all(check.passed for check in checks)
    return Report(
        command="check",
        model=f"{Path(found.source).name} against {Path(expected.source).name}",
        version=None,
        verdict="passed" if passed else "failed",
        checks=tuple(checks),
        stages=tuple(recorder.stages),
        versions={**evidence.versions("numpy"), **first.versions, **second.versions},
        details={"seconds": time.perf_counter() - started},
    )


def _described(expected: schema.Model, found: schema.Model, work: Path) -> tuple[schema.Model, schema.Model]:
    """Both with the same inputs: as the specs describe them, or the first of the files that does."""
    sources = [(each, runner.identify(each)) for each in (expected, found)]
    telling = [pair for pair in sources if pair[1].kind in ("exported_program", "onnx")]
    model, source = telling[0] if telling and not expected.inputs and not expected.samples.function else sources[0]
    described = input_inference.complete(model, source, work)
    update = {"inputs": described.inputs, "axes": described.axes}
    expected = expected.model_copy(update={**update, "samples": described.samples})
    return expected, found if found.inputs else found.model_copy(update=update)


def _ask(model: schema.Model, drawn: SampleSet, batches: list[tuple[int, ...]], work: Path, recorder: Recorder) -> _Answers:
    source = runner.identify(model)
    with recorder.stage(ModelFile(Path(model.source).name)) as outcome:
        if source.kind == "onnx":
            libraries = model.custom_op_libraries
            ran = runtime.run(
                Path(source.location),
                drawn,
                batches,
                work,
                deadline_s=model.deadline_s,
                memory_bytes=model.memory_bytes,
                libraries=libraries,
            )
            outcome.note = f"ONNX Runtime {ran.version}"
            return _Answers(outputs=ran.outputs, versions={"onnxruntime": ran.version})
        errors.require("torch", extra="torch")
        answered = runner.compute(model, source, drawn, batches, work)
        outcome.note = f"PyTorch, {answered.reference.parameters:,} parameters"
    files = answered.batched
    outputs = tuple(
        TensorFiles(directory=files.directory / str(index), tensors=files.tensors, count=1) for index in range(files.count)
    )
    return _Answers(outputs=_moved(files, outputs), versions={})


def _moved(files: TensorFiles, outputs: tuple[TensorFiles, ...]) -> tuple[TensorFiles, ...]:
    """Items of one set as sets of one item each, as ONNX Runtime's answers are kept."""
    for index, each in enumerate(outputs):
        staged = files.directory / f"{index}.moved"
        (files.directory / str(index)).rename(staged)
        each.directory.mkdir()
        staged.rename(each.directory / "0")
    return outputs


def _paired(expected: arrays.Arrays, found: arrays.Arrays) -> arrays.Arrays:
    """The found outputs under the expected names: by name where all are the same, else in order."""
    if set(expected) == set(found):
        return found
    if len(expected) != len(found):
        raise UsageError("The models have another number of outputs.", expected=", ".join(expected), found=", ".join(found))
    return dict(zip(expected, found.values(), strict=True))
