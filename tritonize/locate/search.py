"""Locate the node where a graph goes wrong: run both sides, compare them node by node, and evaluate the errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tritonize.core import near_files
from tritonize.core.artifacts import OnnxArtifact, SampleSet, Source
from tritonize.core.error_location import Location, NodeError
from tritonize.core.errors import UsageError
from tritonize.core.messages import locate as wording
from tritonize.core.recorder import Outcome, Recorder
from tritonize.core.reports import Check
from tritonize.core.stages import StageName
from tritonize.locate import tracing
from tritonize.reference import runner
from tritonize.source import identification, input_inference, inspection
from tritonize.source import samples as sample_files
from tritonize.spec import schema

SHARE = 0.9
"""Share of the sum of all squared own errors that the nodes proposed for fp32 have together."""
_MAP = "node_map.json"
_MOVING = {
    *("Clip", "Concat", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "Max", "MaxPool", "Min", "Pad"),
    *("DepthToSpace", "Relu", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where"),
}
"""Operators whose outputs are values of their inputs: their error was rounded before them."""


def locate(
    model: schema.Model,
    source: Source,
    artifact: OnnxArtifact,
    *,
    samples: SampleSet,
    work: Path,
    recorder: Recorder | None = None,
    batch: tuple[int, ...] = (0,),
    part_bytes: int = tracing.PART_BYTES,
) -> Location:
    """Locate where an exported file departs from its source: by module for PyTorch, by node for an ONNX file.

    Args:
        batch: the samples on which the outputs differ; see `failing`.
        work: an empty folder for the outputs of all modules.
        part_bytes: largest size in bytes of the outputs of one part of the graph.

    Raises:
        UsageError, ExportError: one of the two does not run.
    """
    recorder = recorder or Recorder()
    limit = limits(model, part_bytes)
    if source.kind == "onnx":
        expected = Path(source.location)
        return between(
            expected, artifact.path, samples, batches=[batch], work=work, limit=limit, recorder=recorder, node_map=artifact.node_map
        )
    with recorder.stage(StageName.MODULES) as outcome:
        load = runner.load_request(model, source)
        search_path = [folder.resolve() for folder in model.search_path]
        modules = tracing.modules(load, samples, [batch], directory=work / "modules", limits=limit, search_path=search_path)
        outcome.note = modules.unavailable or f"{len(modules.captured.tensors)} tensors"
    expected_name, found_name = f"PyTorch, {source.location}", artifact.path.name
    if modules.unavailable or artifact.node_map is None:
        why = f"Module outputs are not available: {modules.unavailable or 'the file has no node map'}."
        return Location(expected=expected_name, found=found_name, kind="not available", notes=(why,))
    with recorder.stage(StageName.NODES) as outcome:
        traced = tracing.errors(
            artifact.path, modules, samples, batches=[batch], directory=work / "nodes", limits=limit, node_map=artifact.node_map
        )
        _note(outcome, traced)
    return _location(Location(expected=expected_name, found=found_name, kind="modules"), traced)


def between(
    expected: Path,
    found: Path,
    samples: SampleSet,
    *,
    batches: Sequence[tuple[int, ...]],
    work: Path,
    limit: tracing.Limits,
    recorder: Recorder | None = None,
    node_map: Path | None = None,
    emulated: bool = False,
) -> Location:
    """Locate where the ONNX file `found` departs from `expected`, whose tensors or nodes have the same names.

    Args:
        node_map: the node map of one of the files (the one beside `found`).
        emulated: see `tracing.errors`.

    Raises:
        UsageError: the files have no names in common, or their inputs differ from those of the samples.
        ExportError: `expected` does not run.
    """
    recorder = recorder or Recorder()
    with recorder.stage(StageName.NODES) as outcome:
        node_map = node_map or map_of(found)
        traced = tracing.errors(
            found, expected, samples, batches=batches, directory=work / "nodes", limits=limit, node_map=node_map, emulated=emulated
        )
        _note(outcome, traced)
    return _location(Location(expected=expected.name, found=found.name, kind="graphs"), traced)


def locate_files(expected: schema.Model, found: Path, work: Path, *, recorder: Recorder | None = None) -> Location:
    """Locate where the ONNX file `found` departs from another one, on samples of the other one's spec.

    Raises:
        UsageError: a file does not exist, is not an ONNX file or lacks its data, or the two have no names in common.
        ExportError: the file of `expected` does not run.
    """
    recorder = recorder or Recorder()
    for path in (Path(expected.source), found):
        if not path.is_file():
            instead = near_files.missing(path, suffixes=(".onnx",))
            raise UsageError.of(wording.MODEL_FILE_MISSING, where=str(path), found=instead.found, meant=instead.meant)
    source = identification.identify(expected)
    (work / "found").mkdir()
    inspection.inspect(Source(kind="onnx", location=str(found), sha256={}), work / "found")  # rejects a file that is not ONNX
    model = input_inference.complete(_with_batching(expected, source, work), source, work)
    with recorder.stage(StageName.SAMPLES) as outcome:
        drawn = sample_files.write(model, work / "samples")
        outcome.note = f"{drawn.files.count} samples, {drawn.origin}"
    batches = [(index,) for index in range(drawn.files.count)]
    return between(
        Path(source.location), found, drawn, batches=batches, work=work / "locate", limit=limits(model), recorder=recorder
    )


def _with_batching(model: schema.Model, source: Source, work: Path) -> schema.Model:
    """Return the spec with a batch size of 1 if all inputs of the file have a dynamic first axis, otherwise without a batch."""
    if not model.max_batch_size or model.inputs:
        return model.model_copy(update={"max_batch_size": min(1, model.max_batch_size)})
    first = {tensor.shape[:1] for tensor in inspection.inspect(source, work / "batched").inputs}
    batched = len(first) == 1 and all(shape and isinstance(shape[0], str) for shape in first)
    return model.model_copy(update={"max_batch_size": int(batched)})


def failing(checks: Sequence[Check]) -> tuple[int, ...]:
    """Return the samples of ONNX Runtime's worst failed check; if none failed, of the check with the largest relative error."""
    candidates = [check for check in checks if check.stage == StageName.ONNXRUNTIME]
    worst = max(candidates, key=lambda check: (not check.passed, _relative_error(check)), default=None)
    return worst.samples if worst is not None else (0,)


