"""Find the tensors of a graph that can be compared, and split the graph into parts to run; inside a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritonize.locate.worker.subgraphs import Graph


@dataclass(frozen=True)
class Unit:
    """A node with outputs that can be compared, and the nodes that must run with it."""

    index: int
    outputs: tuple[str, ...]
    nodes: tuple[int, ...]
    takes: tuple[str, ...]
    """The tensors that receive expected values."""


def matches(graph: Graph, other: Graph, *, by_node: bool) -> dict[str, str]:
    """Map every tensor to its counterpart in the other graph, which is the tensor of the same name.

    Args:
        by_node: if there is no such tensor, use the same output of the only node with the same name and operator.
    """
    matches = {}
    for node in graph.nodes:
        named = other.by_name(node.name) if by_node and graph.by_name(node.name) is not None else None
        twin = other.nodes[named] if named is not None and other.nodes[named].op_type == node.op_type else None
        for position, name in enumerate(node.output):
            of_twin = twin.output[position] if twin is not None and position < len(twin.output) else ""
            counterpart = name if name in other.producer else of_twin
            if name and counterpart and name not in graph.no_tensors and counterpart not in other.no_tensors:
                matches[name] = counterpart
    return matches


def units(graph: Graph, matches: Mapping[str, str]) -> Iterator[Unit]:
    """Every node with an output that can be compared, in topological order."""
    for index, node in enumerate(graph.nodes):
        outputs = tuple(name for name in node.output if name in matches)
        if outputs:
            nodes = tuple(graph.ancestors(outputs, matches))
            inside = {name for each in nodes for name in graph.nodes[each].output if name not in matches}
            takes = tuple(dict.fromkeys(name for each in nodes for name in graph.needs[each] if name not in inside))
            yield Unit(index, outputs, nodes, takes)


def parts(graph: Graph, units: Sequence[Unit], bound: int) -> Iterator[list[Unit]]:
    """Group consecutive units into parts of at most `bound` bytes of outputs and weights."""
    part: list[Unit] = []
    size, largest = 0, 0
    for unit in units:
        known = [graph.size(name) for name in unit.outputs]
        largest = max([largest, *(each for each in known if each is not None)])
        outputs = sum(largest if each is None else each for each in known)
        needed = outputs + graph.weight_bytes(unit.nodes)
        if part and size + needed > bound:
            yield part
            part, size = [], 0
        part.append(unit)
        size += needed
    if part:
        yield part
