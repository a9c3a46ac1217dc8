"""Sockets that enforce one deadline and one byte limit per request, whatever the server sends."""

from __future__ import annotations

import math
import socket
import ssl
import time
from typing import Any

_LEAST_S = 0.001  # a timeout of 0 would mean "do not wait at all"


class TooMuchError(Exception):
    """More bytes arrived than the request allows. Not an OSError, because HTTP libraries would wrap it."""


class Budget:
    """The time and the bytes that the current request has left. Each connection has one; each request restarts it."""

    def __init__(self) -> None:
        self._end = math.inf
        self._bytes = math.inf

    def start(self, seconds: float, nbytes: int) -> None:
        """Begin a request that may take `seconds` in total and receive `nbytes` bytes."""
        self._end = time.monotonic() + seconds
        self._bytes = nbytes

    def seconds(self) -> float | None:
        """Seconds that are left; `None` without a deadline. Raises TimeoutError if none are left."""
        if self._end == math.inf:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the request has passed")
        return max(left, _LEAST_S)

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._end

    def take(self, count: int) -> None:
        """Count bytes that arrived. Raises TooMuchError above the limit."""
        self._bytes -= count
        if self._bytes < 0:
            raise TooMuchError


class BoundedSocket(socket.socket):
    """A socket that takes each timeout from its budget. A fixed timeout per read would let a slow server hold it for ever."""

    budget = Budget()

    # Any: what a plain and a TLS socket take is not the same.
    def recv_into(self, *arguments: Any) -> int:
        """As any socket's, within the budget."""
        self.settimeout(self.budget.seconds())
        count = super().recv_into(*arguments)
        self.budget.take(count)
        return count

    def send(self, *arguments: Any) -> int:
        """As any socket's, within the budget."""
        self.settimeout(self.budget.seconds())
        return super().send(*arguments)

    def sendall(self, *arguments: Any) -> None:
        """As any socket's, within the budget; its timeout is for all of the bytes."""
        self.settimeout(self.budget.seconds())
        super().sendall(*arguments)


class BoundedTLSSocket(BoundedSocket, ssl.SSLSocket):
    """A bounded socket under TLS; it counts decrypted bytes. The SSLContext creates it (`sslsocket_class`)."""
