"""Measure the error of every node of a graph: each node runs on the expected inputs, which isolates its own error; in a worker.

Three values of every tensor with a counterpart are compared: the expected value, the value in the graph, and the output of the
node on the expected inputs. The last one gives the node's own error, separate from the error that it inherits or amplifies. The
graph runs in parts of bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx.helper

from tritonize.core import arrays
from tritonize.core.arrays import Array, Arrays
from tritonize.core.error_location import FAR, NodeError
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import locate as messages
from tritonize.locate.tasks import ErrorsRequest, ErrorsResult
from tritonize.locate.worker import comparable_nodes, distances, node_differences, rounding_allowance
from tritonize.locate.worker.comparable_nodes import Unit
from tritonize.locate.worker.module_tensors import ModuleOutputs, NodeMap, Tensors
from tritonize.locate.worker.subgraphs import Graph
from tritonize.locate.worker.tensor_values import Evaluation, Runner, Store, cast


class Expected(Protocol):
    """The source of expected values."""

    def advance(self, names: Iterable[str]) -> None:
        """Make the values of these tensors available."""

    def value(self, batch: int, name: str) -> Array:
        """The value of one tensor for one batch."""

    def release(self, needed: set[str]) -> None:
        """Remove all values except the needed ones."""


@dataclass
class _Distances:
    """The largest errors of one tensor over all batches."""

    own: float = 0.0
    propagated: float | None = 0.0
    total: float | None = 0.0
    reason: str | None = None


@dataclass
class _Walk:
    """The graph, the expected values, and the results so far."""

    graph: Graph
    matches: Mapping[str, str]
    """Tensor of the graph to its counterpart."""
    expected: Expected
    found: Evaluation
    batches: Sequence[Arrays]
    runner: Runner
    emulated: bool
    kinds: dict[str, np.dtype] = field(default_factory=dict)
    distances: dict[str, _Distances] = field(default_factory=dict)
    broken: str | None = None


def compare(request: ErrorsRequest) -> ErrorsResult:
    """Measure the error of every node that can be compared.

    Raises:
        UsageError: the two graphs have different inputs, or no tensor of the graph has a counterpart.
        ExportError: the expected graph does not run.
    """
    batches = [arrays.stack(request.samples.files, indices) for indices in request.batches]
    graph, runner = Graph(request.found), Runner(request.directory / "parts", request.libraries)
    _require_inputs(graph, batches[0], request.found)
    graph.infer(max(batches, key=lambda batch: sum(array.nbytes for array in batch.values())))
    node_map = NodeMap.read(request.node_map)
    other = Graph(request.expected) if request.expected else None
    expected: Expected
    if other is not None and request.expected is not None:
        _require_inputs(other, batches[0], request.expected)
        matches = comparable_nodes.matches(graph, other, by_node=not request.emulated)
        expected = Evaluation(other, matches.values(), batches, store=Store(request.directory / "expected"), runner=runner)
    else:
        assert request.captured is not None
        tensors = Tensors(graph, node_map, request.captured)
        matches, expected = tensors.matches(), ModuleOutputs(request.captured)
    if not matches:
        raise UsageError.of(messages.NO_COUNTERPART, where=request.found.name)
    found = Evaluation(graph, matches, batches, store=Store(request.directory / "found"), runner=runner)
    walk = _Walk(
        graph=graph, matches=matches, expected=expected, found=found, batches=batches, runner=runner, emulated=request.emulated
    )
    series = tuple(_series(walk, request.part_bytes, other, node_map=node_map))
    return ErrorsResult(
        series=series,
        nodes=len(graph.nodes),
        parts=runner.parts,
        largest_part=runner.largest,
        broken=walk.broken,
        library_seconds=runner.watch.seconds,
    )


def _require_inputs(graph: Graph, batch: Arrays, path: Path) -> None:
    if set(graph.inputs) != set(batch):
        raise UsageError.of(messages.OTHER_INPUTS, where=path.name, expected=", ".join(graph.inputs), found=", ".join(batch))


def _series(walk: _Walk, part_bytes: int, other: Graph | None, *, node_map: NodeMap) -> Iterator[NodeError]:
    units = list(comparable_nodes.units(walk.graph, walk.matches))
    parts = list(comparable_nodes.parts(walk.graph, units, part_bytes))
    last_use = {name: number for number, part in enumerate(parts) for unit in part for name in unit.takes}
    for number, part in enumerate(parts):
        _compare_part(walk, part)
        walk.expected.release({walk.matches[name] for name, last in last_use.items() if last > number and name in walk.matches})
        walk.found.release(set())
    for unit in units:
        yield _error(walk, unit, other, node_map=node_map)


def _compare_part(walk: _Walk, part: Sequence[Unit]) -> None:
    names = [name for unit in part for name in unit.outputs]
    walk.distances.update({name: _Distances() for name in names})
    if walk.broken is None:
        try:
            walk.found.advance(names)
        except ExportError as error:
            walk.broken = f"{error.what} {error.found or ''}".strip()
    fed = [name for unit in part for name in unit.takes if name in walk.matches]
    walk.expected.advance(dict.fromkeys(walk.matches[name] for name in (*names, *fed)))
    for name in names:
        walk.kinds[name] = _kind(walk, name)
    _run_fed(walk, part)


def _kind(walk: _Walk, name: str) -> np.dtype:
    """The NumPy type of a tensor in the graph."""
    if walk.broken is None:
        kind = walk.found.value(0, name).dtype
        walk.graph.types[name] = onnx.helper.np_dtype_to_tensor_dtype(kind)
        return kind
    known = walk.graph.types.get(name)
    return walk.expected.value(0, walk.matches[name]).dtype if known is None else onnx.helper.tensor_dtype_to_np_dtype(known)


def _run_fed(walk: _Walk, part: Sequence[Unit]) -> None:
    """Run every unit of a part on the expected inputs. If the part does not run, run its units one by one."""
    graph = walk.graph
    nodes = sorted({index for unit in part for index in unit.nodes})
    takes = list(dict.fromkeys(name for unit in part for name in unit.takes))
    renamed = {name: f"{name}//own" for index in nodes for name in graph.nodes[index].output if name in walk.matches}
    feeds = [{name: _expected_input(walk, number, name) for name in takes} for number in range(len(walk.batches))]
    described = {name: (arrays.dtype_name(array), array.ndim) for name, array in feeds[0].items()}
    outputs = [name for unit in part for name in unit.outputs]

    def measure(number: int, found: Arrays) -> None:
        for name in outputs:
            _measure(walk, number, name, own=found[renamed[name]])

    try:
        model = graph.model(nodes, described, [renamed[name] for name in outputs], renamed=renamed)
        walk.runner.run(model, feeds, measure, weights=graph.weight_bytes(nodes))
    except ExportError as error:
        if len(part) > 1:
            for unit in part:
                _run_fed(walk, [unit])
            return
        for name in outputs:
            reason = f"it does not run on the expected inputs: {error.found}"
            walk.distances[name] = _Distances(own=FAR, propagated=None, total=None, reason=reason)


def _expected_input(walk: _Walk, number: int, name: str) -> Array:
    """The expected value of a node's input, in the input's type in the graph."""
    if name in walk.matches:
        return cast(walk.expected.value(number, walk.matches[name]), walk.kinds[name])
    return walk.found.value(number, name)


def _measure(walk: _Walk, number: int, name: str, *, own: Array) -> None:
    so_far = walk.distances[name]
    expected = walk.expected.value(number, walk.matches[name])
    scale = distances.largest(expected)
    error, reason = distances.distance(own, expected, scale)
    if error > so_far.own:
        so_far.own, so_far.reason = error, reason
    if walk.broken is not None:
        so_far.propagated = so_far.total = None
        return
    found = walk.found.value(number, name)
    total = distances.distance(found, expected, scale)[0]
    propagated = distances.distance(found, own, scale)[0] if error else total
    so_far.total = max(so_far.total or 0.0, total)
    so_far.propagated = max(so_far.propagated or 0.0, propagated)


def _error(walk: _Walk, unit: Unit, other: Graph | None, *, node_map: NodeMap) -> NodeError:
    graph = walk.graph
    worst = max(unit.outputs, key=lambda name: (walk.distances[name].own, walk.distances[name].total or 0.0))
    found = walk.distances[worst]
    totals = [walk.distances[name].total for name in unit.takes if name in walk.distances]
    known = [each for each in totals if each is not None]
    allowed = rounding_allowance.allowance(graph, unit.nodes, worst, emulated=walk.emulated)
    reduced = rounding_allowance.is_reduced(graph, unit.nodes, worst, emulated=walk.emulated)
    named, difference = _named(graph, unit, other, exceeds=found.own > allowed, reduced=reduced)
    node = graph.nodes[named]
    twin = other.nodes[other.producer[walk.matches[worst]]] if other is not None else None
    module, source = node_map.origin(node, *([twin] if twin is not None else []))
    if walk.emulated and twin is not None:
        node = twin
    return NodeError(
        position=named,
        node=node.name,
        operator=node.op_type,
        output=worst,
        own=found.own,
        allowance=allowed,
        inputs=None if len(known) < len(totals) else max(known, default=0.0),
        propagated=found.propagated,
        total=found.total,
        nodes=tuple(_label(graph, index) for index in _computing(graph, unit, emulated=walk.emulated)),
        takes=unit.takes,
        module=module,
        source=source,
        reason=found.reason,
        difference=difference,
        reduced=reduced,
        counterpart=twin.name if twin is not None else None,
        counterpart_operator=twin.op_type if twin is not None else None,
    )


def _computing(graph: Graph, unit: Unit, *, emulated: bool) -> Sequence[int]:
    """The nodes of a unit without the casts that emulate reduced precision."""
    computing = [index for index in unit.nodes if graph.nodes[index].op_type != "Cast"]
    return computing if emulated and computing else unit.nodes


def _label(graph: Graph, index: int) -> str:
    node = graph.nodes[index]
    return f"{node.op_type} {node.name or node.output[0]}"


def _named(graph: Graph, unit: Unit, other: Graph | None, *, exceeds: bool, reduced: bool) -> tuple[int, str | None]:
    """The node of the unit to report, and its difference from its counterpart."""
    if reduced:
        computing = (index for index in unit.nodes if graph.nodes[index].op_type != "Cast")
        return next(computing, unit.index), "it is in a type below fp32" if exceeds else None
    if other is None or not exceeds:
        return unit.index, None
    return node_differences.suspect(graph, other, unit.nodes, last=unit.index)
