"""Types of the objects that Triton's Python backend passes to a model: `triton_python_backend_utils` exists only in the server.

Only the type checker reads this module; nothing imports it at run time.
"""

# ruff: noqa: D102 - Triton documents the methods
from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Tensor(Protocol):
    """`pb_utils.Tensor`."""

    def name(self) -> str: ...
    def as_numpy(self) -> np.ndarray: ...
    def to_dlpack(self) -> object: ...


class Sender(Protocol):
    """`pb_utils.InferenceResponseSender`."""

    def send(self, response: object = None, flags: int = 0) -> None: ...


class Request(Protocol):
    """`pb_utils.InferenceRequest`."""

    def inputs(self) -> Sequence[Tensor]: ...
    def requested_output_names(self) -> Sequence[str]: ...
    def get_response_sender(self) -> Sender: ...
