"""Functions that PyTorch's TorchScript-based exporter lacks, for operators that ONNX has or can express without loss.

A scripted file often has no other exporter: the others convert it first, which fails at a loop whose count depends on a shape, such
as the one in InstanceNorm. The exported file is compared with PyTorch like every other, so a mistake here cannot publish a wrong
version.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any  # Any: the exporter's graph and its values have no public types

import torch

LOWEST_OPSET = 9
"""ONNX has all operators that are used here from this opset on."""
Function = Callable[[Any, Any], Any]


def register() -> None:
    """Register the functions that the installed PyTorch lacks. One that the user registers for the exported opset goes first."""
    from torch.onnx._internal.torchscript_exporter.registration import registry  # private: nothing public lists the operators

    known = set(registry.all_functions())
    for name, function in FUNCTIONS.items():
        if name not in known:
            torch.onnx.register_custom_op_symbolic(name, _of_floats(function), LOWEST_OPSET)  # type: ignore[attr-defined]


def _of_floats(function: Function) -> Function:
    """Compute integers in float32, as PyTorch does."""

    def symbolic(g: Any, x: Any) -> Any:
        if not torch.onnx.symbolic_helper._is_fp(x):
            float32 = torch.onnx.TensorProtoDataType.FLOAT
            return function(g, g.op("Cast", x, to_i=float32))
        return function(g, x).setType(x.type())

    return symbolic


def _named(operator: str) -> Function:
    """The ONNX operator that computes the same."""
    return lambda g, x: g.op(operator, x)


def _number(g: Any, like: Any, value: float) -> Any:
    """A constant of the type of `like`, which is float32 if the exporter does not know it."""
    scalar = torch.onnx.JitScalarType.from_value(like, torch.onnx.JitScalarType.FLOAT)  # type: ignore[attr-defined]
    return g.op("Constant", value_t=torch.tensor(value, dtype=scalar.dtype()))


def _trunc(g: Any, x: Any) -> Any:
    return g.op("Mul", g.op("Sign", x), g.op("Floor", g.op("Abs", x)))


def _expm1(g: Any, x: Any) -> Any:
    """tanh(x/2) · (exp(x) + 1): exp(x) - 1 would lose all digits of a small x."""
    half = g.op("Tanh", g.op("Mul", x, _number(g, x, 0.5)))
    return g.op("Mul", half, g.op("Add", g.op("Exp", x), _number(g, x, 1.0)))


FUNCTIONS: dict[str, Function] = {
    "aten::acosh": _named("Acosh"),
    "aten::asinh": _named("Asinh"),
    "aten::atanh": _named("Atanh"),
    "aten::cosh": _named("Cosh"),
    "aten::sinh": _named("Sinh"),
    "aten::exp2": lambda g, x: g.op("Pow", _number(g, x, 2.0), x),
    "aten::expm1": _expm1,
    "aten::special_expm1": _expm1,
    "aten::trunc": _trunc,
    "aten::fix": _trunc,
    "aten::frac": lambda g, x: g.op("Sub", x, _trunc(g, x)),
    "aten::rad2deg": lambda g, x: g.op("Mul", x, _number(g, x, 180.0 / math.pi)),
    "aten::deg2rad": lambda g, x: g.op("Mul", x, _number(g, x, math.pi / 180.0)),
}
"""By the operator's name in TorchScript: takes the exporter's graph and a tensor of floats, and returns a tensor of its type."""
