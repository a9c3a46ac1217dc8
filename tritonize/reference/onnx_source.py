"""Compute the baseline of a model that is already an ONNX file: its outputs in ONNX Runtime, sample by sample."""

from __future__ import annotations

from pathlib import Path

from tritonize.core.artifacts import Reference, Source
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.onnx_model import runtime
from tritonize.quality import gates
from tritonize.quality.golden_set import ONNX_SOURCE, GoldenSet
from tritonize.reference import onnx_edge_cases, requirements
from tritonize.reference.baseline import Baseline
from tritonize.reference.runner import Computed
from tritonize.source import inspection
from tritonize.source.drawing import Drawn
from tritonize.spec import schema


def compute(model: schema.Model, source: Source, drawn: Drawn, *, work: Path, recorder: Recorder) -> Baseline:
    """Run the file on every sample, and on one batch of every size.

    Raises:
        UsageError: the file contradicts the spec, or is not batchable.
        ExportError: ONNX Runtime does not run the file.
    """
    path = Path(source.location)
    inspected = inspection.inspect(source, work / "inspect")  # checks the paths in the file before anything follows them
    requirements.require_servable(model, inspected.details)
    onnx_edge_cases.require_types(model, inspected.inputs)
    usable = onnx_edge_cases.usable_samples(model, drawn.samples, work)
    singles = [(index,) for index in range(usable.samples.files.count)]
    batches = requirements.first_batches(model, usable.samples)
    with recorder.stage(StageName.SOURCE) as outcome:
        stateful = usable.samples.sequences is not None
        every = [*singles, *batches]
        ran = runtime.run_within(model, path, usable.samples, batches=every, directory=work / "source", roll_out=stateful)
        expected = ran.gather(range(len(singles)), work / "expected")
        outcome.cost(ran)
        outcome.note = f"{usable.samples.files.count} samples"
    samples = ran.samples or usable.samples
    computed = Computed(
        samples=samples,
        reference=Reference(source=source, outputs=expected, parameters=0),
        batched=ran.gather(range(len(singles), len(singles) + len(batches)), work / "batched"),
    )
    requirements.require_one_shape(model, expected, samples)
    checks = tuple(
        requirements.batch_check(model, computed, position, batch=batch, stage=StageName.SOURCE)
        for position, batch in enumerate(batches)
    )
    requirements.require_outputs(model, expected)
    golden = GoldenSet(
        samples=samples,
        expected=expected,
        max_batch_size=model.largest_request,
        why_not="the source is an ONNX file, which PyTorch cannot run in float64",
        answered_by=ONNX_SOURCE,
        required=model.quality.float64 == "required",
        quick=model.quality.quick,
        unpadded=usable.unpadded,
        rules=gates.rules(model, samples, expected),
    )
    return Baseline(golden=golden, source=source, checks=checks, left_out=usable.left_out)
