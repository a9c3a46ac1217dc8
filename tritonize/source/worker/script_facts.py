"""Read from a TorchScript file how it was made: by tracing, for which devices, in which mode; runs inside a worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any  # Any: TorchScript's graphs and nodes of torch.fx have no public types

import torch

from tritonize.onnx_model.worker.origins import is_torch, relative

_TRACED = re.compile(r"^\S[^\n]*\(\d+\): \S+$", re.MULTILINE)
"""`net.py(8): forward`, which tracing writes for each call; scripting writes `File "net.py", line 8` and the code itself."""


def is_traced(module: torch.nn.Module) -> bool:
    """Whether a part of the module was traced, so that the part has no Python branches any more."""
    return isinstance(module, torch.jit.ScriptModule) and any(_TRACED.search(node.sourceRange()) for node in nodes(module))


def nodes(module: torch.jit.ScriptModule) -> Iterator[Any]:
    """The nodes of forward() and of everything it calls, with the nodes inside blocks."""
    yield from _nodes_of(module.inlined_graph)


def _nodes_of(block: Any) -> Iterator[object]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes_of(inner)


def devices(module: torch.nn.Module) -> dict[str, str]:
    """Devices other than the CPU that a file's code names, each with the first line that does (empty if unknown)."""
    first_lines: dict[str, str] = {}
    for node in nodes(module) if isinstance(module, torch.jit.ScriptModule) else ():
        if node.kind() == "prim::Constant" and str(node.output().type()) in ("Device", "str") and node.hasAttribute("value"):
            constant = str(node.s("value")) if node.kindOf("value") == "s" else ""
            if re.fullmatch(r"(cuda|hip|xpu|mps)(:\d+)?", constant):
                users = [use.user for use in node.output().uses()]
                lines = (_line(each.sourceRange()) for each in (node, *users))
                first_lines.setdefault(constant, next(filter(None, lines), ""))
    return first_lines


@dataclass(frozen=True, kw_only=True)
class TrainingOperator:
    """An operator that computes as in training, whatever the module's mode is."""

    operator: str
    line: str = ""
    """`file.py:line`; empty if the file does not store it."""

    def __str__(self) -> str:
        return f"{self.operator} at {self.line}" if self.line else self.operator


def training_operators(module: torch.nn.Module) -> tuple[TrainingOperator, ...]:
    """The operators that compute as in training, whatever the module's mode is, each once per line."""
    if isinstance(module, torch.jit.ScriptModule):
        script_nodes = (node for node in nodes(module) if _trains(node))
        found = (TrainingOperator(operator=str(node.kind()), line=_line(node.sourceRange())) for node in script_nodes)
        return tuple(dict.fromkeys(found))
    graph = getattr(getattr(module, "program", None), "graph", None)
    program_nodes = (node for node in (graph.nodes if graph else ()) if _program_trains(node))
    return tuple(dict.fromkeys(TrainingOperator(operator=str(node.target)) for node in program_nodes))


def _trains(node: Any) -> bool:
    """Whether a constant argument of the node switches training on.

    A normalization without running statistics always sets that argument and does not count.
    """
    position = _TRAINING.get(node.kind())
    arguments = list(node.inputs())
    if position is None or len(arguments) <= position or arguments[position].node().kind() != "prim::Constant":
        return False
    without_statistics = "norm" in node.kind() and str(arguments[3].type()) == "NoneType"
    return bool(arguments[position].toIValue()) and not without_statistics


def _program_trains(node: Any) -> bool:
    """`_trains` for a node of an exported program."""
    name = str(node.target).partition(".default")[0].replace("aten.", "aten::")
    position = _TRAINING.get(name)
    if node.op != "call_function" or position is None or len(node.args) <= position:
        return False
    return node.args[position] is True and not ("norm" in name and node.args[3] is None)


_TRAINING = {
    "aten::dropout": 2,
    "aten::dropout_": 2,
    "aten::feature_dropout": 2,
    "aten::alpha_dropout": 2,
    "aten::feature_alpha_dropout": 2,
    "aten::native_dropout": 2,
    "aten::batch_norm": 5,
    "aten::rrelu": 3,
}
"""Operator to the position of the argument that switches training on."""
_ORIGIN = re.compile(r'^(?P<traced>\S[^\n]*)\((?P<number>\d+)\): |File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)


def _line(source_range: str) -> str:
    """`file.py:line` of the innermost code outside torch; empty if the file does not store it."""
    for match in _ORIGIN.finditer(source_range):
        file, line = (match["traced"], match["number"]) if match["traced"] else (match["file"], match["line"])
        if not is_torch(file) and not file.startswith("code/"):
            return f"{relative(file)}:{line}"
    return ""
