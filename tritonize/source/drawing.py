"""All inputs that a model is compared on: the drawn samples, the edge cases behind them, NaN and infinities, and the example."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tritonize.core import arrays
from tritonize.core.artifacts import SampleSet, Source, TensorFiles
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.quality import nonfinite
from tritonize.source import samples
from tritonize.spec import schema

SIGNED = 9
"""Integer inputs without a range are drawn from minus this to this; from 0 where the model refuses negative numbers."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The inputs of one model, in files."""

    samples: SampleSet
    """Edge cases behind the others."""
    example: TensorFiles
    """The one batch that an exporter runs."""
    nonfinite: SampleSet | None = None
    """Samples with NaN or infinities, as edge cases by name; `None` where they are off, or the source is an ONNX file."""
    guessed_sign: bool = False
    """Whether integer inputs whose range the spec leaves out were drawn with both signs."""


def draw(model: schema.Model, source: Source, work: Path, *, recorder: Recorder, negative: bool = True) -> Drawn:
    """Draw the samples that the spec asks for, into `work`.

    Args:
        negative: draw negative numbers too for integer inputs whose range the spec leaves out.

    Raises:
        UsageError: a file of samples is missing or does not hold what the spec describes.
        RepositoryError: the disk has no room for them.
    """
    given = bool(model.samples.patterns) or source.kind == "onnx"
    ranged = model if given else samples.signed(model, -SIGNED if negative else 0)
    with recorder.stage(StageName.SAMPLES) as outcome:
        drawn = samples.write(ranged, work / "samples")
        example = samples.write_example(ranged, drawn, work / "example")
        outcome.note = f"{drawn.files.count} samples, {drawn.origin}"
        drawn = with_edges(ranged, drawn)
    return Drawn(
        samples=drawn,
        example=example,
        nonfinite=None if source.kind == "onnx" else nonfinite.write(ranged, drawn, work / "nonfinite"),
        guessed_sign=negative and ranged is not model,
    )


def with_edges(model: schema.Model, drawn: SampleSet) -> SampleSet:
    """The samples with the edge cases behind them that the spec asks for."""
    wanted = model.quality.edge_cases
    if not wanted:
        return drawn
    whole = samples.add_edges(model, drawn)
    return whole if wanted is True else arrays.without_edges(whole, set(whole.edges.values()).difference(wanted))
