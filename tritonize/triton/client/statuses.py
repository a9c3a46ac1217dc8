"""The errors that a status of HTTP or gRPC stands for, where a proxy and not Triton responds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from tritonize.core.errors import ServerError
from tritonize.core.messages import Message
from tritonize.core.messages import client as messages

_MESSAGES: Mapping[int, Message] = {
    HTTPStatus.UNAUTHORIZED: messages.UNAUTHORIZED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: messages.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: messages.FORBIDDEN,
    HTTPStatus.NOT_FOUND: messages.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: messages.REQUEST_TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS: messages.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY: messages.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE: messages.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: messages.GATEWAY_TIMEOUT,
}
OF_PROXIES = frozenset(int(each) for each in _MESSAGES) - {403, 404, 503} | {301, 302, 303, 307, 308}
"""Statuses that Triton itself never returns, whatever the body says. Source: `HttpCodeFromError` in server `http_server.cc`."""
CODES = frozenset(each.code for each in _MESSAGES.values()) | {messages.HTTP_STATUS.code, messages.REDIRECTED.code}
"""The codes of all errors of this module."""
_REDIRECTS = range(300, 400)
_FROM_SERVER = "SERVER: Received message larger"
_SIZE = "larger than max"
"""What gRPC says of a message above a limit, of the server's or of the client's; source: grpc `message_size_filter.cc`."""
_IN_GRPC = re.compile(r"http2 header with status: (\d{3})")
"""What gRPC says of a response that is not gRPC; source: grpc `hpack_parser`/`http_client_filter`."""


def error(status: int, reason: str, *, where: str, line: str, headers: Mapping[str, str]) -> ServerError:
    """The error of an HTTP response.

    Args:
        line: of its body.
        headers: of the response, with names in lower case.
    """
    text = f"HTTP status {status} ({reason[:80] or 'no reason'})"
    location = headers.get("location")
    if status in _REDIRECTS and location is not None:
        return ServerError.of(messages.REDIRECTED, where=where, found=line, status=text, target=_place(location))
    if status not in _MESSAGES:
        return ServerError.of(messages.HTTP_STATUS, where=where, found=line, status=text)
    return ServerError.of(_MESSAGES[status], where=where, found=line, status=text)


def in_grpc(text: str, status: str, *, where: str) -> ServerError | None:
    """The error of a proxy, or of a check of credentials, that ended a gRPC call; `None` for any other end.

    Args:
        text: of gRPC's error, which has no body.
        status: the name of gRPC's status.
    """
    if match := _IN_GRPC.search(text):
        number = int(match[1])
        return error(number, _reason(number), where=where, line="gRPC passes on no body", headers={})
    if "RESOURCE_EXHAUSTED" in status and text.startswith(_FROM_SERVER):
        return ServerError.of(messages.REQUEST_TOO_LARGE, where=where, found=text[:200], status="gRPC status RESOURCE_EXHAUSTED")
    if "RESOURCE_EXHAUSTED" in status and _SIZE not in text:
        return ServerError.of(messages.TOO_MANY_REQUESTS, where=where, found=text[:200], status="gRPC status RESOURCE_EXHAUSTED")
    if "UNAUTHENTICATED" in status:
        return ServerError.of(messages.UNAUTHORIZED, where=where, found=text[:200], status="gRPC status UNAUTHENTICATED")
    if "PERMISSION_DENIED" in status:
        return ServerError.of(messages.FORBIDDEN, where=where, found=text[:200], status="gRPC status PERMISSION_DENIED")
    return None


def _reason(status: int) -> str:
    return next((each.phrase for each in HTTPStatus if each == status), "")


def _place(location: str) -> str:
    """Scheme and host of a redirect's target; the rest of it may hold secrets."""
    try:
        parts = urlsplit(location)
        host = parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an invalid address"
    return f"{parts.scheme or 'the same scheme'}://{host}{port}" if host else "another path of the same host"
