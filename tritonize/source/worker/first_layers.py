"""Guess the inputs of a model whose file stores no shapes, from the layers that take them directly; runs inside a worker."""

from __future__ import annotations

from typing import Any  # Any: TorchScript's graphs have no public types

import torch

_GROUPS = {"aten::conv1d": 6, "aten::conv2d": 6, "aten::conv3d": 6, "aten::_convolution": 8}
"""Convolution to the position of its number of groups."""
_TRANSPOSED = 6
"""Position of that argument of `aten::_convolution`."""
_USUAL = {1: (1000,), 2: (224, 224), 3: (64, 64, 64)}
"""Number of axes of an image to sizes to begin with: nothing says the right ones."""
_TOKENS = 16


def likely_inputs(module: torch.jit.ScriptModule) -> list[str]:
    """The inputs in the form of `--input`, as far as the first layers say their shapes: empty unless they say it of each.

    The number of channels or features is what the layer takes; the sizes of images and sequences are a guess.
    """
    _, *inputs = module.inlined_graph.inputs()
    found = [_likely(value, module) for value in inputs]
    return [each for each in found if each] if found and all(found) else []


def _likely(value: Any, module: Any) -> str:
    """The input as a flag; empty if no layer takes it directly."""
    for use in value.uses():
        arguments = list(use.user.inputs())
        kind = use.user.kind()
        if kind == "aten::embedding" and use.offset == 1:
            return f"{_name(value)}:int64:1x{_TOKENS}"
        if use.offset != 0 or (kind != "aten::linear" and kind not in _GROUPS):
            continue
        weight = _tensor(arguments[1], module)
        if weight is None:
            continue
        if kind == "aten::linear":
            return f"{_name(value)}:{_type(weight)}:1x{weight.shape[1]}"
        transposed = kind == "aten::_convolution" and arguments[_TRANSPOSED].toIValue()
        groups = arguments[_GROUPS[kind]].toIValue()
        if transposed or not isinstance(groups, int) or weight.ndim - 2 not in _USUAL:
            continue
        sizes = "x".join(map(str, (1, weight.shape[1] * groups, *_USUAL[weight.ndim - 2])))
        return f"{_name(value)}:{_type(weight)}:{sizes}"
    return ""


def _name(value: Any) -> str:
    """The argument's name; a traced file adds a number after a dot."""
    return str(value.debugName()).split(".")[0]


def _type(weight: torch.Tensor) -> str:
    return {torch.float64: "fp64", torch.float16: "fp16", torch.bfloat16: "bf16"}.get(weight.dtype, "fp32")


def _tensor(value: Any, module: Any) -> torch.Tensor | None:
    """A weight: an attribute of the module, or a constant of a frozen file; `None` if it is computed."""
    constant = value.toIValue()
    if isinstance(constant, torch.Tensor):
        return constant
    path: list[str] = []
    node = value.node()
    while node.kind() == "prim::GetAttr":
        path.append(node.s("name"))
        node = next(iter(node.inputs())).node()
    if not path or node.kind() != "prim::Param":
        return None
    found = module
    for name in reversed(path):
        found = getattr(found, name, None)
    return found if isinstance(found, torch.Tensor) else None
