"""Sockets on which a whole request has one deadline and one bound of bytes, whatever the other side sends."""

from __future__ import annotations

import math
import socket
import ssl
import time
from typing import Any

_LEAST_S = 0.001  # a timeout of 0 would mean "do not wait at all"


class TooMuchError(Exception):
    """More bytes arrived than the request allows. No OSError: HTTP libraries would wrap it."""


class Budget:
    """What one request may still take. One for each connection, started anew for each request."""

    def __init__(self) -> None:
        self._end = math.inf
        self._bytes = math.inf

    def start(self, seconds: float, nbytes: int) -> None:
        """A request begins: it may take so many seconds in all, and receive so many bytes."""
        self._end = time.monotonic() + seconds
        self._bytes = nbytes

    def seconds(self) -> float | None:
        """Seconds that are left; `None` where there is no end. Raises TimeoutError."""
        if self._end == math.inf:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time of the request is used up")
        return max(left, _LEAST_S)

    @property
    def expired(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() >= self._end

    def take(self, count: int) -> None:
        """So many bytes arrived. Raises TooMuchError."""
        self._bytes -= count
        if self._bytes < 0:
            raise TooMuchError


class BoundedSocket(socket.socket):
    """A socket that asks its budget before it waits. A timeout of each read alone would let a server drip for ever."""

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
    """The same under TLS; the bytes that are counted are the decrypted ones. An SSLContext makes them (`sslsocket_class`)."""
