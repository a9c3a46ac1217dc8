"""Export a model to an ONNX file in the spec's precision, compare the two, and locate the error if they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tritonize import export, reference
from tritonize.core.artifacts import Source
from tritonize.core.error_location import Location
from tritonize.core.errors import TritonizeError
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.export.proven import ProvenOnnx
from tritonize.locate import search as locate_search
from tritonize.precision import comparison as precision_comparison
from tritonize.precision import reduction
from tritonize.quality import noise_floor
from tritonize.source import drawing
from tritonize.spec import schema
from tritonize.workflows import keep_fp32

TRIALS = 16
"""Number of further attempts in half precision, with more nodes kept in float32, after the first one failed."""


def prove(model: schema.Model, source: Source, work: Path, *, recorder: Recorder) -> ProvenOnnx:
    """Export a model to a float32 ONNX file and compare it with PyTorch's outputs.

    Raises:
        UsageError, ExportError: see `computation.compute` and `ladder.climb`.
    """
    drawn = drawing.draw(model, source, work, recorder=recorder)
    baseline = reference.compute(model, source, drawn, work=work, recorder=recorder)
    return export.climb(model, baseline, work, recorder=recorder)


def reduce_precision(model: schema.Model, proven: ProvenOnnx, work: Path, *, recorder: Recorder) -> ProvenOnnx:
    """Reduce the file to the spec's precision; return it unchanged for fp32 and tf32, and if the fp32 file already fails.

    From then on, the tracker uses the noise floors of that precision for every stage except ONNX Runtime in float32.
    """
    golden = proven.baseline.golden
    if model.precision == "tf32" and golden.exact:
        proven.tracker.judge_reduced_by(noise_floor.noise_floors(golden.samples, golden.expected, golden.exact, precision="tf32"))
    if model.precision not in reduction.HALF or proven.baseline.findings:
        return proven
    if not proven.passed:
        recorder.not_run(StageName.PRECISION, "the fp32 file already differs from PyTorch")
        return proven
    reduced = precision_comparison.reduce(
        model, proven.artifact, proven.baseline, work=work, recorder=recorder, tracker=proven.tracker
    )
    return replace(
        proven,
        artifact=reduced.artifact,
        baseline=reduced.baseline,
        checks=(*proven.checks, *reduced.checks),
        notes=(*proven.notes, *reduced.notes),
    )


def locate_error(
    model: schema.Model, exported: ProvenOnnx, proven: ProvenOnnx, *, work: Path, recorder: Recorder
) -> Location | None:
    """Locate the error of a failed file, and the nodes to keep in fp32 if that helps; `None` if the file passes.

    Args:
        exported: the float32 file.
        proven: the file in the spec's precision.
    """
    if proven.passed or proven.baseline.findings:
        return None
    place = work / "locate"
    place.mkdir(parents=True)
    if proven.artifact.precision in reduction.HALF:
        artifact, baseline, tracker = exported.artifact, exported.baseline, exported.tracker
        return _searched(
            lambda: keep_fp32.repair(model, artifact, baseline, work=place, recorder=recorder, tracker=tracker, trials=TRIALS),
            recorder,
        )
    source, samples = proven.baseline.source, proven.baseline.samples
    if source.kind == "onnx":
        return None
    batch = locate_search.failing(proven.checks)
    return _searched(
        lambda: locate_search.locate(model, source, proven.artifact, samples=samples, work=place, recorder=recorder, batch=batch),
        recorder,
    )


def _searched(search: Callable[[], Location], recorder: Recorder) -> Location | None:
    """Return a search's result; if the search cannot run, record that as a stage instead of raising a second error."""
    try:
        return search()
    except TritonizeError as error:
        recorder.not_run(StageName.LOCATE, error.what)
        return None
