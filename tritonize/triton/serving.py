"""A server that is known to answer: the embedded one, started and probed, or a running one by its address."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tritonize.core import arrays, dtypes
from tritonize.core.arrays import Array, Arrays
from tritonize.core.artifacts import ServerHandle
from tritonize.core.errors import InferenceError, ServerError, UsageError
from tritonize.core.messages import client as say
from tritonize.core.messages import files
from tritonize.triton import client
from tritonize.triton.client import refusals
from tritonize.triton.client.address import FORM, Address, parse, without_credentials
from tritonize.triton.client.refusals import Refusal
from tritonize.triton.client.shared_memory import SharedMemoryClient
from tritonize.triton.protocol import ModelMetadata
from tritonize.triton.server import embedded, environment, log
from tritonize.triton.server.embedded import Ports, Running

_DEFAULT_PORTS = {"http": 8000, "grpc": 8001}
_PROBE_LIMIT = 2**31
"""Bytes of inputs that are made up for a trial request."""
_GREETING_S = 30.0
"""Seconds for what a server says of itself, whatever a model may take."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def require_possible() -> None:
    """Refuse a machine that the embedded server cannot run on.

    Raises:
        MissingError: the text holds the command that brings what is missing.
    """
    environment.require_possible()


@contextlib.contextmanager
def serve(
    repository: Path,
    *,
    directory: Path,
    models: Sequence[str] | None = None,
    probes: Mapping[str, Mapping[str, Array]] | None = None,
    http_port: int = 0,
    grpc_port: int = 0,
    ready_timeout_s: float = 600.0,
    plugins: Sequence[Path] = (),
    on_progress: Callable[[str], None] | None = None,
) -> Iterator[Running]:
    """Serve a model repository until the context ends, each model having answered one inference.

    Args:
        repository: the model repository.
        directory: where the server's log goes.
        models: what to load; every model by default.
        probes: inputs for a model's first inference, by its name; made up where there are none.
        http_port: where to listen on 127.0.0.1; 0 takes a free one.
        grpc_port: the same for gRPC.
        ready_timeout_s: seconds until all models must be loaded.
        plugins: libraries with plugins that plans need, by their files; they are known by name alone to a plan.
        on_progress: told what is being waited for.

    Raises:
        MissingError: the server is not installed and cannot be.
        ServerError: the server or a model did not start, or a model does not answer.
    """
    with embedded.start(
        repository,
        directory=directory,
        models=models,
        ports=Ports(http=http_port, grpc=grpc_port),
        ready_timeout_s=ready_timeout_s,
        plugins=plugins,
        on_progress=on_progress,
    ) as server:
        probe(server, probes or {})
        yield server


def probe(server: ServerHandle, probes: Mapping[str, Mapping[str, Array]]) -> None:
    """Ask every version of every loaded model once; that a server calls a model ready is no proof that it answers.

    Raises:
        ServerError: a model does not answer, or refuses inputs that were given for it; the text names it.
    """
    with client.connect_to(server, "grpc") as connection:
        for entry in connection.model_index():
            if entry.get("state") == "READY":
                name, version = entry["name"], entry.get("version", "")
                _probe_one(server, connection, name, version=version, inputs=probes.get(name))


def _probe_one(
    server: ServerHandle, connection: client.Client, name: str, *, version: str, inputs: Mapping[str, Array] | None
) -> None:
    if inputs is None:
        metadata = connection.model_metadata(name, version)
        if nbytes(metadata) > _PROBE_LIMIT:
            raise ServerError.of(files.NO_PROBE, where=f"{name} version {version}", model=name)
    try:
        connection.infer(name, made_up(metadata) if inputs is None else inputs, version=version)
    except InferenceError as error:
        died = refusals.kind(error) is Refusal.MODEL_DIED
        # Inputs that were made up may be refused with good reason (too small, a sequence without its id): that is an answer.
        if inputs is None and error.code == say.MODEL_REFUSED.code and not died:
            return
        raise ServerError(
            f"The model {name!r} is loaded and does not answer.",
            where=f"{name} version {version}",
            found=error.found,
            cause="its process in the server has died" if died else None,
            details=log.problems(server.log) if server.log else (),
        ) from error


