"""Write all inputs that a model is compared on: samples, edge cases, NaN and infinities, and the example for the exporter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, Source, TensorFiles
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.quality import nonfinite
from tritonize.source import integer_ranges, samples
from tritonize.spec import schema


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The inputs of one model, in files."""

    samples: SampleSet
    """The samples, then the edge cases."""
    example: TensorFiles
    """The one batch that an exporter runs the model on."""
    nonfinite: SampleSet | None = None
    """Samples with NaN or infinities, as edge cases by name; `None` if the spec switches them off, the source is an ONNX file, or
    nothing is exported."""
    guessed_sign: bool = False
    """Whether integer inputs without a range in the spec were drawn with both signs."""


def draw(model: schema.Model, source: Source, work: Path, *, recorder: Recorder, negative: bool = True) -> Drawn:
    """Write the inputs that the spec describes into `work`.

    Args:
        negative: also draw negative numbers for signed integer inputs without a range in the spec.

    Raises:
        UsageError: a sample file is missing or does not match the spec.
        RepositoryError: the disk has too little free space.
    """
    given = bool(model.samples.patterns) or source.kind in ("onnx", "python")
    ranged = model if given else samples.with_integer_range(model, -integer_ranges.LIMIT if negative else 0)
    with recorder.stage(StageName.SAMPLES) as outcome:
        drawn = samples.write(ranged, work / "samples")
        example = samples.write_example(ranged, drawn, work / "example")
        drawn = replace(drawn, origin=f"{drawn.origin}{integer_ranges.described(model, ranged)}")
        outcome.note = f"{drawn.files.count} samples, {drawn.origin}"
        drawn = samples.add_omissions(ranged, with_edges(ranged, drawn))
    return Drawn(
        samples=drawn,
        example=example,
        nonfinite=nonfinite.write(ranged, drawn, work / "nonfinite") if model.is_exported and source.kind != "onnx" else None,
        guessed_sign=negative and ranged is not model,
    )


def with_edges(model: schema.Model, drawn: SampleSet) -> SampleSet:
    """The samples, then the edge cases that the spec selects (`quality.edge_cases`)."""
    selected = model.quality.edge_cases
    if not selected:
        return drawn
    with_all = samples.add_edges(model, drawn)
    return with_all if selected is True else arrays.without_edges(with_all, set(with_all.edges.values()).difference(selected))
