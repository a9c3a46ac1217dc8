"""A client over HTTP: the KServe v2 protocol with its extension for binary tensors."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import cast
from urllib.parse import quote

import numpy as np
from google.protobuf import json_format

from tritonize.core.arrays import Array, Arrays
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as messages
from tritonize.core.stages import Transport
from tritonize.triton.client import address, base, statuses, tensors
from tritonize.triton.client.base import Client, Health, Message, SequenceStep
from tritonize.triton.client.connection import Connection, Piece, Response, first_line

HEAD_LENGTH = "inference-header-content-length"
"""The header with the length of the JSON part of the body in bytes; the tensors follow it."""
_OK = 200
_LENGTH = re.compile(r"[0-9]{1,10}")
_JSON_LIMIT = 2**26
"""Largest JSON part of a response in bytes; a server without the binary extension puts the tensors there."""


class HttpClient(Client):
    """A client with one connection that stays open between requests."""

    transport: Transport = "http"

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        response_limit: int,
        headers: Mapping[str, str] | None = None,
        options: ConnectionOptions = ConnectionOptions(),  # noqa: B008 - frozen
    ) -> None:
        server = address.located(url, options, scheme="http")
        sent = {**server.headers, **options.headers, **(headers or {})}
        super().__init__(timeout_s=timeout_s, headers=sent)
        self._connection = Connection(server, timeout_s=timeout_s, headers=sent, options=options)
        self.where = self._connection.where
        self._request_limit = options.max_message_bytes
        self._response_limit = min(response_limit, options.max_message_bytes or response_limit)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _health(self, kind: Health, name: str, version: str) -> bool:
        path = f"{_model(name, version)}/ready" if kind == "model" else f"v2/health/{kind}"
        return self._connection.request("GET", path, limit=base.DESCRIPTION_LIMIT).status == _OK

    def _describe(self, message: Message, name: str = "", version: str = "") -> Mapping[str, object]:
        """The JSON is parsed into the protobuf message that gRPC sends, so both transports return the same fields."""
        from tritonclient.grpc import service_pb2

        method, path = _path(message, name, version)
        found = cast(
            "dict[str, object]",
            self._json(self._require_ok(self._connection.request(method, path, limit=base.DESCRIPTION_LIMIT), name).body),
        )
        if message == "RepositoryIndexResponse":
            found = {"models": found}
        elif message == "ModelConfigResponse":
            found = {"config": found}
        try:
            return base.plain(json_format.ParseDict(found, getattr(service_pb2, message)(), ignore_unknown_fields=True))
        except (json_format.ParseError, AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self._no_triton(str(found)) from error

    def load(self, name: str, config: str, files: Mapping[str, bytes]) -> None:
        """Load a model; the files go as base64 in JSON."""
        pieces: list[Piece] = [b'{"parameters":{', *([b'"config":', json.dumps(config).encode()] if config else [])]
        for path, content in files.items():
            pieces += [b",", json.dumps(f"file:{path}").encode(), b':"', base64.b64encode(content), b'"']
        self._repository(name, "load", [*pieces, b"}}"])

    def unload(self, name: str) -> None:
        """Unload all versions of a model."""
        self._repository(name, "unload", [b"{}"])

    def _repository(self, name: str, action: str, body: Sequence[Piece]) -> None:
        path = f"v2/repository/models/{quote(name, safe='')}/{action}"
        headers = {"Content-Type": "application/json"}
        self._require_ok(self._connection.request("POST", path, body=body, headers=headers, limit=base.DESCRIPTION_LIMIT), "")

    def _plain(
        self, inputs: Arrays, model: str, version: str, *, outputs: Mapping[str, int] | None, step: SequenceStep | None = None
    ) -> Arrays:
        pieces: list[Piece] = [tensors.piece(array) for array in inputs.values()]
        head = json.dumps(_head(inputs, pieces, outputs, step=step)).encode()
        base.require_size(sum(map(len, pieces)) + len(head), self._request_limit, model=model, where=self.where)
        response = self._connection.request(
            "POST",
            f"{_model(model, version)}/infer",
            body=[head, *pieces],
            headers={"Content-Type": "application/octet-stream", HEAD_LENGTH: str(len(head))},
            limit=self._response_limit,
        )
        return self._outputs(self._require_ok(response, model), model, version)

    def _require_ok(self, response: Response, model: str) -> Response:
        """Return a response with status 200; raise the error that any other status and its body describe."""
        if response.status == _OK:
            return response
        try:
            text = self._hide(str(json.loads(response.body[:_JSON_LIMIT])["error"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            text = ""
        # Triton says 404 of an unknown model, and of a path that it does not know.
        if not text or response.status in statuses.OF_PROXIES or (response.status == HTTPStatus.NOT_FOUND and not model):
            line = text or self._hide(response.line())
            raise statuses.error(response.status, response.reason, where=self.where, line=line, headers=response.headers)
        if model:
            raise InferenceError.of(messages.MODEL_REFUSED, where=self.where, found=text, model=model)
        raise InferenceError.of(messages.REFUSED, where=self.where, found=text)

    def _json(self, content: bytes) -> object:
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._no_triton(content[:4096].decode("utf-8", "replace")) from error

    def _no_triton(self, found: str) -> ServerError:
        return ServerError.of(messages.NO_TRITON, where=self.where, found=self._hide(first_line(found)))

    def _outputs(self, response: Response, model: str, version: str) -> Arrays:
        """The outputs of a response; every size and shape in its JSON part is checked against the bytes."""
        length = response.headers.get(HEAD_LENGTH, str(len(response.body)))
        if not _LENGTH.fullmatch(length) or int(length) > min(len(response.body), _JSON_LIMIT):
            raise tensors.invalid_response(self.where, f"{HEAD_LENGTH}: {length[:40]} of {len(response.body):,} bytes")
        head = self._json(response.body[: int(length)])
        outputs = head.get("outputs") if isinstance(head, dict) else None
        if not isinstance(head, dict) or not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
            raise tensors.invalid_response(self.where, "no list of outputs")
        self._require(model, version, head.get("model_name"), found_version=head.get("model_version"))
        arrays: Arrays = {}
        rest = memoryview(response.body)[int(length) :]
        for each in outputs:
            name, parsed = self._output(each, rest)
            if name in arrays:
                raise tensors.invalid_response(self.where, f"duplicate output {name!r}")
            arrays[name], rest = parsed
        if len(rest):
            raise tensors.invalid_response(self.where, f"{len(rest):,} bytes after the last output")
        return arrays

    def _output(self, entry: Mapping[str, object], rest: memoryview) -> tuple[str, tuple[Array, memoryview]]:
        """Name and array of one output, and the bytes after it."""
        name, shape, parameters = entry.get("name"), entry.get("shape"), entry.get("parameters", {})
        if not isinstance(name, str) or not isinstance(shape, list) or not isinstance(parameters, dict):
            raise tensors.invalid_response(self.where, f"an output without name or shape: {str(dict(entry))[:80]}")
        size = parameters.get("binary_data_size")
        if size is None:
            return name, (self._from_json(name, entry, shape), rest)
        if type(size) is not int or not 0 <= size <= len(rest):
            raise tensors.invalid_response(self.where, f"output {name!r} has {str(size)[:40]} bytes of {len(rest):,}")
        return name, (tensors.decode(name, entry.get("datatype"), shape, content=rest[:size], where=self.where), rest[size:])

    def _from_json(self, name: str, entry: Mapping[str, object], shape: Sequence[object]) -> Array:
        """An output whose elements are in the JSON part, from a server without the binary extension."""
        dtype = tensors.element_type(name, entry.get("datatype"), self.where)
        axes, data = tensors.sizes(name, shape, self.where), entry.get("data")
        if not isinstance(data, list):  # NumPy would turn None into NaN
            raise tensors.invalid_response(self.where, f"output {name!r} has neither binary data nor a list of elements")
        try:
            flat = np.array(data, dtype=dtype.numpy if dtype.name != "bf16" else "float32").reshape(-1)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise tensors.invalid_response(self.where, f"output {name!r}: {str(error)[:120]}") from error
        if dtype.name == "string":
            flat = np.array([str(item).encode() for item in flat], dtype=object)
        if flat.size != math.prod(axes) or dtype.name == "bf16":
            raise tensors.invalid_response(
                self.where, f"output {name!r} of {dtype.client} {shape} has {flat.size:,} elements in JSON"
            )
        return flat.reshape(axes)


def _model(name: str, version: str) -> str:
    return f"v2/models/{quote(name, safe='')}{'/versions/' + quote(version, safe='') if version else ''}"


def _path(message: Message, name: str, version: str) -> tuple[str, str]:
    """HTTP method and path of the request for a description."""
    paths = {
        "ServerMetadataResponse": ("GET", "v2"),
        "RepositoryIndexResponse": ("POST", "v2/repository/index"),
        "ModelMetadataResponse": ("GET", _model(name, version)),
        "ModelConfigResponse": ("GET", f"{_model(name, version)}/config"),
        "ModelStatisticsResponse": ("GET", f"{_model(name, version) if name else 'v2/models'}/stats"),
    }
    return paths[message]


def _head(
    inputs: Arrays, pieces: Sequence[Piece], outputs: Mapping[str, int] | None, *, step: SequenceStep | None
) -> Mapping[str, object]:
    """The JSON part of a request; the tensors follow it in binary form."""
    parameters: dict[str, object] = {"binary_data_output": True} if outputs is None else {}
    if step is not None:
        parameters |= {"sequence_id": step.correlation_id, "sequence_start": step.start, "sequence_end": step.end}
    head: dict[str, object] = {
        "inputs": [
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": tensors.datatype(array),
                "parameters": {"binary_data_size": len(piece)},
            }
            for (name, array), piece in zip(inputs.items(), pieces, strict=True)
        ]
    }
    if parameters:
        head["parameters"] = parameters
    if outputs is not None:
        head["outputs"] = [
            {"name": name, "parameters": {"binary_data": True, **({"classification": classes} if classes else {})}}
            for name, classes in outputs.items()
        ]
    return head
