"""The addresses and ports that an embedded server listens on."""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import dataclass, replace

from tritonize.core.errors import ServerError, UsageError
from tritonize.core.messages import server as messages

ADDRESS = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared with, and bound only on request


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The server's ports; 0 lets the system choose."""

    http: int = 0
    grpc: int = 0
    metrics: int | None = None
    """`None` disables metrics, which are on 127.0.0.1 whatever `address` is."""
    address: str = ADDRESS
    """The IPv4 address on which HTTP and gRPC listen; `0.0.0.0` for every network of the machine."""

    def __post_init__(self) -> None:
        """Raise UsageError if two of them are equal, before anything is started."""
        taken: dict[int, str] = {}
        for name, port in (("HTTP", self.http), ("gRPC", self.grpc), ("metrics", self.metrics)):
            if port and port in taken:
                raise UsageError.of(messages.PORTS_EQUAL, first=taken[port], second=name, port=port)
            if port:
                taken[port] = name

    @property
    def reached_at(self) -> str:
        """An address of this machine at which the server is reached."""
        return ADDRESS if self.address == EVERY_ADDRESS else self.address


def choose(requested: Ports) -> Ports:
    """The requested ports, with a free port in place of each 0.

    Raises:
        ServerError: a requested port is in use; the error names it.
    """
    with contextlib.ExitStack() as held:  # bound at the same time, so that the free ports differ
        http_port = _bind(requested.address, requested.http, "HTTP", held=held)
        grpc_port = _bind(requested.address, requested.grpc, "gRPC", held=held)
        metrics_port = None if requested.metrics is None else _bind(ADDRESS, requested.metrics, "metrics", held=held)
    return replace(requested, http=http_port, grpc=grpc_port, metrics=metrics_port)


def _bind(address: str, port: int, what: str, *, held: contextlib.ExitStack) -> int:
    listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not block the port
    try:
        listener.bind((address, port))
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRNOTAVAIL:
            raise UsageError.of(messages.ADDRESS_NOT_OURS, found=address) from error
        message = messages.PORT_IN_USE if number == errno.EADDRINUSE else messages.PORT_UNUSABLE
        raise ServerError.of(message, where=f"{address}:{port}", found=str(error).lower(), protocol=what, port=port) from error
    return int(listener.getsockname()[1])
