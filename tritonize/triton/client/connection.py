"""One HTTP connection whose answers are bounded in bytes and in time. The one file that needs urllib3."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, IncompleteRead, InvalidChunkLength
from urllib3.response import BaseHTTPResponse

from tritonize.core import deadline, logs
from tritonize.core.errors import InferenceError, ServerError
from tritonize.core.messages import client as say
from tritonize.triton.client.address import Address
from tritonize.triton.client.sockets import BoundedSocket, BoundedTLSSocket, Budget, TooMuchError

Piece = bytes | memoryview

_LOG = logs.logger(__name__)
_FRAMING = 2**18
"""Bytes that status line, headers and the frames of chunks may take beside the body."""
_PIECE = 2**20


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, whole."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    def line(self) -> str:
        """The first line of the body that says something, shortened."""
        lines = self.body[:4096].decode("utf-8", "replace").splitlines()
        return next((line.strip()[:200] for line in lines if line.strip()), "nothing")


class Connection:
    """Kept open between requests; used in one thread. Redirects are not followed, and nothing is sent twice.

    Args:
        address: where the server is; its path leads every request's.
        timeout_s: seconds that one request may take, from the first byte sent to the last one received.
        headers: sent with every request.
        tls: for https; the system's certificates by default.
    """

    def __init__(
        self, address: Address, *, timeout_s: float, headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.timeout_s = timeout_s
        self.where = f"http, {address}"
        self._prefix = address.path
        self._headers = {**address.headers, **(headers or {})}
        self._budget = Budget()
        self._inner: _Plain | _Secure
        if address.secure:
            context = tls or ssl.create_default_context()
            context.sslsocket_class = BoundedTLSSocket
            self._inner = _Secure(address.host, address.port, ssl_context=context)
        else:
            self._inner = _Plain(address.host, address.port)
        self._inner.budget = self._budget

    def close(self) -> None:
        """Hang up; the next request connects again."""
        self._inner.close()

    def ask(
        self, method: str, path: str, *, limit: int, body: Sequence[Piece] = (), headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request and its whole answer.

        Args:
            path: below the address, without a leading slash.
            limit: bytes that the answer's body may have, also once it is decompressed.
            body: sent piece by piece, without a copy.

        Raises:
            ServerError: the server cannot be reached, is too slow, sends too much or no HTTP.
        """
        seconds = min(self.timeout_s, deadline.left())
        try:
            with _translated(self.where, self._budget, seconds, limit=limit):
                self._budget.start(seconds, limit + limit // 4 + _FRAMING)
                self._inner.timeout = self._budget.seconds()
                answer = self._exchange(method, path, limit, body=body, headers={**self._headers, **(headers or {})})
                _LOG.debug("%s %s: %d, %d bytes", method, path, answer.status, len(answer.body))
                return answer
        except BaseException:
            self.close()  # whatever is still on its way must not become part of the next answer
            raise

    def _exchange(self, method: str, path: str, limit: int, *, body: Sequence[Piece], headers: Mapping[str, str]) -> Answer:
        if not self._inner.is_closed and not self._inner.is_connected:
            self._inner.close()  # the server has hung up since the last request
        length = {"Content-Length": str(sum(map(len, body)))} if body or method == "POST" else {}
        self._inner.request(
            method,
            f"{self._prefix}/{path}",
            body=iter(body) if body else None,  # type: ignore[arg-type] # its stubs know no memoryview
            headers={"Accept-Encoding": "identity", **headers, **length},
            preload_content=False,
            decode_content=False,
        )
        response = self._inner.getresponse()
        content = _decoded(_content(response, limit), response.headers.get("content-encoding", ""), limit)
        found = {name.lower(): value for name, value in response.headers.items()}
        return Answer(status=response.status, reason=response.reason or "", headers=found, body=content)


class _Plain(HTTPConnection):
    budget: Budget

    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        bounded = BoundedSocket(plain.family, plain.type, plain.proto, plain.detach())
        bounded.budget = self.budget
        return bounded


class _Secure(HTTPSConnection):
    """Its context makes its sockets, after the handshake, which has the connection's own timeout."""

    budget: Budget

    def connect(self) -> None:
        super().connect()
        if not isinstance(self.sock, BoundedTLSSocket):
            raise TypeError("the TLS context made a socket without bounds")
        self.sock.budget = self.budget


def _content(response: BaseHTTPResponse, limit: int) -> bytes:
    """The body as it was sent. Nothing is reserved for a length that was promised and is too large."""
    promised = getattr(response, "length_remaining", None)
    if promised is not None and promised > limit:
        raise TooMuchError
    pieces: list[bytes] = []
    total = 0
    for piece in response.stream(max(promised or 0, _PIECE), decode_content=False):
        pieces.append(piece)
        total += len(piece)
        if total > limit:
            raise TooMuchError
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _decoded(content: bytes, encoding: str, limit: int) -> bytes:
    if encoding.strip().lower() in ("", "identity"):
        return content
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        raise zlib.error(f"Content-Encoding {encoding!r} was not asked for")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, as its head says
    found = decoder.decompress(content, limit + 1)
    if len(found) > limit:
        raise TooMuchError
    if not decoder.eof:
        raise zlib.error("the compressed answer is incomplete")
    return found


@contextlib.contextmanager
def _translated(where: str, budget: Budget, seconds: float, *, limit: int) -> Iterator[None]:
    """Turn what sockets and the library raise into an error that says what the server did."""
    try:
        yield
    except TooMuchError as error:
        raise ServerError.of(say.ANSWER_TOO_LARGE, where=where, expected=f"at most {limit:,} bytes") from error
    except zlib.error as error:
        raise InferenceError.of(say.ANSWER_UNSOUND, where=where, found=str(error)) from error
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        causes = list(_chain(error))
        if budget.expired or any(isinstance(each, TimeoutError) for each in causes):
            raise ServerError.of(say.SERVER_SILENT, where=where, seconds=max(seconds, 0.0)) from error
        found = _line(causes)
        if any(isinstance(each, ssl.SSLError) for each in causes):
            raise ServerError.of(say.TLS_FAILED, where=where, found=found) from error
        if any(isinstance(each, InvalidChunkLength) for each in causes):  # urllib3 counts it among the incomplete reads
            raise ServerError.of(say.NOT_HTTP, where=where, found=found) from error
        if any(isinstance(each, IncompleteRead | http.client.IncompleteRead) for each in causes):
            raise ServerError.of(say.ANSWER_ENDED, where=where, found=found) from error
        if any(isinstance(each, ConnectionError) for each in causes):
            raise ServerError.of(say.SERVER_UNREACHABLE, where=where, found=found) from error
        if any(isinstance(each, http.client.HTTPException | ValueError) for each in causes):
            raise ServerError.of(say.NOT_HTTP, where=where, found=found) from error
        raise ServerError.of(say.SERVER_UNREACHABLE, where=where, found=found) from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it, innermost last; urllib3 puts some causes into the arguments."""
    while error is not None:
        yield error
        yield from (each for each in error.args if isinstance(each, BaseException))
        error = error.__cause__ or error.__context__


def _line(causes: Sequence[BaseException]) -> str:
    """What the innermost cause says, in one line."""
    text = next((str(each) for each in reversed(causes) if str(each).strip()), type(causes[0]).__name__)
    return text.splitlines()[0][:300]
