"""What every client can be asked, whatever it speaks."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Self, cast

from google.protobuf import json_format
from google.protobuf.message import Message as ProtobufMessage

from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import InferenceError, TritonizeError
from tritonize.core.messages import client as say
from tritonize.core.stages import Transport
from tritonize.triton.client import tensors
from tritonize.triton.protocol import IndexEntry, ModelConfig, ModelMetadata, ModelStatistics, ServerMetadata

Health = Literal["live", "ready", "model"]
Message = Literal[
    "ServerMetadataResponse",
    "RepositoryIndexResponse",
    "ModelMetadataResponse",
    "ModelConfigResponse",
    "ModelStatisticsResponse",
]
"""What a server says of itself and its models, by the names of the protocol's messages."""

ANSWER_LIMIT = 2**31 - 1
"""Bytes that an answer may have where the caller knows no better: as many as one gRPC message holds."""
DESCRIPTION_LIMIT = 2**24
"""Bytes that an answer may have which is no tensor: read as JSON it takes about twenty times as many."""


class Client(abc.ABC):
    """A connection to a server. Every method raises ServerError where it cannot be reached or takes too long."""

    transport: Transport
    where: str
    """Transport and address, for errors."""

    def __init__(self, *, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @abc.abstractmethod
    def close(self) -> None:
        """Hang up; a server that is being stopped waits for connections that are open."""

    def live(self) -> bool:
        """Whether the server answers."""
        return self._is("live")

    def ready(self) -> bool:
        """Whether the server says that it can infer."""
        return self._is("ready")

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether the server says that the model can infer; one whose process has died still says so."""
        return self._is("model", name, version)

    def server_metadata(self) -> ServerMetadata:
        """Name, version and extensions of the server."""
        return cast("ServerMetadata", self._describe("ServerMetadataResponse"))

    def model_index(self) -> list[IndexEntry]:
        """Name, version, state and reason of everything in the server's repository."""
        return cast("list[IndexEntry]", self._describe("RepositoryIndexResponse").get("models", []))

    def model_metadata(self, name: str, version: str = "") -> ModelMetadata:
        """Names, datatypes and shapes of the model's inputs and outputs. Raises InferenceError where it is not loaded."""
        found = cast("ModelMetadata", self._describe("ModelMetadataResponse", name, version))
        self._require(
            name, version, found.get("name"), found_version=version if version in found.get("versions", [version]) else None
        )
        return found

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        """The configuration the server runs the model with. Raises InferenceError where it is not loaded."""
        found = cast("ModelConfig", self._describe("ModelConfigResponse", name, version).get("config", {}))
        self._require(name, "", found.get("name"), found_version="")
        return found

    def statistics(self, name: str = "", version: str = "") -> list[ModelStatistics]:
        """Counts and times of what was inferred, per model version."""
        found = cast("list[ModelStatistics]", self._describe("ModelStatisticsResponse", name, version).get("model_stats", []))
        for each in found:
            self._require(name, version, each.get("name"), found_version=each.get("version"))
        return found

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: str = "",
        outputs: Sequence[str] | None = None,
        output_nbytes: Mapping[str, int] | None = None,  # noqa: ARG002 - it is for shared memory
    ) -> Arrays:
        """One request.

        Args:
            model: its name.
            inputs: one array per input; text as arrays of `bytes` or `str`, bfloat16 as arrays of ml_dtypes.
            version: empty for the one the server chooses.
            outputs: which outputs; all of them by default.
            output_nbytes: with `shm`, room for each output where it cannot be known from the model and the inputs;
                without it a first plain request finds out.

        Raises:
            InferenceError: the server refused it, it is too large for the transport, another model answered, or the answer
                contradicts itself.
            UsageError: an array has an element type that Triton does not have.
        """
        return self._plain({name: tensors.sendable(name, array) for name, array in inputs.items()}, model, version, outputs=outputs)

    @abc.abstractmethod
    def _plain(self, inputs: Arrays, model: str, version: str, *, outputs: Sequence[str] | None) -> Arrays:
        """One request with the tensors inside the messages."""

    @abc.abstractmethod
    def _describe(self, message: Message, name: str = "", version: str = "") -> Mapping[str, object]:
        """An answer that is no tensor, in protobuf's JSON form."""

    @abc.abstractmethod
    def _health(self, kind: Health, name: str, version: str) -> bool:
        """What the server says of itself or of a model."""

    def _is(self, kind: Health, name: str = "", version: str = "") -> bool:
        try:
            return self._health(kind, name, version)
        except TritonizeError:
            return False

    def _require(self, model: str, version: str, found: object, *, found_version: object) -> None:
        """Refuse what was said about, or by, another model than the one that was asked for."""
        if (model and found != model) or (version and found_version != version):
            raise InferenceError.of(
                say.OTHER_ANSWERED, where=self.where, expected=_called(model, version), found=_called(found, found_version)
            )


def _called(model: object, version: object) -> str:
    return f"{model or 'no name'}{f' version {version}' if version else ''}"


def plain(message: ProtobufMessage) -> Mapping[str, object]:
    """A protobuf message as plain data."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
