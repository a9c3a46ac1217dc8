"""Connect to a running server by its addresses: over HTTP, gRPC or both, with or without TLS."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from tritonize.core import deadline
from tritonize.core.artifacts import ServerHandle
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import InferenceError, ServerError, TritonizeError, UsageError
from tritonize.core.messages import client as messages
from tritonize.triton import client
from tritonize.triton.client import diagnosis, refusals, tls
from tritonize.triton.client.address import FORM, Address, located, without_credentials
from tritonize.triton.client.refusals import Refusal
from tritonize.triton.client.shared_memory import SharedMemoryClient
from tritonize.triton.load_failures import lookup
from tritonize.triton.server import log

T = TypeVar("T")
_SHORT_PORTS = {"http": 8000, "grpc": 8001}
"""Triton's own ports, for an address that is only a host."""
_GREETING_S = 30.0
"""Timeout in seconds for requests of server metadata."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_INTERVAL_S = 0.5
"""Seconds between two looks at a server that is not ready."""
_NOT_YET = frozenset(
    (
        messages.SERVER_UNREACHABLE.code,
        messages.SERVER_SILENT.code,
        messages.RESPONSE_ENDED.code,
        messages.UNAVAILABLE.code,
        messages.BAD_GATEWAY.code,
        messages.GATEWAY_TIMEOUT.code,
        messages.REFUSED.code,
    )
)
"""Codes of errors that a server which is starting may cause. Waiting does not make a wrong address or credentials right."""


def remote(
    urls: Sequence[str],
    *,
    headers: Mapping[str, Mapping[str, str]] | None = None,
    options: ConnectionOptions = ConnectionOptions(),  # noqa: B008 - frozen
) -> ServerHandle:
    """Connect to one running server by its HTTP address, its gRPC address, or both; see `addresses` for their forms.

    Args:
        urls: its addresses.
        headers: sent with every request, by protocol.
        options: certificates, further headers, limits, and how long to wait for the server.

    User and password of an address become the header `authorization`, which no report and no error contains.

    Raises:
        UsageError: an address is malformed.
        ServerError: nothing responds at an address, or the service there is not Triton.
    """
    require_sound(urls, options)
    end = time.monotonic() + options.wait_s
    found: dict[str, Address] = {}
    for each in (address for url in urls for address in _probed(url, options, end)):
        if found.setdefault(each.protocol, each) != each:
            both = f"{found[each.protocol].authority}, {each.authority}"
            raise UsageError.of(messages.TWO_ADDRESSES, scheme=each.protocol, found=both)
    known = _handle(found, headers or {}, options)
    identity: dict[str, str] = {}
    for protocol, address in found.items():
        identity["tritonserver"] = _until(end, functools.partial(_version, known, address))
        identity[f"at {protocol}"] = address.shown
    return replace(known, local="grpc" in found and _shares_memory(known, found["grpc"]), identity=identity)


def await_model(server: ServerHandle, model: str, version: int) -> None:
    """Wait until the server reports a model as ready, as long as `server.options.wait_s` says; 0 does not ask.

    Raises:
        ServerError: it does not become ready, or the server cannot be reached.
    """
    if not server.options.wait_s:
        return
    end = time.monotonic() + server.options.wait_s
    with client.connect_to(server, "grpc" if server.grpc_url else "http", timeout_s=_GREETING_S) as connection:
        while not connection.model_ready(model, str(version)):
            if min(end - time.monotonic(), deadline.left()) <= 0:
                raise _not_ready(connection, model, version, seconds=server.options.wait_s)
            time.sleep(_INTERVAL_S)


def _not_ready(connection: client.Client, model: str, version: int, *, seconds: float) -> ServerError:
    reason = refusal(connection, model, version)
    known = lookup.explain(reason) if reason else None
    return ServerError.of(
        messages.MODEL_NOT_READY,
        where=f"{connection.where}: {known.where}" if known else connection.where,
        found=reason,
        model=model,
        version=version,
        seconds=seconds,
        cause=known.cause if known else "the server is still loading it, or could not load it",
        next_step=known.fix if known else "raise --wait, or read the server's log",
    )


def why_not_loaded(server: ServerHandle, model: str, version: int) -> str | None:
    """Reason, cause and fix of a version that a server could not load, in one line; `None` if its index gives no reason."""
    with client.connect_to(server, "grpc" if server.grpc_url else "http", timeout_s=_GREETING_S) as connection:
        return explained(refusal(connection, model, version))


def explained(reason: str | None) -> str | None:
    """A server's reason with its cause and fix, as far as it is known."""
    known = lookup.explain(reason) if reason else None
    return f"{reason}; likely cause: {known.cause}; next: {known.fix} ({known.where})" if known else reason


