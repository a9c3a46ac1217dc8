"""What is changed about a module before it is asked: training mode, torch.compile, attention's fast path; inside a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any  # Any: a part of the user's model, of any class

import torch

from tritonize.source.worker.loader import ProgramModule

ITSELF = "the model itself"
_FAST = (torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer, torch.nn.TransformerEncoder)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A module as it was loaded."""

    training: tuple[str, ...]
    """Its parts in training mode."""
    compiled: tuple[str, ...]
    """Its parts that torch.compile wrapped."""
    fast_path: bool
    """Whether it has attention whose fast path PyTorch may take in it."""


def found(module: torch.nn.Module) -> Found:
    """What of a module will be changed. An exported program has neither modes nor wrappers."""
    if isinstance(module, torch.fx.GraphModule | ProgramModule):
        return Found(training=(), compiled=(), fast_path=False)
    parts = [(name or ITSELF, part) for name, part in module.named_modules()]
    return Found(
        training=tuple(name for name, part in parts if is_training(part)),
        compiled=tuple(name for name, part in parts if _is_compiled(part)),
        fast_path=torch.backends.mha.get_fastpath_enabled() and any(isinstance(part, _FAST) for _, part in parts),
    )


def is_training(part: torch.nn.Module) -> bool:
    """Whether a part is in training mode; a frozen TorchScript has none."""
    return bool(getattr(part, "training", False))


def settled(module: torch.nn.Module, *, keep_training: bool) -> torch.nn.Module:
    """The module without torch.compile, and in evaluation mode unless the mode is kept."""
    module = unwrapped(module)
    if isinstance(module, torch.fx.GraphModule | ProgramModule):
        for part in module.modules():
            part.training = False  # it is in the mode it was captured in, and has no eval()
        return module
    return module if keep_training else module.eval()


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """The module as it was before torch.compile: the same weights, the same Python code."""
    module = _original(module)
    for part in list(module.modules()):
        if isinstance(part, torch.jit.ScriptModule):
            continue
        if getattr(part, "_compiled_call_impl", None) is not None:
            part._compiled_call_impl = None
        for name, child in list(part._modules.items()):
            if child is not None and _original(child) is not child:
                part._modules[name] = _original(child)
    return module


@contextlib.contextmanager
def fast_path(*, enabled: bool) -> Iterator[None]:
    """Attention's fast path on or off meanwhile."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode meanwhile."""
    before = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
    module.eval()
    try:
        yield
    finally:
        for part, mode in before:
            part.training = mode


def _is_compiled(part: torch.nn.Module) -> bool:
    return _original(part) is not part or getattr(part, "_compiled_call_impl", None) is not None


def _original(part: Any) -> Any:
    return part._orig_mod if type(part).__name__ == "OptimizedModule" and "_orig_mod" in part._modules else part
