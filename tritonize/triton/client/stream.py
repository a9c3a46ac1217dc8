"""A gRPC stream of inference requests: several may be under way at once, and each may have any number of responses."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import ServerError
from tritonize.core.messages import client as messages
from tritonize.triton.client.base import SequenceStep
from tritonize.triton.client.grpc_messages import InferResponse

FINAL = "triton_final_response"
"""The parameter of a response that says whether more will follow."""


class StreamResult(Protocol):
    """`tritonclient.grpc.InferResult`."""

    def get_response(self) -> InferResponse:
        """The protobuf message."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """One response of a stream."""

    request: str
    """The name that `Stream.send` gave the request."""
    outputs: Arrays
    """Empty for a message that only says that the last response was sent."""
    final: bool | None
    """Whether no response to this request follows; `None` if the server does not say."""


Send = Callable[[str, Mapping[str, Array], SequenceStep | None], None]
"""Sends a request by its name, inputs and place in a sequence."""
Read = Callable[[InferResponse], Arrays]


class Stream:
    """An open stream for requests to one version of one model."""

    def __init__(self, send: Send, read: Read, *, where: str, timeout_s: float) -> None:
        self._send, self._read = send, read
        self._where, self._timeout_s = where, timeout_s
        self._received: queue.Queue[InferResponse | Exception] = queue.Queue()

    def take(self, result: StreamResult | None, error: Exception | None) -> None:
        """Called by tritonclient, in a thread of its own, for each message."""
        self._received.put(error if error is not None or result is None else result.get_response())  # type: ignore[arg-type]

    def send(self, request: str, inputs: Mapping[str, Array], *, step: SequenceStep | None = None) -> None:
        """Send a request without waiting for its responses.

        Args:
            request: its name, which its responses have too.
            inputs: one array per input.
            step: for a stateful model, the place of the request in its sequence.
        """
        self._send(request, inputs, step)

    def receive(self) -> Response:
        """Wait for the next response to any request.

        Raises:
            ServerError: none came in time, or the connection ended.
            InferenceError: the model refused a request, or the response is not consistent.
        """
        try:
            found = self._received.get(timeout=self._timeout_s)
        except queue.Empty:
            raise ServerError.of(messages.SERVER_SILENT, where=self._where, seconds=self._timeout_s) from None
        if isinstance(found, Exception):
            raise found
        final = found.parameters[FINAL].bool_param if FINAL in found.parameters else None
        return Response(request=found.id, outputs=self._read(found), final=final)
