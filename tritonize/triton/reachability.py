"""The transports over which a server can be asked, and how many requests it will get over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tritonize.core.artifacts import ServerHandle
from tritonize.core.messages import server as wording
from tritonize.core.stages import TRANSPORTS, Transport
from tritonize.triton import classification, weight
from tritonize.triton.target import Target


def announce(target: Target, on_progress: Callable[[str], None] | None, *, every_s: float | None = None) -> None:
    """Say how many requests the server will get at most.

    Args:
        every_s: seconds between the starts of two verifications, if they are repeated.
    """
    if on_progress is None:
        return
    model, profile = target.model, target.profile.name
    labelled = len(target.transports) * len(classification.batches(target)) if target.labels else 0
    count = weight.most_requests(target.profile, target.golden, transports=len(transports(target.server)), labelled=labelled)
    if every_s is None:
        on_progress(wording.REQUESTS_PLANNED.text(model=model, count=count, profile=profile))
    else:
        hourly = math.ceil(count * 3600 / every_s)
        on_progress(wording.REQUESTS_PER_HOUR.text(model=model, count=count, hourly=f"{hourly:,}", profile=profile))


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
