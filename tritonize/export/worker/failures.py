"""Describe a failed export: the operator, the module of the user's model, and the line of the user's code."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any  # Any: nodes of torch.fx have untyped targets and metadata

import torch

from tritonize.core.artifacts import TensorSpec
from tritonize.core.errors import CodePlace, ExportError
from tritonize.core.messages import export as wording
from tritonize.onnx_model.worker import origins

_SPECIALIZED = re.compile(
    r"L\['tensors'\]\[(?P<input>\d+)\]\.size\(\)\[(?P<axis>\d+)\] as dynamic but your code "
    r"specialized it to be a constant \((?P<size>\d+)\)"
)
"""torch.export's message for `LoadedModel.forward`, the flat form of every model."""
_NEXT_STEPS = {
    "GuardOnDataDependentSymNode": "replace the branch on an input's value with torch.where or torch.cond",
    "ConstraintViolationError": "keep the size of the dynamic axis out of Python numbers and branches, or fix the axis in the spec",
    "TracingCheckError": "replace the branch on an input's value with torch.where",
}
"""Next step by type name of an exception."""
_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^\s/'\":]+/)+")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LEGACY_OPERATOR = re.compile(r"(operator '|unrecognized namespace )(?P<operator>\w+::\w+(\.\w+)*)")
_DYNAMO_OPERATOR = re.compile(r"op='(?P<operator>[\w.]+)'")
_DYNAMO_TARGET = re.compile(r"No ONNX function found for (?P<target>.+?)(\. Failure message|\.?\n|\.?$)")
_DYNAMO_NODE = re.compile(r"translating node %(?P<node>\w+)")


def reason(error: BaseException) -> str:
    """Return the innermost cause in one line, without ANSI colours; the exporters' outer messages are pages of general advice."""
    innermost = list(_causes(error))[-1]
    text = _FOLDERS.sub("", _ANSI.sub("", str(innermost)))  # the evidence stores it and leaves this machine
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(innermost).__name__}: {lines[0] if lines else ''}"


def next_step(error: BaseException) -> str | None:
    """Return a next step for failures whose message uses the exporter's internal terms; `None` for others."""
    kinds = {type(each).__name__ for each in _causes(error)}
    return next((step for kind, step in _NEXT_STEPS.items() if kind in kinds), None)


def fixed_axis(error: BaseException, inputs: Sequence[TensorSpec], strategy: str) -> ExportError | None:
    """Build the error for code that fixes an axis that is dynamic in the spec; `None` if the export failed otherwise."""
    found = next((match for each in _causes(error) if (match := _SPECIALIZED.search(str(each)))), None)
    if found is None:
        return None
    tensor, axis = inputs[int(found["input"])], int(found["axis"])
    return ExportError.of(
        wording.FIXED_AXIS,
        found=f"axis {axis} of {tensor.name} is {found['size']} in what torch.export captured",
        expected=f"{tensor.shape[axis]}, of any size that the spec allows",
        strategy=strategy,
        name=tensor.name,
        axis=axis,
    )


def place(error: BaseException, model: torch.nn.Module) -> CodePlace | None:
    """Return the line of the user's code and the module in which an exception was raised; `None` if it came from elsewhere."""
    names = {id(part): name for name, part in model.named_modules()}
    line = module = None
    traceback = error.__traceback__
    while traceback:
        frame, number = traceback.tb_frame, traceback.tb_lineno
        file = frame.f_code.co_filename
        if not origins.is_torch(file) and not origins.is_standard(file):
            line = f"{origins.relative(file)}:{number}"
        module = names.get(id(frame.f_locals.get("self")), module)
        traceback = traceback.tb_next
    return _code_place(origins.Origin(module=module, source=line))


def autocasts(module: torch.nn.Module) -> bool:
    """Whether a TorchScript file turns autocast on in its code; always false for Python code, which is unknown before it runs."""
    return isinstance(module, torch.jit.ScriptModule) and "autocast" in str(module.inlined_graph)


@contextlib.contextmanager
def printing_to(path: Path) -> Iterator[None]:
    """Redirect standard output to a file, including C++'s: the legacy exporter prints whole graphs."""
    kept = os.dup(1)
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), 1)
            yield
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def unsupported_in_graph(error: Exception, printed: Path, scope: str) -> ExportError:
    """Build the error for an operator that the legacy exporter does not support, from the graph that it printed."""
    operator = _found(_LEGACY_OPERATOR, str(error), "operator")
    if operator is None:
        return ExportError.of(wording.NO_FUNCTION_FOR, exporter="legacy", what=reason(error))
    text = printed.read_text(encoding="utf-8", errors="replace")
    line = next((line for line in text.splitlines() if f" = {operator}(" in line or f" = {operator}[" in line), "")
    return _unsupported(operator, origins.of_legacy_line(line, scope), "legacy")


def untranslated(error: Exception, program: torch.export.ExportedProgram, scope: str) -> ExportError | None:
    """Build the error for an operator that the dynamo exporter does not support; `None` if it failed for a different reason."""
    messages = "\n".join(str(each) for each in _causes(error))
    if "No ONNX function found" not in messages:
        return None
    operator = _found(_DYNAMO_OPERATOR, messages, "operator")
    name = _found(_DYNAMO_NODE, messages, "node")
    node = next((node for node in _program_nodes(program) if node.name == name), None)
    origin = origins.of_program_node(node, scope) if node else origins.Origin(module=None, source=None)
    if operator is None:
        what = _found(_DYNAMO_TARGET, messages, "target") or "an operator"
        return ExportError.of(wording.NO_FUNCTION_FOR, where=_code_place(origin), exporter="dynamo", what=what)
    return _unsupported(operator.replace(".", "::", 1), origin, "dynamo")


def _unsupported(operator: str, origin: origins.Origin, exporter: str) -> ExportError:
    return ExportError.of(wording.NO_FUNCTION, where=_code_place(origin), exporter=exporter, operator=operator)


def _code_place(origin: origins.Origin) -> CodePlace | None:
    """Return the place of an origin; `None` if it names neither a line nor a part of the model."""
    if not origin.source and not origin.module:
        return None
    return CodePlace(line=origin.source or None, module=origin.module or None)


def _found(pattern: re.Pattern[str], text: str, group: str) -> str | None:
    found = pattern.search(text)
    return found[group] if found else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its chain of causes."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        seen.append(at)
        yield at
        at = at.__cause__


def _program_nodes(program: torch.export.ExportedProgram) -> Iterator[Any]:
    """Yield the program's nodes, then those of the decomposed program that the exporter translates."""
    yield from program.graph.nodes
    with contextlib.suppress(Exception):  # private API, used only to improve the error text
        from torch.onnx._internal.exporter import _fx_passes, _registration

        yield from _fx_passes.decompose_with_registry(program, _registration.ONNXRegistry.from_torchlib()).graph.nodes
