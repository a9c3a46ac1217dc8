"""Types for the parts of tritonclient's gRPC client that tritonize uses; tritonclient ships without type annotations."""

# ruff: noqa: D102 - Triton documents these methods
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tritonize.core.arrays import Array


class InferInput(Protocol):
    """`tritonclient.grpc.InferInput`."""

    def set_data_from_numpy(self, input_tensor: Array) -> object: ...
    def set_shared_memory(self, region_name: str, byte_size: int, offset: int = 0) -> object: ...


class InferRequestedOutput(Protocol):
    """`tritonclient.grpc.InferRequestedOutput`."""

    def set_shared_memory(self, region_name: str, byte_size: int, offset: int = 0) -> object: ...


class Contents(Protocol):
    """`InferTensorContents`."""

    bytes_contents: Sequence[bytes]


class OutputTensor(Protocol):
    """`ModelInferResponse.InferOutputTensor`."""

    name: str
    datatype: str
    shape: Sequence[int]
    contents: Contents


class Parameter(Protocol):
    """`InferParameter`."""

    bool_param: bool


class InferResponse(Protocol):
    """`ModelInferResponse`."""

    id: str
    parameters: Mapping[str, Parameter]
    model_name: str
    model_version: str
    outputs: Sequence[OutputTensor]
    raw_output_contents: Sequence[bytes]
