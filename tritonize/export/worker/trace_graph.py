"""Decide whether a value in a graph that is being traced depends on the values of the inputs. Runs in a worker process.

A size counts only if it depends on data, such as the number of elements above a threshold. Other sizes are axes, and the samples
include the smallest and largest size of each axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any  # Any: TorchScript's graphs, nodes and values have no public types

import torch

_SIZES = {"aten::size", "aten::sym_size", "prim::shape", "aten::len", "aten::numel"}
_ABOUT_TYPES = {"aten::dim", "prim::dtype", "prim::device", "aten::is_floating_point", "aten::is_complex", "prim::layout"}
_DATA_SHAPED = {
    "aten::nonzero",
    "aten::nonzero_numpy",
    "aten::masked_select",
    "aten::_unique",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::bincount",
    "torchvision::nms",
}
"""Operators whose output size depends on the values of their input."""
_SHAPED_BY_NUMBERS = {
    "aten::arange",
    "aten::zeros",
    "aten::ones",
    "aten::full",
    "aten::empty",
    "aten::slice",
    "aten::narrow",
    "aten::expand",
    "aten::repeat",
    "aten::repeat_interleave",
    "aten::linspace",
    "aten::pad",
    "aten::constant_pad_nd",
    "aten::one_hot",
}
"""Operators whose output size depends on number arguments, which may be computed from data."""
_VIEWS = {
    "aten::select",
    "aten::slice",
    "aten::view",
    "aten::reshape",
    "aten::unsqueeze",
    "aten::squeeze",
    "aten::narrow",
    "aten::transpose",
    "aten::permute",
    "aten::t",
    "aten::flatten",
    "aten::expand",
    "aten::detach",
    "aten::alias",
    "aten::diagonal",
    "aten::unbind",
    "aten::split",
    "aten::chunk",
    "prim::ListUnpack",
}
"""Operators that return a view: a write to the output changes the input."""


class TracedGraph:
    """The graph of the trace in progress."""

    def __init__(self, graph: Any, inputs: int) -> None:
        """Args: inputs: number of model inputs; they come first among the graph's inputs, the weights follow."""
        self._inputs = {value.unique() for value in list(graph.inputs())[:inputs]}
        self._graph = graph
        self._written: dict[int, list[Any]] | None = None

    def depends(self, value: object) -> bool:
        """Whether the value is computed from the values of the model's inputs."""
        return self._depends(value, set(), set())

    def size_depends(self, value: object) -> bool:
        """Whether the size of the tensor depends on the values of the model's inputs."""
        return self._size_depends(value, set(), set())

    def _depends(self, value: Any, seen: set[int], sized: set[int]) -> bool:
        stack = [value]
        while stack:
            at = stack.pop()
            if at.unique() in seen:
                continue
            seen.add(at.unique())
            if at.unique() in self._inputs:
                return True
            node = at.node()
            if node.kind() in _ABOUT_TYPES:
                continue
            if node.kind() in _SIZES:
                if self._size_depends(next(node.inputs()), sized, seen):
                    return True
                continue
            stack += _read_by(node)
            stack += self._writes().get(at.unique(), ())
        return False

    def _size_depends(self, value: Any, sized: set[int], seen: set[int]) -> bool:
        """Follow the tensors that a tensor's size may come from; a scalar tensor cannot determine a size."""
        stack = [value]
        while stack:
            at = stack.pop()
            if at.unique() in sized:
                continue
            sized.add(at.unique())
            node = at.node()
            kind, arguments = node.kind(), list(node.inputs())
            if kind in _DATA_SHAPED and any(self._depends(each, set(seen), sized) for each in arguments):
                return True
            if kind == "aten::index" and any(self._is_mask(each, seen, sized) for each in _elements(arguments[1])):
                return True
            numbers = arguments[1:] if arguments and _is_tensor(arguments[0]) else arguments
            if kind in _SHAPED_BY_NUMBERS and any(
                self._depends(each, set(seen), sized) for argument in numbers for each in _elements(argument)
            ):
                return True
            stack += [each for argument in arguments for each in _elements(argument) if _is_tensor(each) and each.type().dim() != 0]
        return False

    def _is_mask(self, value: Any, seen: set[int], sized: set[int]) -> bool:
        kind = value.type().scalarType() if _is_tensor(value) else None
        return kind in ("Bool", "Byte") and self._depends(value, set(seen), sized)

    def _writes(self) -> dict[int, list[Any]]:
        """Map each value to what was written into it through its views; computed once, as a `TracedGraph` serves one read."""
        if self._written is None:
            self._written = {}
            for node in self._graph.nodes():
                if node.kind().startswith("aten::") and node.kind().endswith("_") and not node.kind().endswith("__"):
                    target, *others = node.inputs()
                    while target.node().kind() in _VIEWS:
                        target = next(target.node().inputs())
                        self._written.setdefault(target.unique(), []).extend(others)
        return self._written


def _is_tensor(value: Any) -> bool:
    return bool(value.type().kind() == "TensorType")


def _elements(value: Any) -> list[Any]:
    """Return the members of a list built in the graph, else the value itself."""
    return list(value.node().inputs()) if value.node().kind() in ("prim::ListConstruct", "prim::TupleConstruct") else [value]


def _read_by(node: Any) -> Iterator[object]:
    yield from node.inputs()
    for block in node.blocks():
        for inner in block.nodes():
            yield from _read_by(inner)


def fingerprint(graph: Any) -> str:
    """Hash what a graph computes: its operators, their connections and every constant, without unused nodes."""
    torch._C._jit_pass_dce(graph)
    digest = hashlib.sha256()
    numbers = {value.unique(): number for number, value in enumerate(graph.inputs())}
    _digest_nodes(graph, numbers, digest)
    digest.update(repr([numbers[value.unique()] for value in graph.outputs()]).encode())
    return digest.hexdigest()


def _digest_nodes(block: Any, numbers: dict[int, int], digest: Any) -> None:
    for node in block.nodes():
        digest.update(f"{node.kind()} {[numbers.get(value.unique()) for value in node.inputs()]}".encode())
        for name in node.attributeNames():
            kind = node.kindOf(name)
            value = getattr(node, kind)(name)
            digest.update(f"{name} ".encode() + (_bytes(value) if kind == "t" else repr(value).encode()))
        for inner in node.blocks():
            _digest_nodes(inner, numbers, digest)
        for value in node.outputs():
            numbers[value.unique()] = len(numbers)


def _bytes(tensor: torch.Tensor) -> bytes:
    head = f"{tensor.dtype} {list(tensor.shape)} ".encode()
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        return head + repr(tensor).encode()
    return head + bytes(tensor.detach().resolve_conj().resolve_neg().contiguous().flatten().view(torch.uint8).numpy())
