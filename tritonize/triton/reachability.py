"""The transports over which a server can be asked, and how many requests it will get over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tritonize.core.artifacts import ServerHandle
from tritonize.core.messages import server as wording
from tritonize.core.stages import TRANSPORTS, Transport
from tritonize.triton import weight
from tritonize.triton.target import Target


def announce(target: Target, on_progress: Callable[[str], None] | None) -> None:
    """Say how many requests the server will get at most."""
    if on_progress is not None:
        count = weight.most_requests(target.profile, target.golden, transports=len(transports(target.server)))
        on_progress(wording.REQUESTS_PLANNED.text(model=target.model, count=count, profile=target.profile.name))


def transports(server: ServerHandle, wanted: Sequence[Transport] = TRANSPORTS) -> list[Transport]:
    """The transports over which the server can be asked."""
    return [each for each in wanted if not why_not(server, each)]


def why_not(server: ServerHandle, transport: str | None) -> str | None:
    """Why nothing can be sent over a transport; `None` if it can, or for a stage that may use any."""
    if transport == "http" and not server.http_url:
        return "no HTTP address was given"
    if transport in ("grpc", "shm") and not server.grpc_url:
        return "no gRPC address was given"
    if transport == "shm" and not server.local:
        return "the server does not share this machine's memory, or does not allow its use"
    return None
