"""Which server a command uses: one that it starts, in one of three ways, or a running one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tritonize.core.connection_options import ConnectionOptions

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
