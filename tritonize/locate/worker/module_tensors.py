"""Match tensors of a graph with inputs and outputs of modules, through `node_map.json`; inside a worker, without torch.

Uncertain pairs are left out, because a wrong pair would blame a correct node. The nodes between two pairs are compared as one
unit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from onnx import NodeProto

from tritonize.core import arrays
from tritonize.core.arrays import Array
from tritonize.locate.tasks import Captured, ModuleTensor
from tritonize.locate.worker.subgraphs import Graph


class MappedNode(TypedDict):
    """One node of `node_map.json`; see `onnx_model/worker/origins.py`."""

    outputs: list[str]
    module: NotRequired[str]
    source: NotRequired[str]


@dataclass(frozen=True)
class NodeMap:
    """`node_map.json`: the origin of nodes, by the names of their outputs."""

    entries: Mapping[str, MappedNode] = field(default_factory=dict)

    @staticmethod
    def read(path: Path | None) -> NodeMap:
        """Read the map from a file; empty without a file. Raises OSError, ValueError."""
        if path is None:
            return NodeMap()
        nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
        return NodeMap({name: entry for entry in nodes for name in entry["outputs"] if name})

    def origin(self, *nodes: NodeProto) -> tuple[str | None, str | None]:
        """Module and source line of the first of these nodes that is in the map; `None` for unknown parts."""
        entry = next((self.entries[name] for node in nodes for name in node.output if name in self.entries), None)
        return (entry.get("module"), entry.get("source")) if entry else (None, None)


class ModuleOutputs:
    """The expected values, from the captured outputs of modules."""

    def __init__(self, captured: Captured) -> None:
        self._captured = {each.key: each for each in captured.tensors}

    def advance(self, names: Iterable[str]) -> None:
        """Do nothing: the values are already captured."""

    def value(self, batch: int, name: str) -> Array:
        """The value of one tensor, memory-mapped."""
        captured = self._captured[name]
        array: Array = np.load(captured.files[batch], mmap_mode="r", allow_pickle=False)
        return array.view(arrays.BFLOAT16) if captured.dtype == "bf16" else array

    def release(self, needed: set[str]) -> None:
        """Do nothing: several modules may share a file."""


class Tensors:
    """Pairs a graph's tensors with captured inputs and outputs of modules."""

    def __init__(self, graph: Graph, node_map: NodeMap, captured: Captured) -> None:
        self._graph = graph
        self._captured = captured.tensors
        self._module_of = [node_map.origin(node)[0] for node in graph.nodes]
        paths = dict.fromkeys(each.module for each in captured.tensors)
        self._inside = {path: set(self._nodes_of(path)) for path in paths}
        self._silent = {each.module for each in captured.tensors if each.weighted and not self._inside[each.module]}

    def _nodes_of(self, path: str) -> Iterator[int]:
        for index, module in enumerate(self._module_of):
            if module is not None and (not path or module == path or module.startswith(f"{path}.")):
                yield index

    def matches(self) -> dict[str, str]:
        """Tensor of the graph to `ModuleTensor.key`, innermost modules first."""
        doubtful = {file for each in self._captured if each.place == "input" and each.module in self._silent for file in each.files}
        matches: dict[str, str] = {}
        for path in sorted(self._inside, key=lambda path: -path.count(".") if path else 1):
            for tensor, captured in self._outputs(path):
                # A module with weights but without nodes may have been folded into the previous module's node.
                if doubtful.isdisjoint(captured.files):
                    matches.setdefault(tensor, captured.key)
        for path in self._inside if not self._silent else ():
            for tensor, captured in self._inputs(path):
                matches.setdefault(tensor, captured.key)
        return {name: matches[name] for node in self._graph.nodes for name in node.output if name in matches}

    def _of(self, path: str, place: str) -> list[ModuleTensor]:
        return [each for each in self._captured if each.module == path and each.place == place]

    def _outputs(self, path: str) -> Iterator[tuple[str, ModuleTensor]]:
        captured = self._of(path, "output")
        if not path:
            produced = [name for name in self._graph.outputs if name in self._graph.producer]
            yield from (
                zip(produced, captured, strict=True) if len(produced) == len(captured) and self._all_fit(produced, captured) else ()
            )
            return
        inside = self._inside[path]
        produced = [name for index in sorted(inside) for name in self._graph.nodes[index].output if self._leaves(name, inside)]
        yield from self._paired(produced, captured)

    def _inputs(self, path: str) -> Iterator[tuple[str, ModuleTensor]]:
        inside, captured = self._inside[path], self._of(path, "input")
        entering = {name for index in inside for name in self._graph.needs[index]}
        entering = {name for name in entering if name in self._graph.producer and self._graph.producer[name] not in inside}
        if len(entering) == len(captured) == 1:
            yield from self._paired(list(entering), captured)

    def _leaves(self, name: str, inside: set[int]) -> bool:
        """Whether a node outside of the module consumes a tensor, or it is an output of the graph."""
        users = self._graph.consumers.get(name, ())
        return bool(name) and (name in self._graph.outputs or any(index not in inside for index in users))

    def _paired(self, produced: Sequence[str], captured: Sequence[ModuleTensor]) -> Iterator[tuple[str, ModuleTensor]]:
        """Pair in order if the numbers agree and all fit; otherwise pair only tensors whose match is unique."""
        fitting = [name for name in produced if any(self._fits(name, each) for each in captured)]
        if len(fitting) == len(captured) and self._all_fit(fitting, captured):
            yield from zip(fitting, captured, strict=True)
            return
        if len({each.call for each in captured}) > 1:
            return
        pairs = [(name, each) for name in fitting for each in captured if self._fits(name, each)]
        names, keys = Counter(name for name, _ in pairs), Counter(each.key for _, each in pairs)
        yield from ((name, each) for name, each in pairs if names[name] == 1 and keys[each.key] == 1)

    def _all_fit(self, produced: Sequence[str], captured: Sequence[ModuleTensor]) -> bool:
        return all(self._fits(name, each) for name, each in zip(produced, captured, strict=True))

    def _fits(self, name: str, captured: ModuleTensor) -> bool:
        """Whether the shapes agree, as far as they are known."""
        if name in self._graph.no_tensors:
            return False
        shape = self._graph.shapes.get(name)
        return shape is None or shape in captured.shapes
