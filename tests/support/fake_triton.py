"""Something that describes itself as Triton does, over HTTP or gRPC, and serves no model."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import NamedTuple

from tritonclient.grpc import service_pb2

from tests.support import hostile_server as hostile

DESCRIPTION = {"name": "triton", "version": "2", "extensions": ["a"]}


class Pair(NamedTuple):
    """The addresses, and what was asked."""

    http: str
    grpc: str
    heads: list[str]
    handler: hostile.Grpc


@contextlib.contextmanager
def both() -> Iterator[Pair]:
    """Both protocols, without TLS."""
    heads: list[str] = []

    def triton(peer: socket.socket) -> None:
        while True:
            heads.append(hostile.request(peer).decode())
            peer.sendall(hostile.http(json.dumps(DESCRIPTION).encode()))

    described = service_pb2.ServerMetadataResponse(name="triton", version="2", extensions=["a"])
    handler = hostile.Grpc({"ServerMetadata": described.SerializeToString()})
    with hostile.listening(triton) as over_http, hostile.listening_grpc(handler) as over_grpc:
        yield Pair(over_http, over_grpc, heads, handler)
