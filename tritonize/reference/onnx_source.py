"""The baseline of a model that is an ONNX file already: what the file answers in ONNX Runtime, sample by sample."""

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
        UsageError: the file is not what the spec says of it, or is not batchable.
        ExportError: ONNX Runtime does not run it.
    """
    path = Path(source.location)
    found = inspection.inspect(source, work / "inspect")  # before anything follows a path in it
    requirements.require_servable(model, found.details)
    onnx_edge_cases.require_types(model, found.inputs)
    kept = onnx_edge_cases.answerable(model, drawn.samples, work)
    singles = [(index,) for index in range(kept.samples.files.count)]
    batches = requirements.first_batches(model, kept.samples)
    with recorder.stage(StageName.SOURCE) as outcome:
        ran = runtime.run_within(model, path, kept.samples, batches=[*singles, *batches], directory=work / "source")
        expected = ran.gather(range(len(singles)), work / "expected")
        outcome.cost(ran)
        outcome.note = f"{kept.samples.files.count} samples"
    computed = Computed(
        reference=Reference(source=source, outputs=expected, parameters=0),
        batched=ran.gather(range(len(singles), len(singles) + len(batches)), work / "batched"),
    )
    requirements.require_one_shape(model, expected, kept.samples)
    checks = tuple(
        requirements.batch_check(model, computed, at, batch=batch, stage=StageName.SOURCE) for at, batch in enumerate(batches)
    )
    requirements.require_outputs(model, expected)
    golden = GoldenSet(
        samples=kept.samples,
        expected=expected,
        max_batch_size=model.max_batch_size,
        why_not="the source is an ONNX file, and there is no PyTorch to ask in float64",
        answered_by=ONNX_SOURCE,
        required=model.quality.float64 == "required",
        unpadded=kept.unpadded,
        rules=gates.rules(model, kept.samples, expected),
    )
    return Baseline(golden=golden, source=source, checks=checks, notes=kept.notes)