def nbytes(metadata: ModelMetadata) -> int:
    """Bytes of the smallest inputs that a model's description allows; an element of text counts as a pointer."""
    return sum(
        math.prod(max(1, int(size)) for size in entry.get("shape", [])) * (dtypes.by_client(entry["datatype"]).itemsize or 8)
        for entry in metadata.get("inputs", [])
    )


def made_up(metadata: ModelMetadata) -> Arrays:
    """Zeros, or empty text, of the smallest shape that a model's description allows."""
    found: Arrays = {}
    for entry in metadata.get("inputs", []):
        shape = [max(1, int(size)) for size in entry.get("shape", [])]
        dtype = dtypes.by_client(entry["datatype"])
        found[entry["name"]] = (
            np.full(shape, b"", object) if dtype.name == "string" else np.zeros(shape, arrays.numpy_dtype(dtype.name))
        )
    return found


def write_key(server: ServerHandle, file: Path) -> None:
    """Write the HTTP header that lets its owner control the server, for `curl -H @FILE`; no other user can read it.

    Raises:
        OSError: the file is there already, or cannot be written.
    """
    text = "".join(f"{name}: {value}\n" for name, value in server.headers["http"].items())
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as out:
        out.write(text)


def summary(server: ServerHandle) -> str:
    """What answers, in a few words."""
    return ", ".join(
        f"{name} {server.identity[name]}"
        for name in ("tritonserver", "onnxruntime", "tensorrt", "tensorrt_rtx")
        if name in server.identity
    )


def remote(urls: Sequence[str], *, headers: Mapping[str, Mapping[str, str]] | None = None) -> ServerHandle:
    """A server that is not ours, by `http://host:port`, `grpc://host:port` or both; `host:port` alone is HTTP.

    Args:
        urls: its addresses.
        headers: sent along with every request, by protocol.

    User and password of an address become the header `authorization`, which no report and no error shows.

    Raises:
        UsageError: an address is none.
        ServerError: nobody answers there, or something that is not Triton.
    """
    addresses: dict[str, Address] = {}
    for address in map(_address, urls):
        if addresses.setdefault(address.scheme, address) != address:
            raise UsageError.of(
                say.TWO_ADDRESSES, scheme=address.scheme, found=f"{addresses[address.scheme].authority}, {address.authority}"
            )
    identity: dict[str, str] = {}
    known = _handle(addresses, headers or {})
    for scheme, address in addresses.items():
        with client.connect_to(known, "http" if scheme == "http" else "grpc", timeout_s=_GREETING_S) as connection:
            metadata = connection.server_metadata()
            if "version" not in metadata or "extensions" not in metadata:
                raise ServerError.of(say.NO_TRITON, where=connection.where, found=str(metadata)[:200])
            identity["tritonserver"] = str(metadata["version"])
            identity[f"at {scheme}"] = address.authority
    return replace(known, local="grpc" in addresses and _shares_memory(known, addresses["grpc"]), identity=identity)


def _handle(addresses: Mapping[str, Address], headers: Mapping[str, Mapping[str, str]]) -> ServerHandle:
    """The server at these addresses, with the credentials that they hold."""
    authorities = {scheme: address.authority for scheme, address in addresses.items()}
    return ServerHandle(
        http_url=authorities.get("http", ""),
        grpc_url=authorities.get("grpc", ""),
        headers={scheme: {**address.headers, **headers.get(scheme, {})} for scheme, address in addresses.items()},
    )


def _address(url: str) -> Address:
    address = parse(url, ports=_DEFAULT_PORTS)
    if address.scheme not in _DEFAULT_PORTS or address.path:
        reason = "a path" if address.path else f"the scheme {address.scheme!r}"
        raise UsageError.of(say.ADDRESS, found=f"{without_credentials(url)}: {reason}", expected=FORM)
    return address


def _shares_memory(server: ServerHandle, address: Address) -> bool:
    if address.host not in _LOOPBACK:
        return False
    with client.connect_to(server, "shm", timeout_s=_GREETING_S) as connection:
        assert isinstance(connection, SharedMemoryClient)
        return connection.shares_memory()
