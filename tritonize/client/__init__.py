"""Ask a Triton server, over HTTP, gRPC, or gRPC with the tensors in system shared memory.

What the server says about itself is plain data in protobuf's JSON form, the same over every transport: its own field
names, 64-bit integers as strings, absent fields absent.
"""

from __future__ import annotations

from collections.abc import Mapping

from tritonize.artifacts import ServerHandle
from tritonize.client.plain import Client, Transport
from tritonize.client.shared import SharedMemoryClient

__all__ = ["Client", "Transport", "connect", "connect_to"]


def connect(
    url: str,
    transport: Transport,
    *,
    timeout_s: float = 300.0,
    shm_prefix: str = "tritonize-",
    headers: Mapping[str, str] | None = None,
) -> Client:
    """A client for one server and one transport, for use in one thread and in a `with` block.

    Args:
        url: `host:port`, `http://host:port` or `grpc://host:port`.
        transport: `shm` is gRPC with the tensors in system shared memory, for a server on this machine.
        timeout_s: seconds one request may take.
        shm_prefix: start of the names of the files it makes in /dev/shm.
        headers: sent along with every request; gRPC takes lower-case names alone.
    """
    if transport == "shm":
        return SharedMemoryClient(url, timeout_s=timeout_s, shm_prefix=shm_prefix, headers=headers)
    return Client(url, transport, timeout_s=timeout_s, headers=headers)


def connect_to(server: ServerHandle, transport: Transport, *, timeout_s: float = 300.0) -> Client:
    """A client for a server with its keys; see `connect`."""
    url, protocol = (server.http_url, "http") if transport == "http" else (server.grpc_url, "grpc")
    return connect(url, transport, timeout_s=timeout_s, shm_prefix=server.shm_prefix, headers=server.headers.get(protocol))
