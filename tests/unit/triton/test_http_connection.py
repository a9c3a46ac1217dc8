"""One HTTP connection: paths, headers, TLS, and what becomes of it between requests."""

from __future__ import annotations

import json
import socket
import ssl
import time

import pytest

from tests.support import hostile_server as hostile
from tests.support.command import CHECKOUT
from tests.support.hostile_server import http, listening
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import ServerError
from tritonize.triton.client import address
from tritonize.triton.client.connection import Connection

TLS = CHECKOUT / "tests" / "support" / "tls"
"""A certificate of 127.0.0.1 that only these tests trust."""
TRUSTING = ConnectionOptions(ca=TLS / "certificate.pem")


def echo(peer: socket.socket) -> None:
    """Answers every request on a connection with its own head."""
    while True:
        peer.sendall(http(json.dumps(hostile.request(peer).decode().splitlines()).encode()))


def opened(where: str, *, scheme: str = "http", path: str = "", timeout_s: float = 5.0, **options: object) -> Connection:
    place = address.parse(f"{scheme}://{where}{path}", ports={})
    return Connection(place, timeout_s=timeout_s, **options)  # type: ignore[arg-type]


def lines(connection: Connection, path: str = "v2") -> list[str]:
    return [line.lower() for line in json.loads(connection.request("GET", path, limit=10_000).body)]


def test_requests_share_a_connection_with_path_and_headers() -> None:
    peers: list[object] = []

    def behave(peer: socket.socket) -> None:
        peers.append(peer)
        echo(peer)

    with listening(behave) as where:
        connection = opened(where, path="/a/b/", headers={"Triton-Key": "k"})
        for _ in range(3):
            found = lines(connection)
            assert found[0] == "get /a/b/v2 http/1.1"
            assert {"triton-key: k", f"host: {where}"} <= set(found)
        connection.close()
    assert len(peers) == 1


def test_a_connection_closed_between_requests_is_opened_again() -> None:
    with listening(hostile.saying(http(b"1"))) as where:
        connection = opened(where)
        for _ in range(3):
            assert connection.request("GET", "v2", limit=10).body == b"1"
            time.sleep(0.02)  # so that the end of the connection arrives
        connection.close()


def test_the_rest_of_a_failed_response_is_not_read_as_the_next_one() -> None:
    def behave(peer: socket.socket) -> None:
        hostile.request(peer)
        peer.sendall(http(b"x" * 100))
        echo(peer)

    with listening(behave) as where:
        connection = opened(where)
        with pytest.raises(ServerError) as caught:
            connection.request("GET", "v2", limit=10)
        assert caught.value.code == "answer-too-large"
        assert connection.request("GET", "v2", limit=100).body == b"x" * 100  # a new connection, from its start
        connection.close()


def test_tls_certificates_are_checked_and_limits_apply() -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    with listening(echo, tls=server) as where:
        trusting = opened(where, scheme="https", options=TRUSTING)
        for _ in range(2):
            assert lines(trusting)[0] == "get /v2 http/1.1"
        trusting.close()
        with pytest.raises(ServerError) as caught:
            opened(where, scheme="https").request("GET", "v2", limit=10_000)
        assert caught.value.code == "certificate-rejected"
        assert "certificate" in str(caught.value.found).lower()
    first = b"HTTP/1.1 200 OK\r\n"
    endless = hostile.endless(first + b"\r\n", b" " * 2**20)
    for behaviour, code in ((hostile.dripping(first * 100), "server-silent"), (endless, "answer-too-large")):
        with listening(behaviour, tls=server) as where, pytest.raises(ServerError) as caught:
            opened(where, scheme="https", options=TRUSTING, timeout_s=0.5).request("GET", "v2", limit=10_000)
        assert caught.value.code == code


def test_a_failing_tls_handshake_is_an_error() -> None:
    for behaviour, code in ((hostile.saying(b"no"), "server-silent"), (lambda peer: time.sleep(5), "server-silent")):
        started = time.monotonic()
        with listening(behaviour) as where, pytest.raises(ServerError) as caught:
            opened(where, scheme="https", timeout_s=0.3).request("GET", "v2", limit=10)
        assert caught.value.code == code
        assert time.monotonic() - started < 2
