"""What a TorchScript file says of how it was made; runs inside a worker."""

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
    """Whether a part of the module was traced, so that Python's branches are gone there."""
    return isinstance(module, torch.jit.ScriptModule) and any(_TRACED.search(node.sourceRange()) for node in nodes(module))


def nodes(module: torch.jit.ScriptModule) -> Iterator[Any]:
    """The nodes of forward() with all that it calls, those of blocks too."""
    yield from _within(module.inlined_graph)


def _within(block: Any) -> Iterator[object]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _within(inner)


def devices(module: torch.nn.Module) -> dict[str, str]:
    """Devices other than the CPU in the code of a file, to the lines that name them first."""
    found: dict[str, str] = {}
    for node in nodes(module) if isinstance(module, torch.jit.ScriptModule) else ():
        if node.kind() == "prim::Constant" and str(node.output().type()) in ("Device", "str") and node.hasAttribute("value"):
            named = str(node.s("value")) if node.kindOf("value") == "s" else ""
            if re.fullmatch(r"(cuda|hip|xpu|mps)(:\d+)?", named):
                users = [use.user for use in node.output().uses()]
                found.setdefault(named, next((line for each in (node, *users) if (line := _line(each.sourceRange()))), ""))
    return found


@dataclass(frozen=True, kw_only=True)
class Baked:
    """An operator that computes as in training whatever the module's mode is."""

    operator: str
    line: str = ""
    """`file.py:line`; empty where the file does not keep it."""

    def __str__(self) -> str:
        return f"{self.operator} at {self.line}" if self.line else self.operator


def baked_training(module: torch.nn.Module) -> tuple[Baked, ...]:
    """Operators that compute as in training whatever the module's mode is, each once per line."""
    if isinstance(module, torch.jit.ScriptModule):
        training = (node for node in nodes(module) if _trains(node))
        return tuple(dict.fromkeys(Baked(operator=str(node.kind()), line=_line(node.sourceRange())) for node in training))
    graph = getattr(getattr(module, "program", None), "graph", None)
    found = (node for node in (graph.nodes if graph else ()) if _program_trains(node))
    return tuple(dict.fromkeys(Baked(operator=str(node.target)) for node in found))


def _trains(node: Any) -> bool:
    """Whether a node has a constant that says so; a normalization without running statistics always does."""
    place = _TRAINING.get(node.kind())
    arguments = list(node.inputs())
    if place is None or len(arguments) <= place or arguments[place].node().kind() != "prim::Constant":
        return False
    without_statistics = "norm" in node.kind() and str(arguments[3].type()) == "NoneType"
    return bool(arguments[place].toIValue()) and not without_statistics


def _program_trains(node: Any) -> bool:
    name = str(node.target).partition(".default")[0].replace("aten.", "aten::")
    place = _TRAINING.get(name)
    if node.op != "call_function" or place is None or len(node.args) <= place:
        return False
    return node.args[place] is True and not ("norm" in name and node.args[3] is None)


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
"""Operator to the place of the argument that says whether it trains."""
_ORIGIN = re.compile(r'^(?P<traced>\S[^\n]*)\((?P<number>\d+)\): |File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)


def _line(source: str) -> str:
    """`file.py:line` of the innermost code outside torch; empty where the file does not keep it."""
    for each in _ORIGIN.finditer(source):
        file, line = (each["traced"], each["number"]) if each["traced"] else (each["file"], each["line"])
        if not is_torch(file) and not file.startswith("code/"):
            return f"{relative(file)}:{line}"
    return ""
