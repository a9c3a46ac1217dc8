"""Locate the nodes where an export goes wrong, and find nodes to keep in fp32 so that a file in reduced precision passes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from tritonize import export, reference
from tritonize.core.artifacts import OnnxArtifact
from tritonize.core.conclusion import counted
from tritonize.core.error_location import Location
from tritonize.core.errors import ExportError, NothingReducedError
from tritonize.core.messages import locate as wording
from tritonize.core.recorder import Recorder
from tritonize.core.stages import StageName
from tritonize.locate import bisection
from tritonize.locate import search as locate_search
from tritonize.precision import comparison as precision_comparison
from tritonize.precision import reduction
from tritonize.quality import gates
from tritonize.quality.tracker import ErrorTracker
from tritonize.reference.baseline import Baseline
from tritonize.source import drawing, identification, input_inference
from tritonize.spec import schema


def locate_model(model: schema.Model, work: Path, recorder: Recorder | None = None, *, trials: int = bisection.TRIALS) -> Location:
    """Export a model as a run does and locate the node where the file goes wrong; in half precision, find nodes to keep in fp32.

    Args:
        work: an empty folder.
        trials: maximum number of sets of nodes to try.

    Raises:
        UsageError, ExportError: the model cannot be loaded, run or exported.
    """
    recorder = recorder or Recorder()
    source = identification.identify(model)
    model = input_inference.complete(model, source, work)
    drawn = drawing.draw(model, source, work, recorder=recorder)
    baseline = reference.compute(model, source, drawn, work=work, recorder=recorder)
    proven = export.climb(model, baseline, work, recorder=recorder)
    if proven.passed and model.precision in reduction.HALF:
        place, tracker = work / "locate", proven.tracker.fresh()
        return repair(model, proven.artifact, proven.baseline, work=place, recorder=recorder, tracker=tracker, trials=trials)
    batch = (0,) if proven.passed else locate_search.failing(proven.checks)
    located = locate_search.locate(
        model, source, proven.artifact, samples=proven.baseline.samples, work=work / "locate", recorder=recorder, batch=batch
    )
    passed = "" if proven.passed else " The gate fails."
    located = replace(located, state=() if proven.matches else proven.baseline.changed)
    return replace(located, notes=(f"Exported with {proven.artifact.strategy}.{passed}", *located.notes))


def repair(
    model: schema.Model,
    artifact: OnnxArtifact,
    baseline: Baseline,
    *,
    work: Path,
    recorder: Recorder | None = None,
    tracker: ErrorTracker | None = None,
    trials: int = bisection.TRIALS,
) -> Location:
    """Locate the node where a file in reduced precision goes wrong, and find a few nodes to keep in fp32 so that it passes.

    Args:
        artifact: the fp32 file, which passed.
        baseline: the baseline that `artifact` was compared with.
        work: an empty folder.
        tracker: the rules of the gate; if `None`, only the tolerances apply.
        trials: maximum number of evaluations of the gate.

    Returns:
        The location of the emulated graph against the fp32 one. `keep` is empty if the file passes without it; `keep_passes` is
        true if the search found a set that passes.

    Raises:
        UsageError, ExportError: the file cannot be reduced or run.
    """
    recorder = recorder or Recorder()
    limits = locate_search.limits(model)
    if tracker and not tracker.reduced:
        precision_comparison.set_noise_floors(model, baseline, tracker, work=work / "floors", recorder=recorder)
    emulation = reduction.reduce(model, artifact, work / "reduced").emulation
    gate = _Gate(model, artifact, baseline, tracker=tracker, work=work / "trials")
    passed = gate(frozenset())
    batches = [gate.failed or (0,)]
    located = locate_search.between(
        artifact.path,
        emulation,
        baseline.samples,
        batches=batches,
        work=work,
        limit=limits,
        recorder=recorder,
        node_map=artifact.node_map,
        emulated=True,
    )
    located = replace(located, found=f"{artifact.path.name} in {model.precision}, emulated")
    if passed:
        return replace(located, keep=(), notes=(*located.notes, f"The gate passes in {model.precision} without nodes in fp32."))
    with recorder.stage(StageName.KEEP_FP32) as outcome:
        result = bisection.smallest(list(locate_search.ranking(located.series)), gate, trials=trials)
        if result.nodes is not None and frozenset(result.nodes) in gate.whole:
            result = replace(result, nodes=None)  # no smaller set passes
        outcome.note = f"{counted(len(result.nodes or ()), 'node')}, {counted(result.trials, 'trial')}"
        outcome.verdict = "passed" if result.nodes is not None else "failed"
    return _with_nodes(located, result, model.precision)


def _with_nodes(located: Location, found: bisection.SearchResult, precision: str) -> Location:
    """Return a location with the nodes to keep in fp32, or with the reason why none were found."""
    if found.nodes is None:
        message = wording.NONE_FOUND if found.exhausted else wording.NOTHING_HELPS
        why = message.text(precision=precision, trials=found.trials)
        ended = replace(located, keep=(), hopeless=not found.exhausted, exhausted=found.exhausted)
        return replace(ended, notes=(*located.notes, why))
    needed = "it is needed" if len(found.nodes) == 1 else "each of them is needed"
    least = needed if found.minimal else "a smaller set may pass too; the search used all its trials"
    count, trials = counted(len(found.nodes), "node"), counted(found.trials, "trial")
    note = f"The gate fails in {precision}. With {count} in fp32 it passes; {least} ({trials})."
    return replace(located, keep=found.nodes, keep_passes=True, notes=(*located.notes, note))


class _Gate:
    """Reduces the file with some nodes kept and compares its outputs, as a run does; removes the files of every trial."""

    def __init__(
        self, model: schema.Model, artifact: OnnxArtifact, baseline: Baseline, *, tracker: ErrorTracker | None, work: Path
    ) -> None:
        self._model, self._artifact, self._baseline, self._tracker, self._work = model, artifact, baseline, tracker, work
        self.failed: tuple[int, ...] | None = None
        """Samples of the first failed comparison in the first trial."""
        self.whole: set[frozenset[str]] = set()
        """Sets that leave no node in half precision."""

    def __call__(self, kept: frozenset[str]) -> bool:
        nodes = sorted({*self._model.keep_fp32.nodes, *kept})
        model = self._model.model_copy(update={"keep_fp32": self._model.keep_fp32.model_copy(update={"nodes": nodes})})
        tracker = self._tracker.fresh() if self._tracker else None
        try:
            reduced = precision_comparison.reduce(
                model, self._artifact, self._baseline, work=self._work, recorder=Recorder(), tracker=tracker
            )
        except NothingReducedError:  # this is the fp32 file, which passes; the search goes on with smaller sets
            self.whole.add(kept)
            return True
        except ExportError:
            return False
        finally:
            shutil.rmtree(self._work, ignore_errors=True)
        failing = next((check.samples for check in reduced.checks if not check.passed), None)
        over = gates.first_over_budget(tracker.gates()) if tracker else None
        if failing is None and over is not None:
            failing = (over.sample or 0,)
        self.failed = self.failed or failing
        return bool(reduced.checks) and failing is None
