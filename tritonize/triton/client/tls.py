"""TLS for both protocols from one set of options: the same authorities, the same client certificate."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import ServerError, UsageError
from tritonize.core.messages import client as messages
from tritonize.triton.client.address import Address

if TYPE_CHECKING:
    import grpc

_HANDSHAKE_S = 10.0
_ALPN = ["h2"]


def context(options: ConnectionOptions) -> ssl.SSLContext:
    """The context of an HTTP connection.

    Raises:
        UsageError: a file cannot be read, or is no certificate or key.
    """
    with _readable(options.ca, "--ca"):
        created = ssl.create_default_context(cafile=options.ca)
    if options.insecure:
        created.check_hostname = False
        created.verify_mode = ssl.CERT_NONE
    if options.certificate is not None:
        with _readable(options.key or options.certificate, "--cert, --key"):
            # The password is asked for on the terminal without one.
            created.load_cert_chain(options.certificate, options.key, password="")
    return created


_REJECTED = (
    "certificate_verify_failed",
    "certificate verify failed",
    "hostname mismatch",
    "hostname verification",
    "peer name",
    "ip address mismatch",
)
_CLIENT = ("certificate_required", "certificate required", "handshake_failure", "bad_certificate", "unknown_ca", "unknown ca")


def failure(text: str, where: str) -> ServerError:
    """The error for a failure of TLS, by the text of OpenSSL or of gRPC."""
    lower = text.lower()
    if any(sign in lower for sign in _REJECTED):
        return ServerError.of(messages.CERTIFICATE_REJECTED, where=where, found=text)
    if any(sign in lower for sign in _CLIENT):
        return ServerError.of(messages.CLIENT_CERTIFICATE, where=where, found=text)
    return ServerError.of(messages.TLS_FAILED, where=where, found=text)


class Credentials(NamedTuple):
    """What a gRPC channel with TLS needs."""

    channel: grpc.ChannelCredentials
    name: str
    """The name that the server's certificate has to have."""


def credentials(address: Address, options: ConnectionOptions) -> Credentials:
    """The credentials of a gRPC channel. gRPC cannot skip the check, so `insecure` trusts the certificate that the server sends.

    Raises:
        UsageError: a file cannot be read, or is no certificate or key.
        ServerError: `insecure`, and the server sends no certificate.
    """
    import grpc

    context(options)  # gRPC accepts a file without certificates, and fails later without a reason
    roots, name = _roots(options.ca), address.host
    if options.insecure:
        roots, name = _sent(address, options)
    chain = options.certificate.read_bytes() if options.certificate else None
    key = (options.key or options.certificate).read_bytes() if options.certificate else None
    return Credentials(grpc.ssl_channel_credentials(roots, key, chain), name)


def _roots(ca: Path | None) -> bytes | None:
    """The certificates of the authorities; `None` for those that gRPC brings, on a system without any."""
    system = ssl.get_default_verify_paths().cafile
    path = ca or (Path(system) if system else None)
    return path.read_bytes() if path is not None else None


def _sent(address: Address, options: ConnectionOptions) -> tuple[bytes, str]:
    """The certificate that a server sends, in PEM form, and a name in it."""
    try:
        pem = ssl.DER_cert_to_PEM_cert(_certificate(address, context(options)))
        trusting = ssl.create_default_context(cadata=pem)
        trusting.check_hostname = False
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if options.certificate is not None:
            trusting.load_cert_chain(options.certificate, options.key, password="")
        with _connected(address, trusting) as peer:
            fields = peer.getpeercert() or {}
    except (OSError, ValueError) as error:
        raise ServerError.of(messages.TLS_FAILED, where=f"grpc, {address}", found=str(error)[:300]) from error
    pairs: Sequence[tuple[str, str]] = fields.get("subjectAltName", ())  # type: ignore[assignment] # typed as any field
    names = [value for kind, value in pairs if kind in ("DNS", "IP Address")]
    return pem.encode(), address.host if address.host in names or not names else names[0].replace("*", "any")


def _certificate(address: Address, trusting: ssl.SSLContext) -> bytes:
    with _connected(address, trusting) as peer:
        found = peer.getpeercert(binary_form=True)
    if found is None:
        raise ssl.SSLError("the server sends no certificate")
    return found


@contextlib.contextmanager
def _connected(address: Address, trusting: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    trusting.set_alpn_protocols(_ALPN)
    with (
        socket.create_connection((address.at or address.host, address.port), timeout=_HANDSHAKE_S) as plain,
        trusting.wrap_socket(plain, server_hostname=address.host) as peer,
    ):
        yield peer


@contextlib.contextmanager
def _readable(path: Path | None, option: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise UsageError.of(messages.TLS_FILE, where=str(path), found=str(reason)[:200], option=option) from error
