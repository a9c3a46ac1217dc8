"""Operators that exporters do not know: the user's translations, in a file that the spec names.

    # operators.py
    import tritonize
    from onnxscript import opset18 as op

    @tritonize.operator("aten::asinh", opset=9)
    def asinh(x):
        return op.Log(x + op.Sqrt(x * x + 1.0))

The function is written in onnxscript (https://microsoft.github.io/onnxscript). The legacy exporter gets it as a symbolic, the
dynamo exporter as a translation. The file may register operators of torch.library as well; it is run before the model is
loaded, in the worker. This module needs neither torch nor onnxscript.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tritonize.core.errors import ExportError, UsageError

_NAME = re.compile(r"(?P<namespace>\w+)::(?P<operator>\w+)(\.(?P<overload>\w+))?")

Function = TypeVar("Function", bound=Callable[..., object])


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One translation."""

    namespace: str
    operator: str
    overload: str
    opset: int
    """The lowest opset the translation is valid for."""
    function: Callable[..., object]

    @property
    def name(self) -> str:
        """As TorchScript writes it."""
        return f"{self.namespace}::{self.operator}"


_registered: list[Operator] = []


def operator(name: str, *, opset: int) -> Callable[[Function], Function]:
    """Register the decorated onnxscript function as the translation of a PyTorch operator.

    Args:
        name: `namespace::operator`, or with an overload, `namespace::operator.overload`.
        opset: the lowest ONNX opset the function is valid for.

    Raises:
        UsageError: the name has another form.
    """
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise UsageError("This is no operator's name.", found=name, expected="namespace::operator, such as aten::asinh")

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
    """Run the users' files, in order, and return what they registered.

    Raises:
        UsageError: there is no such file.
        ExportError: it raises; the text names the line.
    """
    _registered.clear()
    for number, path in enumerate(paths):
        if not path.is_file():
            raise UsageError("There is no such file of operators.", where=str(path))
        found = importlib.util.spec_from_file_location(f"tritonize_operators_{number}", path)
        assert found is not None
        assert found.loader is not None
        module = sys.modules[found.name] = importlib.util.module_from_spec(found)  # onnxscript looks it up there
        try:
            found.loader.exec_module(module)
        except Exception as error:
            raise ExportError(
                "The file of operators raised an error.", where=str(path), found=f"{type(error).__name__}: {error}"
            ) from error
    return tuple(_registered)
