"""Ask a Triton server, over HTTP, gRPC, or gRPC with the tensors in system shared memory.

What the server says about itself is plain data in protobuf's JSON form, the same over every transport: its own field
names, 64-bit integers as strings, absent fields absent.
"""

from __future__ import annotations

from collections.abc import Mapping

from tritonize.core.artifacts import ServerHandle
from tritonize.core.stages import Transport
from tritonize.triton.client.base import ANSWER_LIMIT, Client

__all__ = ["ANSWER_LIMIT", "Client", "connect", "connect_to"]


def connect(
    url: str,
    transport: Transport,
    *,
    timeout_s: float = 300.0,
    answer_limit: int = ANSWER_LIMIT,
    headers: Mapping[str, str] | None = None,
    shm_prefix: str = "tritonize-",
) -> Client:
    """A client for one server and one transport, for use in one thread and in a `with` block.

    Args:
        url: `host:port`, `http://host:port/path` or `grpc://host:port`.
        transport: `shm` is gRPC with the tensors in system shared memory, for a server on this machine.
        timeout_s: seconds one request may take, whatever the server does; less where the command's own deadline is nearer.
        answer_limit: bytes that the tensors of one answer may have.
        headers: sent with every request; over gRPC they are its metadata.
        shm_prefix: start of the names of the files it makes in /dev/shm.

    Raises:
        UsageError: the address is malformed.
    """
    if transport == "shm":
        from tritonize.triton.client.shared_memory import SharedMemoryClient

        return SharedMemoryClient(url, timeout_s=timeout_s, answer_limit=answer_limit, shm_prefix=shm_prefix, headers=headers)
    if transport == "grpc":
        from tritonize.triton.client.grpc import GrpcClient

        return GrpcClient(url, timeout_s=timeout_s, answer_limit=answer_limit, headers=headers)
    from tritonize.triton.client.http import HttpClient

    return HttpClient(url, timeout_s=timeout_s, answer_limit=answer_limit, headers=headers)


def connect_to(server: ServerHandle, transport: Transport, *, timeout_s: float = 300.0, answer_limit: int = ANSWER_LIMIT) -> Client:
    """A client for a server with its keys; see `connect`."""
    url, protocol = (server.http_url, "http") if transport == "http" else (server.grpc_url, "grpc")
    return connect(
        url,
        transport,
        timeout_s=timeout_s,
        answer_limit=answer_limit,
        shm_prefix=server.shm_prefix,
        headers=server.headers.get(protocol),
    )
