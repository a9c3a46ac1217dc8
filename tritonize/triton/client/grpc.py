"""A client over gRPC with the tensors inside the messages. Only this file needs tritonclient's gRPC client."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from tritonize.core import deadline
from tritonize.core.arrays import Array, Arrays
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, ServerError, TritonizeError
from tritonize.core.messages import client as messages
from tritonize.core.stages import Transport
from tritonize.triton.client import address, base, statuses, tensors, tls
from tritonize.triton.client.base import Client, Health, Message, SequenceStep
from tritonize.triton.client.grpc_messages import InferInput, InferRequestedOutput, InferResponse
from tritonize.triton.client.stream import Stream

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
_HANDSHAKE = (
    "handshake failed",
    "verification check failed",
    "certificate_verify_failed",
    "peer name",
    "alert",
    "wrong_version_number",
)
_COMPRESSION = {"deflate": 1, "gzip": 2}
"""`grpc_compression_algorithm`"""
_NO_SUCH_METHOD = ("method not found", "unknown method", "unknown service")
_METHODS = {
    "ServerMetadataResponse": "get_server_metadata",
    "RepositoryIndexResponse": "get_model_repository_index",
    "ModelMetadataResponse": "get_model_metadata",
    "ModelConfigResponse": "get_model_config",
    "ModelStatisticsResponse": "get_inference_statistics",
}
_HEALTH = {"live": "is_server_live", "ready": "is_server_ready", "model": "is_model_ready"}
_FRAMING = 2**20
"""Bytes allowed in a message in addition to its tensors."""


class GrpcClient(Client):
    """A client with one channel. Every call has a deadline; a response above the size limit is rejected before it is read."""

    transport: Transport = "grpc"

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        response_limit: int,
        headers: Mapping[str, str] | None = None,
        options: ConnectionOptions = ConnectionOptions(),  # noqa: B008 - frozen
    ) -> None:
        import tritonclient.grpc
        import tritonclient.utils

        server = address.located(url, options, scheme="grpc")
        sent = {name.lower(): value for name, value in {**server.headers, **options.headers, **(headers or {})}.items()}
        super().__init__(timeout_s=timeout_s, headers=sent)
        self.where = f"{self.transport}, {server}"
        self._module = tritonclient.grpc
        self._failures: tuple[type[Exception], ...] = (tritonclient.utils.InferenceServerException, OSError)
        self._headers = sent
        self._request_limit = options.max_message_bytes
        limit = max(response_limit, base.DESCRIPTION_LIMIT) + _FRAMING
        self._limit = min(limit, options.max_message_bytes or limit, _GRPC_LIMIT)
        credentials = tls.credentials(server, options) if server.secure else None
        self._client = self._module.InferenceServerClient(
            _target(server),
            creds=credentials.channel if credentials else None,
            channel_args=[
                ("grpc.max_send_message_length", _GRPC_LIMIT),
                ("grpc.max_receive_message_length", self._limit),
                *_channel_options(server, options, name=credentials.name if credentials else server.host),
            ],
        )

    def close(self) -> None:
        """Close the channel."""
        self._client.close()

    def _health(self, kind: Health, name: str, version: str) -> bool:
        arguments = (name, version) if kind == "model" else ()
        return bool(self._call(getattr(self._client, _HEALTH[kind]), *arguments))

    def _describe(self, message: Message, name: str = "", version: str = "") -> Mapping[str, object]:
        arguments = (name, version) if message.startswith("Model") else ()
        return base.plain(self._call(getattr(self._client, _METHODS[message]), *arguments, model=name))

    def load(self, name: str, config: str, files: Mapping[str, bytes]) -> None:
        """Load a model; the files go as bytes."""
        if (total := sum(map(len, files.values()))) > _GRPC_LIMIT:
            found = f"{total / 2**30:.1f} GiB"
            raise InferenceError.of(messages.FILES_TOO_LARGE, expected="2 GiB at most", found=found, where=self.where)
        override = {f"file:{path}": content for path, content in files.items()}
        self._call(self._client.load_model, name, config=config or None, files=override or None)

    def unload(self, name: str) -> None:
        """Unload all versions of a model."""
        self._call(self._client.unload_model, name)

    def _plain(
        self, inputs: Arrays, model: str, version: str, *, outputs: Mapping[str, int] | None, step: SequenceStep | None = None
    ) -> Arrays:
        requested = (
            None if outputs is None else [self._module.InferRequestedOutput(name, class_count=outputs[name]) for name in outputs]
        )
        response = self._infer(model, version, self._inline(inputs, model), outputs=requested, step=step)
        return self._inline_outputs(response)

    def _inline(self, inputs: Arrays, model: str) -> list[InferInput]:
        """The inputs of a request with the tensors inside it."""
        total = sum(array.nbytes for array in inputs.values())
        if total > _GRPC_LIMIT:
            raise InferenceError.of(
                messages.INPUTS_TOO_LARGE, expected="2 GiB at most", found=f"{total / 2**30:.1f} GiB", where=self.where, model=model
            )
        base.require_size(total, self._request_limit, model=model, where=self.where)
        infer_inputs = []
        for name, array in inputs.items():
            infer_inputs.append(self._input(name, array))
            infer_inputs[-1].set_data_from_numpy(array)
        return infer_inputs

    def _inline_outputs(self, response: InferResponse) -> Arrays:
        return {entry.name: self._inline_output(response, index) for index, entry in enumerate(response.outputs)}

    @contextlib.contextmanager
    def stream(self, model: str, version: str, *, outputs: Sequence[str] | None = None) -> Iterator[Stream]:
        """Open a stream of requests to one model, as a context. A client has one at a time.

        Args:
            model: its name.
            version: empty to let the server choose.
            outputs: names of the outputs to request (all).

        Raises:
            ServerError, InferenceError: from here, and while the context is open from the stream itself.
        """
        requested = None if outputs is None else [self._module.InferRequestedOutput(name) for name in outputs]

        def send(request: str, inputs: Mapping[str, Array], step: SequenceStep | None) -> None:
            sent = self._inline({name: tensors.sendable(name, array) for name, array in inputs.items()}, model)
            place = {**_parameters(step), "request_id": request, "enable_empty_final_response": True}
            self._client.async_stream_infer(model, sent, model_version=version, outputs=requested, **place)

        def read(response: InferResponse) -> Arrays:
            return self._inline_outputs(self._checked(response, model, version))

        seconds = min(self.timeout_s, deadline.left())
        opened = Stream(send, read, where=self.where, timeout_s=seconds)
        try:
            self._client.start_stream(opened.take, headers=self._headers or None)
            try:
                yield opened
            finally:
                self._client.stop_stream(cancel_requests=True)
        except self._failures as error:
            raise self._translated(error, model, seconds) from error

    def _input(self, name: str, array: Array) -> InferInput:
        infer_input: InferInput = self._module.InferInput(name, list(array.shape), tensors.datatype(array))
        return infer_input

    def _infer(
        self,
        model: str,
        version: str,
        inputs: Sequence[InferInput],
        *,
        outputs: Sequence[InferRequestedOutput] | None,
        step: SequenceStep | None = None,
    ) -> InferResponse:
        """The protobuf response, checked to be from the requested model and to name each output once."""
        place = _parameters(step)
        result = self._call(self._client.infer, model, inputs, model_version=version, outputs=outputs, model=model, **place)
        response: InferResponse = result.get_response()
        return self._checked(response, model, version)

    def _checked(self, response: InferResponse, model: str, version: str) -> InferResponse:
        self._require(model, version, response.model_name, found_version=response.model_version)
        names = [entry.name for entry in response.outputs]
        if len(set(names)) < len(names):
            raise tensors.invalid_response(self.where, f"duplicate output names: {', '.join(names)[:200]}")
        return response

    def _inline_output(self, response: InferResponse, index: int) -> Array:
        """One output whose bytes are in the message."""
        entry = response.outputs[index]
        shape = list(entry.shape)
        if index < len(response.raw_output_contents):
            return tensors.decode(entry.name, entry.datatype, shape, content=response.raw_output_contents[index], where=self.where)
        if entry.datatype == "BYTES":
            items = np.empty(len(entry.contents.bytes_contents), dtype=object)
            items[:] = list(entry.contents.bytes_contents)
            if tensors.size(entry.name, shape, self.where) == items.size:
                return items.reshape(shape)
        # Valid only for a tensor without elements.
        return tensors.decode(entry.name, entry.datatype, shape, content=b"", where=self.where)

    def _call(self, function: Callable[..., T], *arguments: object, model: str = "", **options: object) -> T:
        seconds = min(self.timeout_s, deadline.left())
        if seconds <= 0:
            raise ServerError.of(messages.SERVER_SILENT, where=self.where, seconds=0.0)
        try:
            return function(*arguments, **options, headers=self._headers or None, client_timeout=seconds)
        except self._failures as error:
            raise self._translated(error, model, seconds) from error

    def _translated(self, error: Exception, model: str, seconds: float) -> TritonizeError:
        """The error of tritonize for an exception of tritonclient or of a socket."""
        if isinstance(error, OSError):
            reason = (str(error) or type(error).__name__).splitlines()[0][:300]
            return ServerError.of(messages.SERVER_UNREACHABLE, where=self.where, found=reason)
        text, status = self._hide(str(error.message())), str(error.status())  # type: ignore[attr-defined]
        return _error(self.where, model, seconds, limit=self._limit, text=text, status=status)


def _parameters(step: SequenceStep | None) -> dict[str, object]:
    """The arguments of tritonclient for a request's place in a sequence."""
    if step is None:
        return {}
    return {"sequence_id": step.correlation_id, "sequence_start": step.start, "sequence_end": step.end}


