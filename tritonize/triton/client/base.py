"""The interface of every client, independent of the transport."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, cast

from google.protobuf import json_format
from google.protobuf.message import Message as ProtobufMessage

from tritonize.core import redaction
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import InferenceError, TritonizeError
from tritonize.core.messages import client as messages
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
"""Descriptions that a server gives of itself and its models, by the names of the protocol's messages."""

RESPONSE_LIMIT = 2**31 - 1
"""Default limit on the size of a response, in bytes: the largest gRPC message."""
DESCRIPTION_LIMIT = 2**24
"""Limit on the size of a response without tensors, in bytes. Parsed from JSON, it takes about twenty times as much memory."""


_SECRET = 4
"""Characters of the shortest value of a header that is hidden in texts of the server."""


@dataclass(frozen=True)
class SequenceStep:
    """The place of a request in a sequence of a stateful model."""

    correlation_id: int | str
    """Not 0 and not empty, which stand for a request without a sequence."""
    start: bool
    end: bool


class Client(abc.ABC):
    """A connection to a server. Every method raises ServerError if the server cannot be reached or takes too long."""

    transport: Transport
    where: str
    """Transport and address, for errors."""

    def __init__(self, *, timeout_s: float, headers: Mapping[str, str]) -> None:
        self.timeout_s = timeout_s
        self._secrets = [part for value in headers.values() for part in (value, value.rpartition(" ")[2]) if len(part) >= _SECRET]
        self.answered_version: object = None
        """The version that the last response to a request for inference names."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection; a server that is being stopped waits for open connections."""

    def _hide(self, text: str) -> str:
        """A text of the server without the values of the headers that were sent: some services repeat what they got."""
        for secret in self._secrets:
            text = text.replace(secret, redaction.REDACTED)
        return text

    def live(self) -> bool:
        """Whether the server responds."""
        return self._is("live")

    def ready(self) -> bool:
        """Whether the server reports that it is ready for inference."""
        return self._is("ready")

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether the server reports the model as ready; Triton does so even if the model's process has died."""
        return self._is("model", name, version)

    def server_metadata(self) -> ServerMetadata:
        """Name, version and extensions of the server."""
        return cast("ServerMetadata", self._describe("ServerMetadataResponse"))

    def model_index(self) -> list[IndexEntry]:
        """Name, version, state and reason of every model version in the server's repository."""
        return cast("list[IndexEntry]", self._describe("RepositoryIndexResponse").get("models", []))

    def model_metadata(self, name: str, version: str = "") -> ModelMetadata:
        """Names, datatypes and shapes of the model's inputs and outputs. Raises InferenceError if it is not loaded."""
        metadata = cast("ModelMetadata", self._describe("ModelMetadataResponse", name, version))
        self._require(
            name, version, metadata.get("name"), found_version=version if version in metadata.get("versions", [version]) else None
        )
        return metadata

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        """The configuration that the server runs the model with. Raises InferenceError if it is not loaded."""
        config = cast("ModelConfig", self._describe("ModelConfigResponse", name, version).get("config", {}))
        self._require(name, "", config.get("name"), found_version="")
        return config

    def statistics(self, name: str = "", version: str = "") -> list[ModelStatistics]:
        """Counts and durations of inference requests, per model version."""
        statistics = cast("list[ModelStatistics]", self._describe("ModelStatisticsResponse", name, version).get("model_stats", []))
        for each in statistics:
            self._require(name, version, each.get("name"), found_version=each.get("version"))
        return statistics

    @abc.abstractmethod
    def load(self, name: str, config: str, files: Mapping[str, bytes]) -> None:
        """Load a model of the server's repository; with files, load these under a name that need not be in the repository.

        Args:
            name: its name.
            config: its configuration as JSON, which files require; empty for that of the repository.
            files: path inside the model's folder to the content.

        Raises:
            InferenceError: the server refuses it.
        """

    @abc.abstractmethod
    def unload(self, name: str) -> None:
        """Unload all versions of a model; one that is not loaded is no error. The server may still answer pending requests."""

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: str = "",
        outputs: Sequence[str] | None = None,
        output_nbytes: Mapping[str, int] | None = None,  # noqa: ARG002 - used by the shared-memory client alone
        step: SequenceStep | None = None,
    ) -> Arrays:
        """Send one inference request.

        Args:
            model: its name.
            inputs: one array per input; text as arrays of `bytes` or `str`, bfloat16 as arrays of ml_dtypes.
            version: empty to let the server choose.
            outputs: names of the outputs to request (all).
            output_nbytes: with `shm`, bytes to reserve for each output whose size does not follow from the model and the
                inputs; if one is missing, the client first sends the request with inline tensors to measure it, which a step of
                a sequence does not allow.
            step: for a stateful model, the place of the request in its sequence.

        Raises:
            InferenceError: the server refused the request, it is too large for the transport, another model responded, or
                the response is inconsistent.
            UsageError: an array has an element type that Triton does not support.
        """
        sent = {name: tensors.sendable(name, array) for name, array in inputs.items()}
        wanted = None if outputs is None else dict.fromkeys(outputs, 0)
        return self._plain(sent, model, version, outputs=wanted, step=step)

    def classify(self, model: str, inputs: Mapping[str, Array], classes: Mapping[str, int], *, version: str = "") -> Arrays:
        """Send one request for the largest elements of some outputs (the classification extension); the tensors are inline.

        Args:
            model: its name.
            inputs: one array per input.
            classes: output to the number of its largest elements to return.
            version: empty to let the server choose.

        Returns:
            Output to texts `value:index:label`, the largest first, [batch, number] or [number].

        Raises:
            InferenceError, UsageError: see `infer`.
        """
        return self._plain({name: tensors.sendable(name, array) for name, array in inputs.items()}, model, version, outputs=classes)

    @abc.abstractmethod
    def _plain(
        self, inputs: Arrays, model: str, version: str, *, outputs: Mapping[str, int] | None, step: SequenceStep | None = None
    ) -> Arrays:
        """Send one inference request with the tensors inside the messages.

        Args:
            outputs: the outputs to request (all), each with the number of classes to return instead of the tensor, 0 for none.
            step: its place in a sequence.
        """

    @abc.abstractmethod
    def _describe(self, message: Message, name: str = "", version: str = "") -> Mapping[str, object]:
        """Request a description, in protobuf's JSON form."""

    @abc.abstractmethod
    def _health(self, kind: Health, name: str, version: str) -> bool:
        """Request the health of the server or of a model."""

    def _is(self, kind: Health, name: str = "", version: str = "") -> bool:
        try:
            return self._health(kind, name, version)
        except TritonizeError:
            return False

    def _require(self, model: str, version: str, found: object, *, found_version: object) -> None:
        """Raise InferenceError if the response is from, or about, a model or version that was not requested."""
        self.answered_version = found_version
        if (model and found != model) or (version and found_version != version):
            raise InferenceError.of(
                messages.OTHER_MODEL_RESPONDED,
                where=self.where,
                expected=_label(model, version),
                found=_label(found, found_version),
            )


def _label(model: object, version: object) -> str:
    return f"{model or 'no name'}{f' version {version}' if version else ''}"


def plain(message: ProtobufMessage) -> Mapping[str, object]:
    """A protobuf message as a dict, with the field names of the protocol."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def require_size(found: int, limit: int | None, *, model: str, where: str) -> None:
    """Raise InferenceError if a request is larger than the user allows."""
    if limit is not None and found > limit:
        raise InferenceError.of(
            messages.MESSAGE_TOO_LARGE, where=where, expected=f"at most {limit:,} bytes", found=f"{found:,} bytes", model=model
        )
