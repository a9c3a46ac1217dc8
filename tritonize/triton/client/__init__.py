"""Clients for a Triton server: over HTTP, gRPC, or gRPC with the tensors in system shared memory.

Metadata, configurations and statistics come back as plain data in protobuf's JSON form, the same over every transport: the
protocol's field names, 64-bit integers as strings, unset fields left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from tritonize.core.artifacts import ServerHandle
from tritonize.core.connection_options import REQUEST_S, ConnectionOptions
from tritonize.core.stages import Transport
from tritonize.triton.client.base import RESPONSE_LIMIT, Client

__all__ = ["RESPONSE_LIMIT", "Client", "connect", "connect_to"]


def connect(
    url: str,
    transport: Transport,
    *,
    timeout_s: float = REQUEST_S,
    response_limit: int = RESPONSE_LIMIT,
    headers: Mapping[str, str] | None = None,
    shm_prefix: str = "tritonize-",
    options: ConnectionOptions = ConnectionOptions(),  # noqa: B008 - frozen
) -> Client:
    """Open a client for one server and one transport, for use in one thread and in a `with` block.

    Args:
        url: `host:port`, `https://host:port/path` or `grpcs://host:port`; without TLS `http` and `grpc`.
        transport: `shm` is gRPC with the tensors in system shared memory, for a server on this machine.
        timeout_s: seconds that one request may take; fewer if the command's own deadline is nearer.
        response_limit: largest total size of the tensors in one response, in bytes.
        headers: sent with every request; over gRPC they are its metadata.
        shm_prefix: prefix of the names of the files that the client creates in /dev/shm.
        options: certificates, further headers and limits; `timeout_s` and `response_limit` apply besides.

    Raises:
        UsageError: the address is malformed, or a certificate or key cannot be read.
    """
    if transport == "shm":
        from tritonize.triton.client.shared_memory import SharedMemoryClient

        return SharedMemoryClient(
            url, timeout_s=timeout_s, response_limit=response_limit, shm_prefix=shm_prefix, headers=headers, options=options
        )
    if transport == "grpc":
        from tritonize.triton.client.grpc import GrpcClient

        return GrpcClient(url, timeout_s=timeout_s, response_limit=response_limit, headers=headers, options=options)
    from tritonize.triton.client.http import HttpClient

    return HttpClient(url, timeout_s=timeout_s, response_limit=response_limit, headers=headers, options=options)


def connect_to(
    server: ServerHandle, transport: Transport, *, timeout_s: float | None = None, response_limit: int = RESPONSE_LIMIT
) -> Client:
    """Open a client as the server's options say, which sends the keys in `server.headers`; see `connect`."""
    url, protocol = (server.http_url, "http") if transport == "http" else (server.grpc_url, "grpc")
    return connect(
        url,
        transport,
        timeout_s=min(server.options.timeout_s, timeout_s or server.options.timeout_s),
        response_limit=response_limit,
        shm_prefix=server.shm_prefix,
        headers=server.headers.get(protocol),
        options=server.options,
    )
