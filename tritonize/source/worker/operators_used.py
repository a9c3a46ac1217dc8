"""Check the operators of a loaded model before any of them runs; runs inside a worker.

`model_files` checks the file before the load. This second check looks at what PyTorch made of the file: the graphs of every
method of every submodule, with the functions and methods that they call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any  # Any: TorchScript's modules and graphs have no public types

import torch

from tritonize.core.errors import UsageError
from tritonize.core.messages import security
from tritonize.source.model_files import program as program_file
from tritonize.source.model_files import refused


def require_harmless_script(module: Any, location: str) -> None:
    """Refuse a scripted or traced module that uses a refused operator (`refused.py`).

    Args:
        module: a `torch.jit.ScriptModule`.
        location: the model file, for the error.

    Raises:
        UsageError: the operator, and the method of the submodule that calls it.
    """
    for path, method, graph in _graphs(module._c):
        for node in _nodes(graph):
            kind = node.kind()
            if (reason := refused.reason(kind)) is not None:
                where = f"{location}: {'.'.join(filter(None, (path, method)))}"
                source_range = str(node.sourceRange()).strip().splitlines() or [""]
                raise UsageError.of(security.OPERATOR_REFUSED, where=where, found=source_range[0], operator=kind, reason=reason)


def _graphs(module: Any) -> Iterator[tuple[str, str, Any]]:
    """The graphs of a module, with the path of the submodule and the method.

    First every method of every submodule by itself, since its path locates a node best; then the methods of the whole module
    with everything that they call.
    """
    for path, part in _parts(module, ""):
        for name in part._method_names():
            yield path, name, part._get_method(name).graph
    for name in module._method_names():
        yield "", name, module._get_method(name).inlined_graph


def _parts(module: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, part in torch._C.ModuleDict(module).items():
        path = f"{prefix}.{name}" if prefix else name
        yield path, part
        yield from _parts(part, path)


def _nodes(graph: Any) -> Iterable[Any]:
    for node in graph.nodes():
        yield node
        for block in node.blocks():
            yield from _nodes(block)


def require_harmless_program(program: torch.export.ExportedProgram, location: str) -> None:
    """Refuse a program whose graphs call anything but allowed operators and the functions that torch.export itself writes.

    Raises:
        UsageError: the function, and the node that calls it.
    """
    for graph_module in program.graph_module.modules():
        for node in graph_module.graph.nodes if isinstance(graph_module, torch.fx.GraphModule) else ():
            if node.op != "call_function":
                continue
            where = f"{location}: {node.name}"
            if isinstance(node.target, torch._ops.OpOverload):
                operator = node.target._schema.name
                if (reason := refused.reason(operator)) is not None:
                    raise UsageError.of(security.OPERATOR_REFUSED, where=where, operator=operator, reason=reason)
            elif isinstance(node.target, torch._ops.HigherOrderOperator):
                if node.target.__name__ not in program_file.HIGHER_ORDER:
                    raise UsageError.of(security.TARGET_REFUSED, where=where, found=node.target.__name__)
            elif f"{node.target.__module__}.{node.target.__name__}" not in program_file.FUNCTIONS:
                raise UsageError.of(security.TARGET_REFUSED, where=where, found=str(node.target))
