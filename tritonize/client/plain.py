"""A client over HTTP or gRPC with the tensors inside the messages. The one file that needs tritonclient."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from google.protobuf import json_format

from tritonize import arrays, dtypes
from tritonize.arrays import Array, Arrays
from tritonize.errors import InferenceError, ServerError, TritonizeError, UsageError

Transport = Literal["http", "grpc", "shm"]

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


class Client:
    """A connection to a server. Every method raises ServerError where it cannot be reached or takes too long."""

    def __init__(self, url: str, transport: Transport, *, timeout_s: float, headers: Mapping[str, str] | None = None) -> None:
        scheme, separator, rest = url.partition("://")
        self.address = (rest if separator else url).rstrip("/")
        self.transport = transport
        self._http = transport == "http"
        self.timeout_s = timeout_s
        self._module = importlib.import_module("tritonclient.http" if self._http else "tritonclient.grpc")
        secure = scheme in ("https", "grpcs")
        options: dict[str, Any] = {"ssl": True} if separator and secure else {}
        if self._http:
            options |= {"connection_timeout": timeout_s, "network_timeout": timeout_s}
        self._client = self._module.InferenceServerClient(self.address, **options)
        self._per_call: dict[str, Any] = {} if self._http else {"client_timeout": timeout_s}
        if headers:
            self._per_call["headers"] = dict(headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; a server that is being stopped waits for connections that are open."""
        self._client.close()

    def live(self) -> bool:
        """Whether the server answers."""
        return self._is(self._client.is_server_live)

    def ready(self) -> bool:
        """Whether the server says that it can infer."""
        return self._is(self._client.is_server_ready)

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether the server says that the model can infer; one whose process has died still says so."""
        return self._is(self._client.is_model_ready, name, version)

    def server_metadata(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return self._describe("ServerMetadataResponse", self._client.get_server_metadata)

    def model_index(self) -> list[dict[str, Any]]:
        """Name, version, state and reason of everything in the server's repository."""
        found = self._describe("RepositoryIndexResponse", self._client.get_model_repository_index)
        return list(found.get("models", []))

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Names, datatypes and shapes of the model's inputs and outputs. Raises InferenceError where it is not loaded."""
        return self._describe("ModelMetadataResponse", self._client.get_model_metadata, name, version)

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """The configuration the server runs the model with. Raises InferenceError where it is not loaded."""
        found = self._describe("ModelConfigResponse", self._client.get_model_config, name, version)
        return dict(found["config"])

    def statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Counts and times of what was inferred, per model version."""
        found = self._describe("ModelStatisticsResponse", self._client.get_inference_statistics, name, version)
        return list(found.get("model_stats", []))

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
            InferenceError: the server refused it, or it is too large for the transport.
            UsageError: an array has an element type that Triton does not have.
        """
        return self._plain({name: sendable(name, array) for name, array in inputs.items()}, model, version, outputs)

    def _plain(self, inputs: Arrays, model: str, version: str, outputs: Sequence[str] | None) -> Arrays:
        """One request with the tensors inside the messages."""
        if not self._http and sum(array.nbytes for array in inputs.values()) > _GRPC_LIMIT:
            raise InferenceError(
                f"The inputs of {model!r} are too large for one gRPC message.",
                expected="2 GiB at most",
                found=f"{sum(array.nbytes for array in inputs.values()) / 2**30:.1f} GiB",
                next_step="use the transport shm or http",
            )
        tensors = []
        for name, array in inputs.items():
            tensors.append(self._input(name, array))
            tensors[-1].set_data_from_numpy(array)
        wanted = None if outputs is None else [self._module.InferRequestedOutput(name) for name in outputs]
        result = self._call(self._client.infer, model, tensors, model_version=version, outputs=wanted, model=model)
        return {name: self._taken(result, name) for name in self._output_names(result)}

    def _input(self, name: str, array: Array) -> Any:
        return self._module.InferInput(name, list(array.shape), dtypes.by_numpy(str(array.dtype)).client)

    def _output_names(self, result: Any) -> list[str]:
        response = result.get_response()
        return [entry["name"] for entry in response["outputs"]] if self._http else [entry.name for entry in response.outputs]

    def _taken(self, result: Any, name: str) -> Array:
        array: Array = result.as_numpy(name)
        output = result.get_output(name)
        datatype = output["datatype"] if self._http else output.datatype
        return array.astype(arrays.BFLOAT16, copy=False) if datatype == "BF16" else array

    def _describe(self, message: str, ask: Callable[..., Any], *arguments: str) -> dict[str, Any]:
        """An answer as plain data: what HTTP says in JSON goes through the message that gRPC would have sent."""
        answer = self._call(ask, *arguments, model=arguments[0] if arguments else "")
        if self._http:
            from tritonclient.grpc import service_pb2

            if message == "RepositoryIndexResponse":
                answer = {"models": answer}
            elif message == "ModelConfigResponse":
                answer = {"config": answer}
            answer = json_format.ParseDict(answer, getattr(service_pb2, message)(), ignore_unknown_fields=True)
        return json_format.MessageToDict(answer, preserving_proto_field_name=True)

    def _is(self, ask: Callable[..., Any], *arguments: str) -> bool:
        try:
            return bool(self._call(ask, *arguments))
        except TritonizeError:
            return False

    def _call(self, function: Callable[..., Any], *arguments: Any, model: str = "", **options: Any) -> Any:
        with _translated(self, model):
            return function(*arguments, **options, **self._per_call)


def sendable(name: str, array: Array) -> Array:
    """The array with an element type of Triton's; text of any kind as objects."""
    array = np.asarray(array)
    if array.dtype.kind in "US":
        array = array.astype(object)
    try:
        dtypes.by_numpy(str(array.dtype))
    except KeyError:
        raise UsageError("An input has an element type that Triton does not have.", where=name, found=str(array.dtype)) from None
    return array


@contextlib.contextmanager
def _translated(client: Client, model: str) -> Iterator[None]:
    """Turn what the client library raises into an error that says who refused what."""
    from tritonclient.utils import InferenceServerException

    where = f"{client.transport}, {client.address}"
    try:
        yield
    except InferenceServerException as error:
        text, status = str(error.message()), str(error.status())
        if "DEADLINE_EXCEEDED" in status or text == "Deadline Exceeded":
            raise _silent(where, client.timeout_s) from error
        if "UNAVAILABLE" in status and any(sign in text.lower() for sign in _UNREACHABLE):
            raise _unreachable(where, text) from error
        what = f"The server refused a request to the model {model!r}." if model else "The server refused a request."
        raise InferenceError(what, where=where, found=text) from error
    except TimeoutError as error:
        raise _silent(where, client.timeout_s) from error
    except _connection_errors() as error:
        raise _unreachable(where, str(error) or type(error).__name__) from error


def _connection_errors() -> tuple[type[Exception], ...]:
    """What the HTTP client raises besides its own exception."""
    from geventhttpclient.response import HTTPParseError

    return OSError, HTTPParseError


def _unreachable(where: str, reason: str) -> ServerError:
    return ServerError(
        "The server cannot be reached.",
        where=where,
        found=reason.splitlines()[0][:300],
        cause="it is not running, or it ended",
        next_step="look into its log; tritonize doctor checks the embedded server",
    )


def _silent(where: str, timeout_s: float) -> ServerError:
    return ServerError(f"The server did not answer within {timeout_s:.0f} s.", where=where)
