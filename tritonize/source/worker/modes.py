"""Prepare a loaded module to run: training mode, torch.compile and attention's fast path; runs inside a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any  # Any: a part of the user's model, of any class

import torch

from tritonize.source.worker.loader import ProgramModule

WHOLE_MODEL = "the model itself"
_ATTENTION = (torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer, torch.nn.TransformerEncoder)
"""The classes in which PyTorch may take attention's fast path."""


@dataclass(frozen=True, kw_only=True)
class AsLoaded:
    """The state of a module after loading, before tritonize changes it."""

    training: tuple[str, ...]
    """Paths of its parts in training mode."""
    compiled: tuple[str, ...]
    """Paths of its parts that torch.compile wrapped."""
    fast_path: bool
    """Whether the fast path is on and the module has attention that may take it."""


def as_loaded(module: torch.nn.Module) -> AsLoaded:
    """Record what `prepared` changes in a module. An exported program has neither modes nor wrappers."""
    if isinstance(module, torch.fx.GraphModule | ProgramModule):
        return AsLoaded(training=(), compiled=(), fast_path=False)
    parts = [(name or WHOLE_MODEL, part) for name, part in module.named_modules()]
    return AsLoaded(
        training=tuple(name for name, part in parts if is_training(part)),
        compiled=tuple(name for name, part in parts if _is_compiled(part)),
        fast_path=torch.backends.mha.get_fastpath_enabled() and any(isinstance(part, _ATTENTION) for _, part in parts),
    )


def is_training(part: torch.nn.Module) -> bool:
    """Whether a part is in training mode; a frozen TorchScript has no mode."""
    return bool(getattr(part, "training", False))


def prepared(module: torch.nn.Module, *, keep_training: bool) -> torch.nn.Module:
    """Remove torch.compile, and switch to evaluation mode unless the mode is kept."""
    module = without_compile(module)
    if isinstance(module, torch.fx.GraphModule | ProgramModule):
        for part in module.modules():
            part.training = False  # an exported program stays in the mode it was captured in, and its eval() raises
        return module
    return module if keep_training else module.eval()


def without_compile(module: torch.nn.Module) -> torch.nn.Module:
    """Remove torch.compile from a module and its parts, in place. Weights and Python code stay."""
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
    """Switch attention's fast path on or off for the duration of the context."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Switch the module to evaluation mode for the duration of the context."""
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
