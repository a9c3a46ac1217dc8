"""Which node of a graph an error comes from: every node is run on right inputs, so that its own error shows; inside a worker.

Of every tensor that has a counterpart three values are compared: what the expected side gives, what the graph gives as it
is, and what the node gives when it is fed the expected side's values. The last one says what the node itself does wrong,
however small its inputs' errors are or however much it amplifies them. The graph is run in parts within a bound of memory.
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
from tritonize.locate.tasks import ErrorsAnswer, ErrorsRequest
from tritonize.locate.worker import comparable_nodes, distances, node_differences, rounding_allowance
from tritonize.locate.worker.comparable_nodes import Unit
from tritonize.locate.worker.module_tensors import ModuleAnswers, NodeMap, Tensors
from tritonize.locate.worker.subgraphs import Graph
from tritonize.locate.worker.tensor_values import Evaluation, Runner, Store, cast


class Expected(Protocol):
    """The right values."""

    def advance(self, wanted: Iterable[str]) -> None:
        """Make sure that they are there."""

    def value(self, batch: int, name: str) -> Array:
        """One of them."""

    def release(self, needed: set[str]) -> None:
        """Remove all others."""


@dataclass
class _Distances:
    """Of one tensor, the worst over all batches."""

    own: float = 0.0
    propagated: float | None = 0.0
    total: float | None = 0.0
    reason: str | None = None


@dataclass
class _Walk:
    """The graph, the right values, and what is known so far."""

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


def compare(asked: ErrorsRequest) -> ErrorsAnswer:
    """The error of every node that can be compared.

    Raises:
        UsageError: the two sides take other inputs, or no tensor of the graph has a counterpart.
        ExportError: the expected side does not run.
    """
    batches = [arrays.stack(asked.samples.files, indices) for indices in asked.batches]
    graph, runner = Graph(asked.found), Runner(asked.directory / "parts", asked.libraries)
    _require_inputs(graph, batches[0], asked.found)
    graph.infer(max(batches, key=lambda batch: sum(array.nbytes for array in batch.values())))
    node_map = NodeMap.read(asked.node_map)
    other = Graph(asked.expected) if asked.expected else None
    expected: Expected
    if other is not None and asked.expected is not None:
        _require_inputs(other, batches[0], asked.expected)
        matches = comparable_nodes.matches(graph, other, by_node=not asked.emulated)
        expected = Evaluation(other, matches.values(), batches, store=Store(asked.directory / "expected"), runner=runner)
    else:
        assert asked.captured is not None
        tensors = Tensors(graph, node_map, asked.captured)
        matches, expected = tensors.matches(), ModuleAnswers(asked.captured)
    if not matches:
        raise UsageError(
            "No tensor of the graph has a counterpart, so there is nothing to compare.",
            where=asked.found.name,
            next_step="compare files whose nodes keep their names, such as a file and what was made of it",
        )
    found = Evaluation(graph, matches, batches, store=Store(asked.directory / "found"), runner=runner)
    walk = _Walk(
        graph=graph, matches=matches, expected=expected, found=found, batches=batches, runner=runner, emulated=asked.emulated
    )
    series = tuple(_series(walk, asked.part_bytes, other, node_map=node_map))
    return ErrorsAnswer(
        series=series,
        nodes=len(graph.nodes),
        parts=runner.parts,
        largest_part=runner.largest,
        broken=walk.broken,
        library_seconds=runner.watch.seconds,
    )


def _require_inputs(graph: Graph, batch: Arrays, path: Path) -> None:
    if set(graph.inputs) != set(batch):
        raise UsageError(
            "The graph takes other inputs than the samples have.",
            where=path.name,
            expected=", ".join(graph.inputs),
            found=", ".join(batch),
        )


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
    """The type that a tensor has in the graph."""
    if walk.broken is None:
        kind = walk.found.value(0, name).dtype
        walk.graph.types[name] = onnx.helper.np_dtype_to_tensor_dtype(kind)
        return kind
    known = walk.graph.types.get(name)
    return walk.expected.value(0, walk.matches[name]).dtype if known is None else onnx.helper.tensor_dtype_to_np_dtype(known)


def _run_fed(walk: _Walk, part: Sequence[Unit]) -> None:
    """Run every unit of a part on right inputs. Where a part does not run, its units are run one by one."""
    graph = walk.graph
    nodes = sorted({index for unit in part for index in unit.nodes})
    takes = list(dict.fromkeys(name for unit in part for name in unit.takes))
    renamed = {name: f"{name}//own" for index in nodes for name in graph.nodes[index].output if name in walk.matches}
    feeds = [{name: _right(walk, number, name) for name in takes} for number in range(len(walk.batches))]
    described = {name: (arrays.dtype_name(array), array.ndim) for name, array in feeds[0].items()}
    outputs = [name for unit in part for name in unit.outputs]

    def measure(number: int, answer: Arrays) -> None:
        for name in outputs:
            _measure(walk, number, name, own=answer[renamed[name]])

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


def _right(walk: _Walk, number: int, name: str) -> Array:
    """The right value of what a node takes, in the type that it takes it in."""
    if name in walk.matches:
        return cast(walk.expected.value(number, walk.matches[name]), walk.kinds[name])
    return walk.found.value(number, name)


def _measure(walk: _Walk, number: int, name: str, *, own: Array) -> None:
    so_far = walk.distances[name]
    right = walk.expected.value(number, walk.matches[name])
    scale = distances.largest(right)
    error, reason = distances.distance(own, right, scale)
    if error > so_far.own:
        so_far.own, so_far.reason = error, reason
    if walk.broken is not None:
        so_far.propagated = so_far.total = None
        return
    found = walk.found.value(number, name)
    total = distances.distance(found, right, scale)[0]
    passed_on = distances.distance(found, own, scale)[0] if error else total
    so_far.total = max(so_far.total or 0.0, total)
    so_far.propagated = max(so_far.propagated or 0.0, passed_on)


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
        nodes=tuple(_label(graph, index) for index in _shown(graph, unit, emulated=walk.emulated)),
        takes=unit.takes,
        module=module,
        source=source,
        reason=found.reason,
        difference=difference,
        reduced=reduced,
        counterpart=twin.name if twin is not None else None,
        counterpart_operator=twin.op_type if twin is not None else None,
    )


def _shown(graph: Graph, unit: Unit, *, emulated: bool) -> Sequence[int]:
    """The nodes of a unit without the casts of an emulation."""
    computing = [index for index in unit.nodes if graph.nodes[index].op_type != "Cast"]
    return computing if emulated and computing else unit.nodes


def _label(graph: Graph, index: int) -> str:
    node = graph.nodes[index]
    return f"{node.op_type} {node.name or node.output[0]}"


def _named(graph: Graph, unit: Unit, other: Graph | None, *, exceeds: bool, reduced: bool) -> tuple[int, str | None]:
    """Which of the nodes that were run together is named, and what is different about it."""
    if reduced:
        computing = (index for index in unit.nodes if graph.nodes[index].op_type != "Cast")
        return next(computing, unit.index), "it is in a type below fp32" if exceeds else None
    if other is None or not exceeds:
        return unit.index, None
    return node_differences.suspect(graph, other, unit.nodes, last=unit.index)
