"""Which server a command uses: one that it starts, in one of three ways, or a running one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tritonize.core import suggestions
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.messages import usage

Way = Literal["embedded", "binary", "docker"]
"""How a server is started: the embedded one, `tritonserver` on PATH, or NVIDIA's image with `docker run`."""
WAYS: tuple[Way, ...] = ("embedded", "binary", "docker")
IMAGE = "nvcr.io/nvidia/tritonserver"
"""NVIDIA's image of Triton, without a tag."""
AUTO: Literal["auto"] = "auto"
"""Takes the first way that is possible on this machine; see `triton.server.ways.resolve`."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """How to start a server."""

    way: Way | Literal["auto"] = "embedded"
    release: str = ""
    """Release of NVIDIA's image, such as `26.06`, for docker; that of the embedded server's Triton by default."""


@dataclass(frozen=True, kw_only=True)
class ServerChoice:
    """The value of `--server` and the options that belong to it."""

    way: Way | Literal["auto"] = AUTO
    """How to start a server; it does not matter if there are addresses."""
    urls: tuple[str, ...] = ()
    """Addresses of one running server, which then is used instead."""
    shared: Path | None = None
    """A model repository of the running server, as a folder that this machine can write."""
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    """How to connect to the running server."""

    @property
    def is_own(self) -> bool:
        """Whether the command may use the embedded server, on which a version's proof does not depend on the machine."""
        return not self.urls and self.way in (AUTO, "embedded")


def urls(words: Sequence[str]) -> list[str]:
    """The addresses among the values of `--server`."""
    return [each for each in words if each not in (AUTO, *WAYS)]


def chosen(words: Sequence[str], *, shared: Path | None = None, connection: ConnectionOptions | None = None) -> ServerChoice:
    """The server that the options choose.

    Raises:
        UsageError: a value is neither a way nor an address, ways are mixed, or a repository has no server.
    """
    addresses = urls(words)
    for each in addresses:
        if not any(sign in each for sign in ".:[") and each != "localhost":
            expected = f"{', '.join((AUTO, *WAYS))} or an address"
            meant = suggestions.meant(each, (AUTO, *WAYS))
            raise UsageError.of(usage.SERVER_UNKNOWN, found=f"--server {each}", expected=expected, meant=meant)
    if (addresses and len(addresses) != len(words)) or len(words) - len(addresses) > 1:
        raise UsageError.of(usage.SERVERS_MIXED, found=" ".join(f"--server {each}" for each in words))
    if shared is not None and not addresses:
        raise UsageError.of(usage.SHARED_WITHOUT_URL)
    way = next((each for each in WAYS if each in words), AUTO)
    return ServerChoice(way=way, urls=tuple(addresses), shared=shared, connection=connection or ConnectionOptions())
