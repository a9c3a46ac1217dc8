"""Where a graph goes wrong: the order in which its sides are run, and what to make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tritonize.core.artifacts import Check, OnnxArtifact, SampleSet, Source
from tritonize.core.error_location import Location, NodeError
from tritonize.core.errors import UsageError
from tritonize.core.recorder import Outcome, Recorder
from tritonize.core.stages import StageName
from tritonize.locate import tracing
from tritonize.reference import runner
from tritonize.source import identification, input_inference, inspection
from tritonize.source import samples as sample_files
from tritonize.spec import schema

SHARE = 0.9
"""Part of the sum of the squared own errors that the nodes proposed for fp32 make up."""
_MAP = "node_map.json"
_MOVES = {
    *("Clip", "Concat", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "Max", "MaxPool", "Min", "Pad"),
    *("DepthToSpace", "Relu", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where"),
}
"""Operators that answer values they are given: what they are off was rounded before them."""


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
    """Where an exported file parts from its source: module by module in PyTorch, or node by node for an ONNX file.

    Args:
        batch: the samples on which they part; see `failing`.
        work: an empty folder for the values; they take as much as the modules answer, once.
        part_bytes: what one part of the graph may answer at once.

    Raises:
        UsageError, ExportError: one of the sides does not run.
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
        outcome.note = modules.unavailable or f"{len(modules.captured.seen)} tensors"
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
    """Where one ONNX file parts from another whose tensors or nodes have the same names; the first is right.

    Args:
        node_map: of either; by default the one that lies beside `found`.
        emulated: see `tracing.errors`.

    Raises:
        UsageError: they have no names in common, or take other inputs than the samples have.
        ExportError: the first does not run.
    """
    recorder = recorder or Recorder()
    with recorder.stage(StageName.NODES) as outcome:
        known = node_map or map_of(found)
        traced = tracing.errors(
            found, expected, samples, batches=batches, directory=work / "nodes", limits=limit, node_map=known, emulated=emulated
        )
        _note(outcome, traced)
    return _location(Location(expected=expected.name, found=found.name, kind="graphs"), traced)


def locate_files(expected: schema.Model, found: Path, work: Path, *, recorder: Recorder | None = None) -> Location:
    """Where an ONNX file parts from another one, on the samples that the first one's spec describes.

    Raises:
        UsageError: one of them is no ONNX file or lacks its data; they have nothing in common.
        ExportError: the first does not run.
    """
    recorder = recorder or Recorder()
    for path in (Path(expected.source), found):
        if not path.is_file():
            raise UsageError("There is no such model file.", where=str(path))
    source = identification.identify(expected)
    (work / "found").mkdir()
    inspection.inspect(Source(kind="onnx", location=str(found), sha256={}), work / "found")  # which refuses what is no ONNX file
    model = input_inference.complete(_batched_as_it_is(expected, source, work), source, work)
    with recorder.stage(StageName.SAMPLES) as outcome:
        drawn = sample_files.write(model, work / "samples")
        outcome.note = f"{drawn.files.count} samples, {drawn.origin}"
    batches = [(index,) for index in range(drawn.files.count)]
    return between(
        Path(source.location), found, drawn, batches=batches, work=work / "locate", limit=limits(model), recorder=recorder
    )


def _batched_as_it_is(model: schema.Model, source: Source, work: Path) -> schema.Model:
    """Batched where the file's inputs share a dynamic first axis; one sample is one batch, so its largest size is 1."""
    if not model.max_batch_size or model.inputs:
        return model.model_copy(update={"max_batch_size": min(1, model.max_batch_size)})
    first = {tensor.shape[:1] for tensor in inspection.inspect(source, work / "batched").inputs}
    batched = len(first) == 1 and all(shape and isinstance(shape[0], str) for shape in first)
    return model.model_copy(update={"max_batch_size": int(batched)})


def failing(checks: Sequence[Check]) -> tuple[int, ...]:
    """The samples of ONNX Runtime's worst check that failed, or of the one that is furthest off where none did."""
    candidates = [check for check in checks if check.stage == StageName.ONNXRUNTIME]
    worst = max(candidates, key=lambda check: (not check.passed, _share(check)), default=None)
    return worst.samples if worst is not None else (0,)


def _share(check: Check) -> float:
    """The largest difference of a check as a part of the output's largest value."""
    return max(((each.max_abs or 0.0) / (each.largest or 1.0) for each in check.tensors), default=0.0)


def map_of(path: Path) -> Path | None:
    """The node map of an ONNX file: beside it, or in its version's evidence."""
    return next((each for each in (path.with_name(_MAP), path.parent / "evidence" / _MAP) if each.is_file()), None)


def limits(model: schema.Model, part_bytes: int = tracing.PART_BYTES) -> tracing.Limits:
    """What the search may take: what the spec gives every worker."""
    return tracing.Limits(
        deadline_s=model.deadline_s,
        memory_bytes=model.memory_bytes,
        part_bytes=part_bytes,
        libraries=tuple(model.custom_op_libraries),
    )


def _note(outcome: Outcome, traced: tracing.Traced) -> None:
    outcome.cost(traced)
    outcome.note = f"{len(traced.series)} of {traced.nodes} nodes compared, in {traced.parts} parts"


def _location(bare: Location, traced: tracing.Traced) -> Location:
    series = traced.series
    notes = [f"The graph does not run as a whole: {traced.broken}"] if traced.broken else []
    if len(series) < traced.nodes and bare.kind == "modules":
        notes.append("Nodes between two modules' answers are looked at together; the range is named.")
    return replace(
        bare,
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
    """Nodes of reduced precision with the largest own errors, which make up `SHARE` of the sum of all their squares."""
    ranked = ranking(series)
    whole, so_far = sum(own**2 for own in ranked.values()), 0.0
    found = []
    for name, own in ranked.items():
        if so_far >= SHARE * whole:
            break
        so_far += own**2
        found.append(name)
    return tuple(found)


def ranking(series: Sequence[NodeError]) -> dict[str, float]:
    """The nodes of reduced precision by the names that `keep_fp32` takes, and their own errors, the largest first.

    These are the candidates of the bisection. A node that only moves values is one only if its error exceeds its allowance.
    """
    found: dict[str, float] = {}
    for each in series:
        name = each.counterpart if each.counterpart is not None else each.node
        moves = (each.counterpart_operator or each.operator) in _MOVES and not each.exceeds
        if each.reduced and name and each.own > 0 and not moves:
            found[name] = max(found.get(name, 0.0), each.own)
    return dict(sorted(found.items(), key=lambda item: -item[1]))