def refusal(connection: client.Client, model: str, version: int) -> str | None:
    """The reason that the server's repository index gives for a version that is not loaded; `None` if it gives none.

    The index may require a header that this connection does not send.
    """
    try:
        index = connection.model_index()
    except (InferenceError, ServerError):
        return None
    entries = [entry for entry in index if entry.get("name") == model and entry.get("state") == "UNAVAILABLE"]
    own = [entry for entry in entries if entry.get("version", "") in ("", str(version))]
    return next((log.plain(reason) for entry in own if (reason := entry.get("reason"))), None)


def notes(urls: Sequence[str], options: ConnectionOptions) -> Iterator[str]:
    """What a reader of a report has to know about these connections."""
    if options.insecure:
        yield messages.INSECURE.text()
    for url in urls:
        for address in addresses(url, options)[:1]:
            sent = {**address.headers, **options.headers}
            if sent and not address.secure and address.host not in _LOOPBACK:
                yield messages.SENT_IN_CLEAR.text(host=address.host)


def require_sound(urls: Sequence[str], options: ConnectionOptions) -> None:
    """Fail if an address is malformed, or options for TLS are given and no address has TLS; no request is sent.

    Raises:
        UsageError: as said.
    """
    found = [address for url in urls for address in addresses(url, options)]
    given = {"--ca": options.ca, "--cert": options.certificate, "--key": options.key, "--insecure": options.insecure}
    names = [name for name, value in given.items() if value]
    if names and not any(address.secure for address in found):
        raise UsageError.of(messages.OPTION_WITHOUT_TLS, found=", ".join(map(str, found)), options=", ".join(names))
    if any(address.secure for address in found):
        tls.context(options)


def addresses(url: str, options: ConnectionOptions) -> tuple[Address, ...]:
    """The possible addresses of one `--url`, without a request.

    With a scheme there is one, whose port is the scheme's unless it names one. `host:port` may be HTTP or gRPC; `host` is Triton's
    own ports: 8000 for HTTP and 8001 for gRPC.

    Raises:
        UsageError: an address is malformed, or has a path and is for gRPC.
    """
    if "://" in url:
        found = located(url, options, scheme="http")
        if found.protocol == "grpc" and found.path:
            right = f"{found.scheme}://{found.authority}"
            raise UsageError.of(messages.GRPC_PATH, found=without_credentials(url), expected=FORM, address=right)
        return (found,)
    short = [located(f"{scheme}://{url}", options, scheme=scheme, ports=_SHORT_PORTS) for scheme in _SHORT_PORTS]
    return (short[0],) if short[0].path else tuple(short)


def _probed(url: str, options: ConnectionOptions, end: float) -> tuple[Address, ...]:
    """The addresses of one `--url` at which something responds; a short form is asked what it speaks."""
    possible = addresses(url, options)
    if len(possible) == 1:
        return possible

    def look() -> tuple[Address, ...]:
        speaking = tuple(each for each in possible if (said := diagnosis.spoken(each)) and said.protocol == each.protocol)
        if not speaking:
            raise ServerError.of(messages.SERVER_UNREACHABLE, where=", ".join(f"{each.protocol}, {each}" for each in possible))
        return speaking

    try:
        return _until(end, look)
    except ServerError:
        return possible[:1]  # the request itself says what is wrong there


def _until(end: float, look: Callable[[], T]) -> T:
    """The result of `look`, tried again until `end` while the server is not ready."""
    while True:
        try:
            return look()
        except TritonizeError as error:
            if error.code not in _NOT_YET or min(end - time.monotonic(), deadline.left()) <= 0:
                raise
        time.sleep(_INTERVAL_S)


def _version(server: ServerHandle, address: Address) -> str:
    """The server's version. Raises the error that says what responds there instead."""
    transport = address.protocol
    try:
        with client.connect_to(server, transport, timeout_s=_GREETING_S) as connection:
            try:
                metadata = connection.server_metadata()
            except InferenceError as error:
                if refusals.kind(error) is not Refusal.RESTRICTED:
                    raise
                return messages.RESTRICTED_VERSION.text()
            if "version" not in metadata or "extensions" not in metadata:
                raise ServerError.of(messages.NO_TRITON, where=connection.where, found=str(metadata)[:200])
            return str(metadata["version"])
    except ServerError as error:
        if (explained := diagnosis.explain(address, error)) is error:
            raise
        raise explained from error


def _handle(found: Mapping[str, Address], headers: Mapping[str, Mapping[str, str]], options: ConnectionOptions) -> ServerHandle:
    """The server at these addresses, with the credentials in the addresses."""
    urls = {protocol: address.url for protocol, address in found.items()}
    return ServerHandle(
        http_url=urls.get("http", ""),
        grpc_url=urls.get("grpc", ""),
        headers={
            protocol: {**address.headers, **options.headers, **headers.get(protocol, {})} for protocol, address in found.items()
        },
        options=options,
    )


def _shares_memory(server: ServerHandle, address: Address) -> bool:
    if address.host not in _LOOPBACK:
        return False
    with client.connect_to(server, "shm", timeout_s=_GREETING_S) as connection:
        assert isinstance(connection, SharedMemoryClient)
        return connection.shares_memory()
