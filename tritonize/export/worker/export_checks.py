"""Find calls in the model's own code that check whether an export is running, such as `torch.jit.is_tracing()`. Runs in a worker.

The file then holds the branch for exports. Torch and installed libraries make such checks too; they are ignored, since they are
many and their branches are meant to be equivalent.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any  # Any: modules and classes whose attributes are replaced

import torch

from tritonize.export.worker import imported_names
from tritonize.onnx_model.worker import origins

_CHECKS: tuple[tuple[Any, str], ...] = (
    (torch.compiler, "is_compiling"),
    (torch.compiler, "is_exporting"),
    (torch.compiler, "is_dynamo_compiling"),
    (torch.jit, "is_tracing"),
    (torch.onnx, "is_in_onnx_export"),
    (torch._C, "_get_tracing_state"),
)
_FORWARDING = {name for _, name in _CHECKS}
"""Functions of torch that call another check: `torch._dynamo.is_compiling` and `torch._utils.is_compiling`."""
_DECORATORS = ("typing_extensions.py", "warnings.py")
"""Files with the decorators that mark a function as deprecated."""


class ExportedWays:
    """Records the calls of export checks that return true within `watching`, unlike in eager PyTorch."""

    def __init__(self, model: torch.nn.Module) -> None:
        """Args: model: its classes' files, like all loaded ones, may import a check under a different name."""
        self._model = model
        self.places: dict[str, None] = {}
        """`file.py:line` of each call, in call order."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record callers in this context."""
        kept = {f"{owner.__name__}.{name}": (owner, name, getattr(owner, name)) for owner, name in _CHECKS}
        others = {key: (original, self._recording(original)) for key, (_, _, original) in kept.items()}
        places = imported_names.names({key: original for key, (original, _) in others.items()}, self._model, installed=False)
        try:
            for key, (owner, name, _) in kept.items():
                setattr(owner, name, others[key][1])
            with imported_names.replaced(others, places):
                yield
        finally:
            for owner, name, original in kept.values():
                setattr(owner, name, original)

    def _recording(self, original: Callable[[], object]) -> Callable[[], object]:
        @functools.wraps(original)
        def check() -> object:
            result = original()
            frame = _caller(sys._getframe(1)) if result else None
            if frame is not None and not origins.is_installed(frame.f_code.co_filename):
                self.places[f"{origins.relative(frame.f_code.co_filename)}:{frame.f_lineno}"] = None
            return result

        return check


def _caller(frame: FrameType | None) -> FrameType | None:
    """Return the frame that called the check, behind functions of torch that forward it."""
    while frame is not None and origins.is_installed(frame.f_code.co_filename):
        if frame.f_code.co_name not in _FORWARDING and not frame.f_code.co_filename.endswith(_DECORATORS):
            break
        frame = frame.f_back
    return frame