def _relative_error(check: Check) -> float:
    """Return the largest difference of a check, divided by the largest magnitude of the output."""
    return max(((each.max_abs or 0.0) / (each.largest or 1.0) for each in check.tensors), default=0.0)


def map_of(path: Path) -> Path | None:
    """Return the node map of an ONNX file, beside it or in its version's evidence; `None` if it has none."""
    return next((each for each in (path.with_name(_MAP), path.parent / "evidence" / _MAP) if each.is_file()), None)


def limits(model: schema.Model, part_bytes: int = tracing.PART_BYTES) -> tracing.Limits:
    """Return the limits of a search: those that the spec sets for every worker."""
    return tracing.Limits(
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
        part_bytes=part_bytes,
        libraries=tuple(model.custom_op_libraries),
    )


def _note(outcome: Outcome, traced: tracing.Traced) -> None:
    outcome.cost(traced)
    outcome.note = f"{len(traced.series)} of {traced.nodes} nodes compared, in {traced.parts} parts"


def _location(header: Location, traced: tracing.Traced) -> Location:
    series = traced.series
    notes = [f"The graph does not run as a whole: {traced.broken}"] if traced.broken else []
    if len(series) < traced.nodes and header.kind == "modules":
        notes.append("Nodes between the outputs of two modules are compared together, so the origin is a range of nodes.")
    return replace(
        header,
        origin=next((each for each in series if each.exceeds), None),
        largest=max(series, key=lambda each: each.own, default=None),
        series=series,
        keep=to_keep(series),
        nodes=traced.nodes,
        parts=traced.parts,
        largest_part=traced.largest_part,
        notes=tuple(notes),
    )


def to_keep(series: Sequence[NodeError]) -> tuple[str, ...]:
    """Return the nodes in reduced precision with the largest own errors, up to `SHARE` of the sum of their squares."""
    ranked = ranking(series)
    whole, so_far = sum(own**2 for own in ranked.values()), 0.0
    names = []
    for name, own in ranked.items():
        if so_far >= SHARE * whole:
            break
        so_far += own**2
        names.append(name)
    return tuple(names)


def ranking(series: Sequence[NodeError]) -> dict[str, float]:
    """Return the nodes in reduced precision and their own errors, the largest first, by the names that `keep_fp32` takes.

    They are the candidates of the bisection. A node that only moves values is included only if its error exceeds its allowance.
    """
    errors: dict[str, float] = {}
    for each in series:
        name = each.counterpart if each.counterpart is not None else each.node
        moves = (each.counterpart_operator or each.operator) in _MOVING and not each.exceeds
        if each.reduced and name and each.own > 0 and not moves:
            errors[name] = max(errors.get(name, 0.0), each.own)
    return dict(sorted(errors.items(), key=lambda item: -item[1]))
