"""One HTTP connection whose responses are limited in bytes and in time. Only this file needs urllib3."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, IncompleteRead, InvalidChunkLength
from urllib3.response import BaseHTTPResponse

from tritonize.core import deadline, logs
from tritonize.core.connection_options import Compression, ConnectionOptions
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as messages
from tritonize.triton.client import tls
from tritonize.triton.client.address import Address
from tritonize.triton.client.sockets import BoundedSocket, BoundedTLSSocket, Budget, TooMuchError

Piece = bytes | memoryview

_LOG = logs.logger(__name__)
_FRAMING = 2**18
"""Bytes allowed for the status line, the headers and the chunk framing, in addition to the body."""
_PIECE = 2**20
_TAG = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[!/a-zA-Z][^<>]*>", re.DOTALL)
_WINDOW = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_PROBES = 3
"""Keep-alive probes without a response after which the operating system closes a connection."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """One complete HTTP response."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    def line(self) -> str:
        """The first line of the body with text, shortened; of a page its title or first words, not its tags."""
        return first_line(self.body[:4096].decode("utf-8", "replace"))


def first_line(text: str) -> str:
    """The first line with text, shortened, without the tags of a page."""
    plain = _TAG.sub("", text)
    return next((line.strip()[:200] for line in plain.splitlines() if line.strip()), "nothing")


class Connection:
    """A connection that stays open between requests, for use in one thread. It follows no redirects and never retries.

    Args:
        address: of the server; its path is the prefix of every request's path.
        timeout_s: seconds that one request may take, from the first byte sent to the last byte received.
        headers: sent with every request.
        options: certificates, compression and keep-alive.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        options: ConnectionOptions = ConnectionOptions(),  # noqa: B008 - frozen
    ) -> None:
        self.timeout_s = timeout_s
        self.where = f"http, {address}"
        self._prefix = address.path
        self._headers = {**address.headers, **(headers or {})}
        if address.at:
            self._headers["Host"] = address.host_header
        self._compression = options.compression
        self._closes = options.keep_alive_s == 0
        if self._closes:
            self._headers["Connection"] = "close"
        self._budget = Budget()
        self._inner: _Plain | _Secure
        place, socket_options = address.at or address.host, [*HTTPConnection.default_socket_options, *_probes(options)]
        if address.secure:
            context = tls.context(options)
            context.sslsocket_class = BoundedTLSSocket
            self._inner = _Secure(
                place, address.port, ssl_context=context, server_hostname=address.host, socket_options=socket_options
            )
        else:
            self._inner = _Plain(place, address.port, socket_options=socket_options)
        self._inner.budget = self._budget

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        self._inner.close()

    def request(
        self, method: str, path: str, *, limit: int, body: Sequence[Piece] = (), headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send one request and read the complete response.

        Args:
            path: relative to the address, without a leading slash.
            limit: largest body of the response in bytes, compressed and decompressed.
            body: sent piece by piece, without a copy.

        Raises:
            ServerError: the server cannot be reached, is too slow, sends too much or does not speak HTTP.
        """
        seconds = min(self.timeout_s, deadline.left())
        try:
            with _translate_errors(self.where, self._budget, seconds, limit=limit):
                self._budget.start(seconds, limit + limit // 4 + _FRAMING)
                self._inner.timeout = self._budget.seconds()
                response = self._exchange(method, path, limit, body=body, headers={**self._headers, **(headers or {})})
                _LOG.debug("%s %s: %d, %d bytes", method, path, response.status, len(response.body))
                return response
        except BaseException:
            self.close()  # bytes that arrive late must not be read as the next response
            raise

    def _exchange(self, method: str, path: str, limit: int, *, body: Sequence[Piece], headers: Mapping[str, str]) -> Response:
        if not self._inner.is_closed and not self._inner.is_connected:
            self._inner.close()  # the server has closed the connection since the last request
        content = list(_compressed(body, self._compression)) if self._compression else body
        length = {"Content-Length": str(sum(map(len, content)))} if body or method == "POST" else {}
        coding = {"Content-Encoding": self._compression} if self._compression and body else {}
        self._inner.request(
            method,
            f"{self._prefix}/{path}",
            body=iter(content) if body else None,  # type: ignore[arg-type] # its type stubs do not list memoryview
            headers={"Accept-Encoding": self._compression or "identity", **headers, **coding, **length},
            preload_content=False,
            decode_content=False,
        )
        response = self._inner.getresponse()
        try:
            received = _decompressed(_content(response, limit), response.headers.get("content-encoding", ""), limit)
        except BaseException:
            response.close()  # else its file keeps the socket open until it is collected
            raise
        if self._closes:
            self.close()
        received_headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(status=response.status, reason=response.reason or "", headers=received_headers, body=received)


def _probes(options: ConnectionOptions) -> Iterator[tuple[int, int, int]]:
    """Socket options that keep an idle connection open through a firewall."""
    if options.keep_alive_s:
        seconds = max(1, round(options.keep_alive_s))
        yield socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
        yield socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds
        yield socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds
        yield socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES


def _compressed(body: Sequence[Piece], kind: Compression) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=_WINDOW[kind])
    yield from (packed for piece in body if (packed := packer.compress(piece)))
    yield packer.flush()


