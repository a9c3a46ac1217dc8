"""Where a model's own code asks whether it is being exported: a file holds the way that it takes then. Runs inside a worker.

Torch and installed libraries ask too; their ways are meant to be alike, and are many.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from tritonize.workers import origins

_QUESTIONS: tuple[tuple[Any, str], ...] = (
    (torch.compiler, "is_compiling"),
    (torch.compiler, "is_exporting"),
    (torch.compiler, "is_dynamo_compiling"),
    (torch.jit, "is_tracing"),
    (torch.onnx, "is_in_onnx_export"),
)


class ExportedWays:
    """The places that get another answer than in eager PyTorch within `watching`."""

    def __init__(self) -> None:
        self.places: dict[str, None] = {}
        """`file.py:line`, in the order in which they asked."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note meanwhile who asks; a question that the user's file imported by its own name is not seen."""
        kept = [(owner, name, getattr(owner, name)) for owner, name in _QUESTIONS]
        try:
            for owner, name, original in kept:
                setattr(owner, name, self._asked(original))
            yield
        finally:
            for owner, name, original in kept:
                setattr(owner, name, original)

    def _asked(self, original: Callable[[], bool]) -> Callable[[], bool]:
        @functools.wraps(original)
        def ask() -> bool:
            answer = original()
            frame = sys._getframe(1)
            if answer and not origins.is_installed(frame.f_code.co_filename):
                self.places[f"{origins.relative(frame.f_code.co_filename)}:{frame.f_lineno}"] = None
            return answer

        return ask
