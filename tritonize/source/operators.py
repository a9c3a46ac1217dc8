"""Translations of operators that exporters do not know. The user writes them in a Python file that the spec or `--operators` names.

    # operators.py
    import tritonize
    from onnxscript import opset18 as op

    @tritonize.operator("aten::hypot", opset=18)
    def hypot(x, y):
        return op.Sqrt(x * x + y * y)

The function is written in onnxscript (https://microsoft.github.io/onnxscript). The legacy exporter gets it as a symbolic function,
the dynamo exporter as a translation. The file may also register operators of torch.library. A worker runs it before it loads the
model. This module needs neither torch nor onnxscript.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tritonize.core import near_files
from tritonize.core.errors import ExportError, UsageError
from tritonize.core.messages import source as wording

_NAME = re.compile(r"(?P<namespace>\w+)::(?P<operator>\w+)(\.(?P<overload>\w+))?")

Function = TypeVar("Function", bound=Callable[..., object])


@dataclass(frozen=True, kw_only=True)
class Operator:
    """The translation of one PyTorch operator."""

    namespace: str
    operator: str
    overload: str
    opset: int
    """The lowest ONNX opset that the translation is valid for."""
    function: Callable[..., object]
    """The onnxscript function."""

    @property
    def name(self) -> str:
        """The operator's name in TorchScript, `namespace::operator`."""
        return f"{self.namespace}::{self.operator}"


_registered: list[Operator] = []


def operator(name: str, *, opset: int) -> Callable[[Function], Function]:
    """Register the decorated onnxscript function as the translation of a PyTorch operator.

    Args:
        name: `namespace::operator`, or `namespace::operator.overload` for one overload.
        opset: the lowest ONNX opset that the function is valid for.

    Raises:
        UsageError: the name has another form.
    """
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise UsageError.of(wording.OPERATOR_NAME, found=name, expected="namespace::operator, such as aten::hypot")

    def register(function: Function) -> Function:
        _registered.append(
            Operator(
                namespace=parts["namespace"],
                operator=parts["operator"],
                overload=parts["overload"] or "default",
                opset=opset,
                function=function,
            )
        )
        return function

    return register


def load(paths: Sequence[Path]) -> tuple[Operator, ...]:
    """Run the user's operators files in order, and return the translations that they register.

    Raises:
        UsageError: a file does not exist.
        ExportError: a file raises an error.
    """
    _registered.clear()
    for number, path in enumerate(paths):
        if not path.is_file():
            instead = near_files.missing(path, suffixes=(".py",))
            raise UsageError.of(wording.OPERATORS_MISSING, where=str(path), found=instead.found, meant=instead.meant)
        module_spec = importlib.util.spec_from_file_location(f"tritonize_operators_{number}", path)
        assert module_spec is not None
        assert module_spec.loader is not None
        module = sys.modules[module_spec.name] = importlib.util.module_from_spec(module_spec)  # onnxscript looks the module up
        try:
            module_spec.loader.exec_module(module)
        except Exception as error:
            raise ExportError.of(wording.OPERATORS_RAISED, where=str(path), found=f"{type(error).__name__}: {error}") from error
    return tuple(_registered)
