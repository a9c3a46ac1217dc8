"""Parse server addresses; a password in an address never appears in a text or a representation."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.messages import client as messages

SCHEMES = {"http": False, "https": True, "grpc": False, "grpcs": True}
"""Scheme to whether it uses TLS."""
_SCHEME = re.compile(rf"({'|'.join(SCHEMES)})://")
_LABEL = 64
"""A label of a host name has fewer characters than this (63 at most, RFC 1035)."""
FORM = "https://host:port/path or grpcs://host:port; http and grpc without TLS"
PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}
"""The port of an address that has a scheme and names no port."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens. `str()` gives `host:port` and the path, never the credentials."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """Prefix of the path of every request, without a trailing slash."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The `authorization` header, if the address has a user or a password."""
    at: str = ""
    """The IP address to connect to instead of the host; the certificate and the `Host` header stay those of the host."""

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return SCHEMES[self.scheme]

    @property
    def authority(self) -> str:
        """`host:port`, with an IPv6 address in brackets."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def protocol(self) -> Literal["http", "grpc"]:
        """What is spoken there, with or without TLS."""
        return "http" if self.scheme.startswith("http") else "grpc"

    @property
    def host_header(self) -> str:
        """The authority as a request names it: without the port that the scheme implies."""
        return self.authority.rpartition(":")[0] if self.port == PORTS[self.scheme] else self.authority

    @property
    def url(self) -> str:
        """The whole address without credentials: `host:port` for plain HTTP and gRPC without a path, as `connect` takes it."""
        return f"{self.scheme}://{self.authority}{self.path}" if self.secure or self.path else self.authority

    @property
    def shown(self) -> str:
        """The address for reports, as `url`, with the IP address of a replica."""
        return f"{self.url}{f' at {self.at}' if self.at else ''}"

    def __str__(self) -> str:
        return f"{self.authority}{self.path}{f' at {self.at}' if self.at else ''}"


def parse(url: str, *, ports: Mapping[str, int] = PORTS, scheme: str = "http") -> Address:
    """Parse an address that a user wrote.

    Args:
        url: `scheme://user:password@host:port/path`; only the host is required.
        ports: the default port of each scheme.
        scheme: the default scheme.

    Raises:
        UsageError: the address is malformed; the error leaves out user and password.
    """
    full_url = url if "://" in url else f"{scheme}://{url}"
    try:
        parts = urlsplit(full_url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:  # the text of the exception may contain a part of the password
        raise _invalid(url, "host and port cannot be read") from None
    if parts.scheme not in SCHEMES:
        raise _invalid(url, f"unknown scheme {parts.scheme!r}")
    if not host or any(character <= " " or character == "\x7f" for character in full_url):
        raise _invalid(url, "no host" if not host else "spaces or control characters")
    if ":" not in host and not all(0 < len(label) < _LABEL for label in host.rstrip(".").split(".")):
        raise _invalid(url, "the host has an empty or too long part")
    if parts.query or parts.fragment or "@" in parts.path:
        raise _invalid(url, "a query, a fragment, or an @ after the host (in a password, write / as %2F and ? as %3F)")
    number = port if port is not None else ports.get(parts.scheme)
    if not number:
        raise _invalid(url, "no port")
    return Address(scheme=parts.scheme, host=host, port=number, path=parts.path.rstrip("/"), headers=_credentials(url, parts))


def located(url: str, options: ConnectionOptions, *, scheme: str, ports: Mapping[str, int] = PORTS) -> Address:
    """The address of a client, with the IP address that the options give for its host; see `parse`."""
    found = parse(url, ports=ports, scheme=scheme)
    return replace(found, at=options.at.get(found.host, ""))


def _credentials(url: str, parts: SplitResult) -> dict[str, str]:
    user, password = parts.username, parts.password
    if user is None and password is None:
        return {}
    plain = f"{unquote(user or '')}:{unquote(password or '')}".encode()
    if any(byte < 0x20 or byte == 0x7F for byte in plain):
        raise _invalid(url, "control characters in user or password")
    return {"authorization": f"Basic {base64.b64encode(plain).decode('ascii')}"}


def without_credentials(url: str) -> str:
    """The address for use in texts: everything before the last `@` is replaced by `…`."""
    before, at, tail = url.rpartition("@")
    scheme = _SCHEME.match(before)
    return f"{scheme[0] if scheme else ''}…@{tail}" if at else url


def _invalid(url: str, reason: str) -> UsageError:
    return UsageError.of(messages.ADDRESS, found=f"{without_credentials(url)}: {reason}", expected=FORM)
