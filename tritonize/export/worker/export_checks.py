"""Where a model's own code asks whether it is being exported: a file holds the way that it takes then. Runs inside a worker.

Torch and installed libraries ask too; their ways are meant to be alike, and are many.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch

from tritonize.export.worker import imported_names
from tritonize.onnx_model.worker import origins

_QUESTIONS: tuple[tuple[Any, str], ...] = (
    (torch.compiler, "is_compiling"),
    (torch.compiler, "is_exporting"),
    (torch.compiler, "is_dynamo_compiling"),
    (torch.jit, "is_tracing"),
    (torch.onnx, "is_in_onnx_export"),
    (torch._C, "_get_tracing_state"),
)
_PASSING_ON = {name for _, name in _QUESTIONS}
"""Functions of torch that ask another one: `torch._dynamo.is_compiling` and `torch._utils.is_compiling`."""
_DECORATORS = ("typing_extensions.py", "warnings.py")
"""Files of what marks a function as deprecated."""


class ExportedWays:
    """The places that get another answer than in eager PyTorch within `watching`."""

    def __init__(self, model: torch.nn.Module) -> None:
        """Args: model: in the files of its classes, and in all that are loaded, a question may have a name of its own."""
        self._model = model
        self.places: dict[str, None] = {}
        """`file.py:line`, in the order in which they asked."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note meanwhile who asks."""
        kept = {f"{owner.__name__}.{name}": (owner, name, getattr(owner, name)) for owner, name in _QUESTIONS}
        others = {key: (original, self._asked(original)) for key, (_, _, original) in kept.items()}
        places = imported_names.names({key: original for key, (original, _) in others.items()}, self._model, installed=False)
        try:
            for key, (owner, name, _) in kept.items():
                setattr(owner, name, others[key][1])
            with imported_names.replaced(others, places):
                yield
        finally:
            for owner, name, original in kept.values():
                setattr(owner, name, original)

    def _asked(self, original: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(original)
        def ask() -> Any:
            answer = original()
            frame = _asking(sys._getframe(1)) if answer else None
            if frame is not None and not origins.is_installed(frame.f_code.co_filename):
                self.places[f"{origins.relative(frame.f_code.co_filename)}:{frame.f_lineno}"] = None
            return answer

        return ask


def _asking(frame: FrameType | None) -> FrameType | None:
    """The code that wants to know, behind functions of torch that pass the question on."""
    while frame is not None and origins.is_installed(frame.f_code.co_filename):
        if frame.f_code.co_name not in _PASSING_ON and not frame.f_code.co_filename.endswith(_DECORATORS):
            break
        frame = frame.f_back
    return frame
