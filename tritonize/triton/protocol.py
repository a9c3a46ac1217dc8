"""Triton's messages as plain data: protobuf's JSON form, with its own field names; a field that is not set is absent.

Only fields that tritonize reads are listed; a server may send others. 64-bit integers are texts in this form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

Int64 = int | str
"""A 64-bit integer: a text as protobuf writes it, a number as some servers do."""


class Reshape(TypedDict, total=False):
    """The shape that a tensor has inside the model."""

    shape: list[Int64]


class TensorConfig(TypedDict, total=False):
    """One input or output of a configuration."""

    name: str
    data_type: str
    dims: list[Int64]
    reshape: Reshape
    label_filename: str
    optional: bool
    allow_ragged_batch: bool


class InstanceGroup(TypedDict, total=False):
    """Instances of a model on one kind of device."""

    name: str
    kind: str
    count: int
    gpus: list[int]
    profile: list[str]


class Specific(TypedDict, total=False):
    """Versions by number."""

    versions: list[Int64]


class Latest(TypedDict, total=False):
    """The newest versions."""

    num_versions: int


class VersionPolicy(TypedDict, total=False):
    """Which versions are served: one of the three."""

    specific: Specific
    latest: Latest
    all: Mapping[str, object]


class ResponseCache(TypedDict, total=False):
    """Whether responses are cached."""

    enable: bool


class EnsembleStep(TypedDict, total=False):
    """One step of an ensemble: its model, and model's tensor to ensemble's tensor."""

    model_name: str
    model_version: Int64
    input_map: Mapping[str, str]
    output_map: Mapping[str, str]


class EnsembleScheduling(TypedDict, total=False):
    """The steps of an ensemble."""

    step: list[EnsembleStep]


class ModelConfig(TypedDict, total=False):
    """ModelConfig of Triton's `model_config.proto`."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[TensorConfig]
    output: list[TensorConfig]
    default_model_filename: str
    cc_model_filenames: Mapping[str, str]
    instance_group: list[InstanceGroup]
    version_policy: VersionPolicy
    response_cache: ResponseCache
    ensemble_scheduling: EnsembleScheduling


class TensorMetadata(TypedDict, total=False):
    """One input or output of a model's metadata."""

    name: str
    datatype: str
    shape: list[Int64]


class ModelMetadata(TypedDict, total=False):
    """ModelMetadataResponse of Triton's `grpc_service.proto`."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(TypedDict, total=False):
    """ServerMetadataResponse."""

    name: str
    version: str
    extensions: list[str]


class IndexEntry(TypedDict, total=False):
    """One model version in the server's repository."""

    name: str
    version: str
    state: str
    reason: str


class Duration(TypedDict, total=False):
    """How often something happened, and how long it took together."""

    count: Int64
    ns: Int64


class InferenceStatistics(TypedDict, total=False):
    """What became of the requests of a model version."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class ModelStatistics(TypedDict, total=False):
    """Counts and times of one model version."""

    name: str
    version: str
    inference_count: Int64
    execution_count: Int64
    inference_stats: InferenceStatistics