def _target(server: address.Address) -> str:
    """Where the channel connects to: gRPC resolves a name by itself."""
    if not server.at:
        return server.authority
    return f"ipv6:[{server.at}]:{server.port}" if ":" in server.at else f"ipv4:{server.at}:{server.port}"


def _channel_options(server: address.Address, options: ConnectionOptions, *, name: str) -> Iterator[tuple[str, str | int]]:
    """What the channel does otherwise than by default; `name` is the one that the server's certificate must have."""
    if server.at:
        yield "grpc.default_authority", server.host_header
    if server.secure and (server.at or name != server.host):
        yield "grpc.ssl_target_name_override", name
    if options.compression:
        yield "grpc.default_compression_algorithm", _COMPRESSION[options.compression]
    if options.keep_alive_s:
        yield "grpc.keepalive_time_ms", max(1, round(options.keep_alive_s * 1000))
        yield "grpc.keepalive_permit_without_calls", 1


def _error(where: str, model: str, seconds: float, *, limit: int, text: str, status: str) -> TritonizeError:
    lower, line = text.lower(), (text.splitlines() or [status])[0][:300]
    if "DEADLINE_EXCEEDED" in status or text == "Deadline Exceeded":
        return ServerError.of(messages.SERVER_SILENT, where=where, seconds=seconds)
    if (proxy := statuses.in_grpc(text, status, where=where)) is not None:
        return proxy
    if "RESOURCE_EXHAUSTED" in status and "larger than max" in lower:
        return ServerError.of(messages.RESPONSE_TOO_LARGE, where=where, expected=f"at most {limit:,} bytes", found=line)
    if "UNAVAILABLE" in status and any(sign in lower for sign in _HANDSHAKE):
        return tls.failure(line, where)
    if "UNAVAILABLE" in status and any(sign in lower for sign in _UNREACHABLE):
        return ServerError.of(messages.SERVER_UNREACHABLE, where=where, found=line)
    if "UNIMPLEMENTED" in status and any(sign in lower for sign in _NO_SUCH_METHOD):  # Triton uses that status for more
        return ServerError.of(messages.NO_TRITON, where=where, found=line)
    if "INTERNAL" in status and "deserializing" in lower:
        return InferenceError.of(messages.RESPONSE_INVALID, where=where, found=line)
    if model:
        return InferenceError.of(messages.MODEL_REFUSED, where=where, found=text, model=model)
    return InferenceError.of(messages.REFUSED, where=where, found=text)
