"""Find out what listens on a port that does not respond as expected: swapped ports, TLS on a plain port, another service."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tritonize.core import deadline
from tritonize.core.errors import ServerError
from tritonize.core.messages import client as messages
from tritonize.triton.client.address import Address

_PROBE_S = 3.0
"""Seconds for each of the at most three connections; the request itself has failed before."""
_ENOUGH = 16
"""Bytes that tell the protocols apart."""
_REQUEST = b"GET /v2 HTTP/1.1\r\nHost: tritonize\r\nConnection: close\r\n\r\n"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The start of a connection of HTTP/2: the preface, and an empty frame of settings."""
_SETTINGS = 4
_HEAD = 9
"""Bytes of the head of an HTTP/2 frame; the fourth is its type."""

_EXPLAINED = frozenset(
    (
        messages.SERVER_UNREACHABLE.code,
        messages.NOT_HTTP.code,
        messages.TLS_FAILED.code,
        messages.RESPONSE_ENDED.code,
        messages.SERVER_SILENT.code,
        messages.HTTP_STATUS.code,
    )
)
"""Codes of the errors that a wrong protocol can have."""

Protocol = Literal["http", "grpc", "both", "other"]


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """What a port speaks. No credentials are sent to find out."""

    protocol: Protocol
    secure: bool


def explain(address: Address, error: ServerError) -> ServerError:
    """The error that says what listens at the address; the given one if that is not known, or as the address says."""
    if error.code not in _EXPLAINED or (found := spoken(address)) is None:
        return error
    where, protocol = f"{address.protocol}, {address}", address.protocol
    line = error.found if error.found and error.found.isprintable() else None  # the bytes of another protocol tell nobody anything
    if found.secure is not address.secure:
        right = _instead(address, found.protocol if found.protocol != "both" else protocol, secure=found.secure)
        if found.secure:
            return ServerError.of(messages.PLAIN_ON_TLS_PORT, where=where, found=line, address=right)
        if found.protocol == "other":
            return ServerError.of(messages.OTHER_PROTOCOL, where=where, found=line)
        name = _NAMES[found.protocol]
        return ServerError.of(messages.TLS_ON_PLAIN_PORT, where=where, found=line, protocol=name, address=right)
    if found.protocol in ("http", "grpc") and found.protocol != protocol:
        right = _instead(address, found.protocol, secure=found.secure)
        if found.secure and protocol == "grpc":
            return ServerError.of(messages.NO_HTTP2, where=where, found=line, address=right)
        there, wanted = _NAMES[found.protocol], _NAMES[protocol]
        return ServerError.of(messages.SWAPPED_PORT, where=where, found=line, address=right, found_protocol=there, protocol=wanted)
    if found.protocol == "other":
        return ServerError.of(messages.OTHER_PROTOCOL, where=where, found=line)
    return error


_NAMES = {"http": "HTTP", "grpc": "gRPC (HTTP/2)", "both": "HTTP and gRPC"}


def _instead(address: Address, protocol: Protocol, *, secure: bool) -> str:
    """The address with another scheme; the port stays."""
    scheme = {"grpc": ("grpc", "grpcs")}.get(protocol, ("http", "https"))[secure]
    path = "" if protocol == "grpc" else address.path
    return f"{scheme}://{address.authority}{path}"


def spoken(address: Address) -> Spoken | None:
    """What the port speaks; `None` if nothing listens there, or it says nothing."""
    start = _said(address, _REQUEST)
    if start is None:
        return None
    if _is_settings(start):
        return Spoken(protocol="grpc", secure=False)
    page = start.startswith(b"HTTP/1.")
    if page and not start[9:].startswith(b"400"):  # what servers with TLS say to a request without it
        return Spoken(protocol="http", secure=False)
    try:
        return Spoken(protocol=_tls(address), secure=True)
    except (OSError, ValueError):
        pass
    if page:
        return Spoken(protocol="http", secure=False)
    if _is_settings(_said(address, _PREFACE) or b""):
        return Spoken(protocol="grpc", secure=False)
    return Spoken(protocol="other", secure=False) if start else None


def _tls(address: Address) -> Protocol:
    """What a port with TLS speaks, by the protocol that it selects. Raises OSError if it has no TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with _connected(address) as plain, context.wrap_socket(plain, server_hostname=address.host) as peer:
        if peer.selected_alpn_protocol() != "h2":
            return "http"
    context.set_alpn_protocols(["http/1.1"])
    try:
        with _connected(address) as plain, context.wrap_socket(plain, server_hostname=address.host) as peer:
            return "both" if peer.selected_alpn_protocol() == "http/1.1" else "grpc"
    except OSError:  # gRPC's servers refuse a client that does not speak HTTP/2
        return "grpc"


def _said(address: Address, words: bytes) -> bytes | None:
    """The first bytes of a response; `None` if nothing listens, or it stays silent."""
    content = b""
    try:
        with _connected(address) as peer:
            with contextlib.suppress(OSError):  # a server that has already closed
                peer.sendall(words)
            while len(content) < _ENOUGH and not _is_settings(content) and (piece := peer.recv(_ENOUGH)):
                content += piece
    except OSError:  # also a timeout
        return content or None
    return content


def _is_settings(start: bytes) -> bool:
    return len(start) >= _HEAD and start[0] == 0 and start[3] == _SETTINGS


@contextlib.contextmanager
def _connected(address: Address) -> Iterator[socket.socket]:
    seconds = min(_PROBE_S, deadline.left())
    if seconds <= 0:
        raise TimeoutError
    with socket.create_connection((address.at or address.host, address.port), timeout=seconds) as peer:
        yield peer
