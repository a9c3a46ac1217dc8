"""A client over gRPC with the tensors inside the messages. The one file that needs tritonclient's gRPC client."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from tritonize.core import deadline
from tritonize.core.arrays import Array, Arrays
from tritonize.core.errors import InferenceError, ServerError, TritonizeError
from tritonize.core.messages import client as say
from tritonize.core.stages import Transport
from tritonize.triton.client import address, base, tensors
from tritonize.triton.client.base import Client, Health, Message
from tritonize.triton.client.grpc_messages import InferInput, InferRequestedOutput, InferResponse

T = TypeVar("T")
_GRPC_LIMIT = 2**31 - 1  # bytes of one message
_UNREACHABLE = (
    "failed to connect",
    "connection refused",
    "connection reset",
    "socket closed",
    "goaway",
    "name resolution",
    "broken pipe",
)
_NO_SUCH_METHOD = ("method not found", "unknown method", "unknown service")
_ASK = {
    "ServerMetadataResponse": "get_server_metadata",
    "RepositoryIndexResponse": "get_model_repository_index",
    "ModelMetadataResponse": "get_model_metadata",
    "ModelConfigResponse": "get_model_config",
    "ModelStatisticsResponse": "get_inference_statistics",
}
_HEALTH = {"live": "is_server_live", "ready": "is_server_ready", "model": "is_model_ready"}
_FRAMING = 2**20
"""Bytes that a message may have beside its tensors."""


class GrpcClient(Client):
    """Asks over one channel. Every call has a deadline, and no message is read that is larger than an answer may be."""

    transport: Transport = "grpc"

    def __init__(self, url: str, *, timeout_s: float, answer_limit: int, headers: Mapping[str, str] | None = None) -> None:
        import tritonclient.grpc

        super().__init__(timeout_s=timeout_s)
        place = address.parse(url, ports={"grpc": 80, "grpcs": 443}, scheme="grpc")
        self.where = f"{self.transport}, {place}"
        self._module = tritonclient.grpc
        self._headers = {**place.headers, **(headers or {})}
        self._limit = min(max(answer_limit, base.DESCRIPTION_LIMIT) + _FRAMING, _GRPC_LIMIT)
        limits = [("grpc.max_send_message_length", _GRPC_LIMIT), ("grpc.max_receive_message_length", self._limit)]
        self._client = self._module.InferenceServerClient(place.authority, ssl=place.secure, channel_args=limits)

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _health(self, kind: Health, name: str, version: str) -> bool:
        arguments = (name, version) if kind == "model" else ()
        return bool(self._call(getattr(self._client, _HEALTH[kind]), *arguments))

    def _describe(self, message: Message, name: str = "", version: str = "") -> Mapping[str, object]:
        arguments = (name, version) if message.startswith("Model") else ()
        return base.plain(self._call(getattr(self._client, _ASK[message]), *arguments, model=name))

    def _plain(self, inputs: Arrays, model: str, version: str, *, outputs: Sequence[str] | None) -> Arrays:
        total = sum(array.nbytes for array in inputs.values())
        if total > _GRPC_LIMIT:
            raise InferenceError.of(
                say.INPUTS_TOO_LARGE, expected="2 GiB at most", found=f"{total / 2**30:.1f} GiB", where=self.where, model=model
            )
        questions = []
        for name, array in inputs.items():
            questions.append(self._input(name, array))
            questions[-1].set_data_from_numpy(array)
        wanted = None if outputs is None else [self._module.InferRequestedOutput(name) for name in outputs]
        answer = self._infer(model, version, questions, wanted=wanted)
        return {entry.name: self._taken(answer, position) for position, entry in enumerate(answer.outputs)}

    def _input(self, name: str, array: Array) -> InferInput:
        made: InferInput = self._module.InferInput(name, list(array.shape), tensors.datatype(array))
        return made

    def _infer(
        self, model: str, version: str, questions: Sequence[InferInput], *, wanted: Sequence[InferRequestedOutput] | None
    ) -> InferResponse:
        """The protobuf message that answers, from the model that was asked."""
        result = self._call(self._client.infer, model, questions, model_version=version, outputs=wanted, model=model)
        answer: InferResponse = result.get_response()
        self._require(model, version, answer.model_name, found_version=answer.model_version)
        names = [entry.name for entry in answer.outputs]
        if len(set(names)) < len(names):
            raise tensors.unsound(self.where, f"an output is there twice: {', '.join(names)[:200]}")
        return answer

    def _taken(self, answer: InferResponse, position: int) -> Array:
        """One output whose bytes are in the message."""
        entry = answer.outputs[position]
        shape = list(entry.shape)
        if position < len(answer.raw_output_contents):
            return tensors.decoded(
                entry.name, entry.datatype, shape, content=answer.raw_output_contents[position], where=self.where
            )
        if entry.datatype == "BYTES":
            items = np.empty(len(entry.contents.bytes_contents), dtype=object)
            items[:] = list(entry.contents.bytes_contents)
            if tensors.size(entry.name, shape, self.where) == items.size:
                return items.reshape(shape)
        return tensors.decoded(entry.name, entry.datatype, shape, content=b"", where=self.where)  # sound if it has no elements

    def _call(self, function: Callable[..., T], *arguments: object, model: str = "", **options: object) -> T:
        seconds = min(self.timeout_s, deadline.left())
        if seconds <= 0:
            raise ServerError.of(say.SERVER_SILENT, where=self.where, seconds=0.0)
        with _translated(self.where, model, seconds, limit=self._limit):
            return function(*arguments, **options, headers=self._headers or None, client_timeout=seconds)


@contextlib.contextmanager
def _translated(where: str, model: str, seconds: float, *, limit: int) -> Iterator[None]:
    """Turn what the client library raises into an error that says who refused what."""
    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as error:
        raise _error(where, model, seconds, limit=limit, text=str(error.message()), status=str(error.status())) from error
    except OSError as error:
        found = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise ServerError.of(say.SERVER_UNREACHABLE, where=where, found=found) from error


def _error(where: str, model: str, seconds: float, *, limit: int, text: str, status: str) -> TritonizeError:
    lower, line = text.lower(), (text.splitlines() or [status])[0][:300]
    if "DEADLINE_EXCEEDED" in status or text == "Deadline Exceeded":
        return ServerError.of(say.SERVER_SILENT, where=where, seconds=seconds)
    if "RESOURCE_EXHAUSTED" in status and "larger than max" in lower:
        return ServerError.of(say.ANSWER_TOO_LARGE, where=where, expected=f"at most {limit:,} bytes", found=line)
    if "UNAVAILABLE" in status and any(sign in lower for sign in _UNREACHABLE):
        return ServerError.of(say.SERVER_UNREACHABLE, where=where, found=line)
    if "UNIMPLEMENTED" in status and any(sign in lower for sign in _NO_SUCH_METHOD):  # Triton has that status for more
        return ServerError.of(say.NO_TRITON, where=where, found=line)
    if "INTERNAL" in status and "deserializing" in lower:
        return InferenceError.of(say.ANSWER_UNSOUND, where=where, found=line)
    if model:
        return InferenceError.of(say.MODEL_REFUSED, where=where, found=text, model=model)
    return InferenceError.of(say.REFUSED, where=where, found=text)