class _Plain(HTTPConnection):
    budget: Budget

    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        bounded = BoundedSocket(plain.family, plain.type, plain.proto, plain.detach())
        bounded.budget = self.budget
        return bounded


class _Secure(HTTPSConnection):
    """The TLS context creates the socket after the handshake, so the connection's own timeout bounds the handshake."""

    budget: Budget

    def connect(self) -> None:
        super().connect()
        if not isinstance(self.sock, BoundedTLSSocket):
            raise TypeError("the TLS context created a socket that is not a BoundedTLSSocket")
        self.sock.budget = self.budget


def _content(response: BaseHTTPResponse, limit: int) -> bytes:
    """The body as it was sent. A Content-Length above the limit fails before any memory is allocated for it."""
    declared_length = getattr(response, "length_remaining", None)
    if declared_length is not None and declared_length > limit:
        raise TooMuchError
    pieces: list[bytes] = []
    total = 0
    for piece in response.stream(max(declared_length or 0, _PIECE), decode_content=False):
        pieces.append(piece)
        total += len(piece)
        if total > limit:
            raise TooMuchError
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _decompressed(content: bytes, encoding: str, limit: int) -> bytes:
    if encoding.strip().lower() in ("", "identity"):
        return content
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise zlib.error(f"unexpected Content-Encoding {encoding!r}; tritonize reads identity, gzip and deflate")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, detected from the header
    plain = decoder.decompress(content, limit + 1)
    if len(plain) > limit:
        raise TooMuchError
    if not decoder.eof:
        raise zlib.error("the compressed response is incomplete")
    return plain


@contextlib.contextmanager
def _translate_errors(where: str, budget: Budget, seconds: float, *, limit: int) -> Iterator[None]:
    """Turn exceptions of sockets and of urllib3 into a ServerError that states what the server did."""
    try:
        yield
    except TooMuchError as error:
        raise ServerError.of(messages.RESPONSE_TOO_LARGE, where=where, expected=f"at most {limit:,} bytes") from error
    except zlib.error as error:
        raise InferenceError.of(messages.RESPONSE_INVALID, where=where, found=str(error)) from error
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        causes = list(_causes(error))
        if budget.expired or any(isinstance(each, TimeoutError) for each in causes):
            raise ServerError.of(messages.SERVER_SILENT, where=where, seconds=max(seconds, 0.0)) from error
        text = _line(causes)
        if any(isinstance(each, ssl.SSLError) for each in causes):
            raise tls.failure(text, where) from error
        if any(isinstance(each, InvalidChunkLength) for each in causes):  # a subclass of IncompleteRead, so it comes first
            raise ServerError.of(messages.NOT_HTTP, where=where, found=text) from error
        if any(isinstance(each, IncompleteRead | http.client.IncompleteRead) for each in causes):
            raise ServerError.of(messages.RESPONSE_ENDED, where=where, found=text) from error
        if any(isinstance(each, ConnectionError) for each in causes):
            raise ServerError.of(messages.SERVER_UNREACHABLE, where=where, found=text) from error
        if any(isinstance(each, http.client.HTTPException | ValueError) for each in causes):
            raise ServerError.of(messages.NOT_HTTP, where=where, found=text) from error
        raise ServerError.of(messages.SERVER_UNREACHABLE, where=where, found=text) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, innermost last; urllib3 puts some causes into the arguments."""
    while error is not None:
        yield error
        yield from (each for each in error.args if isinstance(each, BaseException))
        error = error.__cause__ or error.__context__


def _line(causes: Sequence[BaseException]) -> str:
    """The first line of the text of the innermost cause."""
    text = next((str(each) for each in reversed(causes) if str(each).strip()), type(causes[0]).__name__)
    return text.splitlines()[0][:300]
