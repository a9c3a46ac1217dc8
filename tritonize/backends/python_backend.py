"""What Triton's Python backend hands to a model, as types: `triton_python_backend_utils` is inside the server alone.

For the type checker alone: nothing is imported from here while a server runs.
"""

# ruff: noqa: D102 - what the methods do is Triton's to document
from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Tensor(Protocol):
    """`pb_utils.Tensor`."""

    def name(self) -> str: ...
    def as_numpy(self) -> np.ndarray: ...
    def to_dlpack(self) -> object: ...


class Request(Protocol):
    """`pb_utils.InferenceRequest`."""

    def inputs(self) -> Sequence[Tensor]: ...
    def requested_output_names(self) -> Sequence[str]: ...


class OrtValue(Protocol):
    """`onnxruntime.OrtValue`."""

    def data_ptr(self) -> int: ...
    def shape(self) -> Sequence[int]: ...


class NodeArg(Protocol):
    """`onnxruntime.NodeArg`: one input or output of a session."""

    name: str
    type: str
    shape: Sequence[int | str | None] | None
