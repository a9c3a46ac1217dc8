"""Connections to a running server: TLS, headers, proxies, and what is said of each that fails."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import fake_triton
from tests.support import hostile_server as hostile
from tests.support.authority import Authority
from tests.support.fake_triton import Pair
from tests.support.proxy import Proxy, running
from tritonize.core.artifacts import ServerHandle
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import ServerError, TritonizeError, UsageError
from tritonize.triton import client, remote, serving
from tritonize.triton.client import diagnosis, statuses

TOKEN = "Bearer very-secret"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def triton() -> Iterator[Pair]:
    with fake_triton.both() as pair:
        yield pair


def error_of(*urls: str, headers: dict[str, str] | None = None, **options: Any) -> TritonizeError:
    with pytest.raises(TritonizeError) as caught:
        serving.remote(urls, options=ConnectionOptions(headers=headers or {}, timeout_s=options.pop("timeout_s", 5), **options))
    return caught.value


def behind_tls(triton: Pair, authority: Authority, *names: str, **options: Any) -> tuple[Proxy, Proxy]:
    return (
        Proxy(upstream=triton.http, tls=authority.server(*names, **options)),
        Proxy(upstream=triton.grpc, tls=authority.server(*names, alpn=("h2",), **options), raw=True),
    )


def test_both_protocols_work_through_tls(triton: Pair, authority: Authority) -> None:
    one, other = behind_tls(triton, authority, "127.0.0.1", "localhost")
    with running(one), running(other):
        urls = [f"https://{one.address}", f"grpcs://{other.address.replace('127.0.0.1', 'localhost')}"]
        found = serving.remote(urls, options=ConnectionOptions(ca=authority.ca))
        assert found.identity["at http"] == urls[0]
        assert found.identity["at grpc"] == urls[1]
        for transport in ("http", "grpc"):
            with client.connect_to(found, transport) as connection:  # type: ignore[arg-type]
                assert connection.server_metadata()["version"] == "2"
        for url in urls:
            assert error_of(url).code == "certificate-rejected"
            assert serving.remote([url], options=ConnectionOptions(insecure=True)).identity["tritonserver"] == "2"


def test_a_certificate_for_another_name_is_rejected_unless_it_is_not_checked(triton: Pair, authority: Authority) -> None:
    one, other = behind_tls(triton, authority, "elsewhere.example")
    with running(one), running(other):
        for url in (f"https://{one.address}", f"grpcs://{other.address}"):
            assert error_of(url, ca=authority.ca).code == "certificate-rejected"
            assert serving.remote([url], options=ConnectionOptions(insecure=True)).identity


def test_an_expired_certificate_is_rejected(triton: Pair, authority: Authority) -> None:
    one, other = behind_tls(triton, authority, "127.0.0.1", expired=True)
    with running(one), running(other):
        for url in (f"https://{one.address}", f"grpcs://{other.address}"):
            error = error_of(url, ca=authority.ca)
            assert (error.code, "expired" in str(error.found)) == ("certificate-rejected", True)


def test_a_server_may_require_a_client_certificate(triton: Pair, authority: Authority, tmp_path: Path) -> None:
    mine, own, other = authority.issue("me"), *behind_tls(triton, authority, "127.0.0.1", client=True)
    with running(own), running(other):
        for url in (f"https://{own.address}", f"grpcs://{other.address}"):
            assert serving.remote([url], options=ConnectionOptions(ca=authority.ca, certificate=mine)).identity
            for insecure in ({"ca": authority.ca}, {"insecure": True}):
                assert error_of(url, **insecure).code in (
                    "client-certificate",
                    "server-unreachable",
                )  # at times a reset comes first


def test_unusable_files_and_options_without_tls_are_refused(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no")
    for option in ({"ca": tmp_path / "text.pem"}, {"ca": tmp_path / "absent.pem"}, {"certificate": authority.ca}):
        for url in ("https://127.0.0.1:9", "grpcs://127.0.0.1:9"):
            assert error_of(url, **option).code == "tls-file"
    assert error_of("http://127.0.0.1:9", "grpc://127.0.0.1:9", insecure=True).code == "option-without-tls"


def test_replicas_are_connected_to_by_address_and_checked_by_name(triton: Pair, authority: Authority) -> None:
    one, other = behind_tls(triton, authority, "triton.example")
    options = ConnectionOptions(ca=authority.ca, at={"triton.example": "127.0.0.1"})
    with running(one), running(other):
        urls = [f"https://triton.example:{one.address[10:]}", f"grpcs://triton.example:{other.address[10:]}"]
        assert serving.remote(urls, options=options).identity["tritonserver"] == "2"
        assert f"Host: triton.example:{one.address[10:]}" in one.heads[-1].splitlines()
    plain = [f"http://triton.example:{triton.http[10:]}", f"grpc://triton.example:{triton.grpc[10:]}"]
    found = serving.remote(plain, options=ConnectionOptions(at=options.at))
    assert found.identity["at grpc"] == f"triton.example:{triton.grpc[10:]} at 127.0.0.1"


def test_headers_go_to_both_protocols_and_nowhere_else(triton: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    found = serving.remote(
        [f"http://me:pass-word@{triton.http}", f"grpc://{triton.grpc}"], options=ConnectionOptions(headers={"x-key": TOKEN})
    )
    assert {"x-key: Bearer very-secret", "authorization: Basic bWU6cGFzcy13b3Jk"} <= set(triton.heads[-1].splitlines())
    assert triton.handler.metadata[-1]["x-key"] == TOKEN
    assert not any(secret in f"{found!r} {found.identity} {caplog.text}" for secret in ("very-secret", "pass-word", "bWU6"))


def test_a_header_that_a_service_repeats_is_not_printed() -> None:
    def echo(peer: socket.socket) -> None:
        peer.sendall(hostile.http(hostile.request(peer).split(b"\r\n", 1)[1], status="502 Bad Gateway"))

    with hostile.listening(echo) as where:
        error = error_of(f"http://me:pass-word@{where}", headers={"a": TOKEN})
        assert error.code == "http-bad-gateway"
        assert "very-secret" not in str(error)
    refused = hostile.saying(hostile.http(b'{"error": "no very-secret here"}', status="400 Bad Request"))
    with hostile.listening(refused) as where:
        assert str(error_of(f"http://{where}", headers={"a": TOKEN}).found) == "no (redacted) here"


def test_a_path_prefix_and_a_required_header(triton: Pair) -> None:
    with running(Proxy(upstream=triton.http, prefix="/a/b", header=("authorization", TOKEN))) as proxy:
        urls = [f"http://{proxy.address}/a/b/"]
        found = serving.remote(urls, options=ConnectionOptions(headers={"authorization": TOKEN}))
        assert found.identity["at http"] == f"http://{proxy.address}/a/b"
        assert error_of(*urls).code == "http-unauthorized"
        assert error_of(f"http://{proxy.address}/a", headers={"authorization": TOKEN}).code == "http-not-found"


STATUSES = {
    401: "http-unauthorized",
    403: "http-forbidden",
    404: "http-not-found",
    413: "http-too-large",
    429: "http-too-many-requests",
    500: "http-status",
    502: "http-bad-gateway",
    503: "http-unavailable",
    504: "http-gateway-timeout",
    599: "http-status",
}


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_is_a_sentence_of_its_own_over_both_protocols(status: int) -> None:
    with running(Proxy(status=status)) as proxy:
        error = error_of(f"http://{proxy.address}")
        assert (error.code, error.found) == (STATUSES[status], "No")
        assert str(status) in error.what
    with hostile.listening(hostile.http2(status)) as where:
        error = error_of(f"grpc://{where}")
        assert error.code == STATUSES[status]
        assert str(status) in error.what


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://login.example/in?token=very-secret", "https://login.example"),
        ("/other?token=very-secret", "another path of the same host"),
        ("//[broken", "an invalid address"),
    ],
)
def test_a_redirect_is_not_followed_and_its_host_is_named(location: str, target: str) -> None:
    with running(Proxy(status=302, extra=f"Location: {location}\r\n", page=b"")) as proxy:
        error = error_of(f"http://{proxy.address}")
        assert error.code == "redirected"
        assert target in error.what
        assert "very-secret" not in str(error)
        assert len(proxy.heads) == 1


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("SERVER: Received message larger than max (5 vs. 4)", "RESOURCE_EXHAUSTED", "http-too-large"),
        ("CLIENT: Received message larger than max (5 vs. 4)", "RESOURCE_EXHAUSTED", None),
        ("too many requests", "RESOURCE_EXHAUSTED", "http-too-many-requests"),
        ("no token", "UNAUTHENTICATED", "http-unauthorized"),
        ("no role", "PERMISSION_DENIED", "http-forbidden"),
        ("Request for unknown model", "NOT_FOUND", None),
    ],
)
def test_a_status_of_grpc_alone_is_a_sentence_too(text: str, status: str, code: str | None) -> None:
    error = statuses.in_grpc(text, f"StatusCode.{status}", where="grpc, host:1")
    assert (error and error.code) == code
    assert error is None or (status in error.what and error.found == text)


def silence(peer: socket.socket) -> None:
    time.sleep(3)


def test_wrong_ports_are_named_with_the_address_that_is_right(
    triton: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "_PROBE_S", 0.5)
    one, other = behind_tls(triton, authority, "127.0.0.1")
    with running(one), running(other), hostile.listening(hostile.saying(b"220 mail ESMTP\r\n")) as mail:
        cases = {
            f"http://{triton.grpc}": ("swapped-port", f"grpc://{triton.grpc}"),
            f"grpc://{triton.http}": ("swapped-port", f"http://{triton.http}"),
            f"http://{one.address}": ("plain-on-tls-port", f"https://{one.address}"),
            f"grpc://{other.address}": ("plain-on-tls-port", f"grpcs://{other.address}"),
            f"https://{triton.http}": ("tls-on-plain-port", f"http://{triton.http}"),
            f"grpcs://{triton.grpc}": ("tls-on-plain-port", f"grpc://{triton.grpc}"),
            f"grpcs://{one.address}": ("no-http2", f"https://{one.address}"),
            f"https://{other.address}": ("swapped-port", f"grpcs://{other.address}"),
            f"grpc://{mail}": ("other-protocol", "8000"),
            f"http://{mail}": ("other-protocol", "8000"),
        }
        found = {url: error_of(url, insecure=url.startswith(("https", "grpcs")), timeout_s=2) for url in cases}
    assert {url: error.code for url, error in found.items()} == {url: code for url, (code, _) in cases.items()}
    for url, (_, right) in cases.items():
        assert right in str(found[url].next_step), url


def test_a_server_that_never_answers_and_a_closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_PROBE_S", 0.2)
    with hostile.listening(silence) as where:
        for scheme in ("http", "grpc"):
            started = time.monotonic()
            error = error_of(f"{scheme}://{where}", timeout_s=0.3)
            assert (error.code, "0.3 s" in error.what) == ("server-silent", True)
            assert time.monotonic() - started < 2.5
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = f"127.0.0.1:{listener.getsockname()[1]}"
    for url in (f"http://{closed}", f"grpc://{closed}", closed):
        assert error_of(url).code == "server-unreachable"


def test_a_path_that_triton_does_not_know() -> None:
    with running(Proxy(status=404, page=b'{"error":"Not Found"}')) as proxy:
        error = error_of(f"http://{proxy.address}/nowhere")
        assert (error.code, error.found) == ("http-not-found", "Not Found")
        with client.connect(proxy.address, "http") as opened, pytest.raises(TritonizeError) as caught:
            opened.model_metadata("m")
        assert caught.value.code == "request-refused"


def test_a_page_that_is_not_triton() -> None:
    with running(Proxy(status=200, page=b"<!DOCTYPE html>\n<html><style>a{}</style><body><p>It works!</p></body>")) as proxy:
        error = error_of(f"http://{proxy.address}")
        assert (error.code, error.found) == ("no-triton", "It works!")


@pytest.mark.parametrize(
    ("fault", "code"),
    [("drop", "server-unreachable"), ("truncate", "answer-ended-early"), ("garbage", "not-http"), ("huge", "answer-too-large")],
)
def test_a_flaky_proxy_ends_in_an_error_that_says_how(triton: Pair, fault: Any, code: str) -> None:
    with running(Proxy(upstream=triton.http, fault=fault, after=1)) as proxy:
        handle = serving.remote([f"http://{proxy.address}"])
        with client.connect_to(handle, "http") as connection, pytest.raises(ServerError) as caught:
            connection.server_metadata()
        assert caught.value.code == code
    with running(Proxy(upstream=triton.http, fault="delay", delay_s=1.0)) as proxy:
        handle = ServerHandle(http_url=proxy.address, grpc_url="", options=ConnectionOptions(timeout_s=0.2))
        with client.connect_to(handle, "http") as connection, pytest.raises(ServerError) as caught:
            connection.server_metadata()
        assert caught.value.code == "server-silent"


def test_short_forms_ask_what_the_port_speaks(triton: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving.remote([triton.http]).identity["at http"] == triton.http
    assert serving.remote([triton.grpc]).identity["at grpc"] == triton.grpc
    ports = {"http": int(triton.http[10:]), "grpc": int(triton.grpc[10:])}
    monkeypatch.setattr(remote, "_SHORT_PORTS", ports)
    found = serving.remote(["127.0.0.1"])
    assert (found.http_url, found.grpc_url) == (triton.http, triton.grpc)


def test_waiting_ends_when_the_server_is_there_and_not_for_a_wrong_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_INTERVAL_S", 0.05)
    with running(Proxy(status=503)) as proxy:

        def start() -> None:
            proxy.status, proxy.page = 200, b'{"name": "triton", "version": "2", "extensions": ["a"]}'

        timer = threading.Timer(0.4, start)
        timer.start()
        assert serving.remote([f"http://{proxy.address}"], options=ConnectionOptions(wait_s=10)).identity["tritonserver"] == "2"
        timer.join()
    with running(Proxy(status=503)) as proxy:
        started = time.monotonic()
        assert error_of(f"http://{proxy.address}", wait_s=0.3).code == "http-unavailable"
        assert 0.3 <= time.monotonic() - started < 2
    with running(Proxy(status=401)) as proxy:
        started = time.monotonic()
        assert error_of(f"http://{proxy.address}", wait_s=10).code == "http-unauthorized"
        assert time.monotonic() - started < 2


def test_waiting_for_a_model_ends_with_its_name(triton: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_INTERVAL_S", 0.05)
    with running(Proxy(status=400, page=b'{"error": "not ready"}')) as proxy:
        handle = ServerHandle(http_url=proxy.address, grpc_url="", options=ConnectionOptions(wait_s=0.3))
        with pytest.raises(ServerError) as caught:
            remote.await_model(handle, "m", 3)
        assert caught.value.code == "model-not-ready"
        assert "m version 3" in caught.value.what
        threading.Timer(0.1, lambda: setattr(proxy, "status", 200)).start()
        remote.await_model(handle, "m", 3)


def test_requests_are_compressed_bounded_and_kept_apart(triton: Pair) -> None:
    import numpy as np

    with running(Proxy(upstream=triton.http)) as proxy:
        values = {"X": np.zeros((1, 1000), np.float32)}
        for coding in ("gzip", "deflate"):
            options = ConnectionOptions(compression=coding)  # type: ignore[arg-type]
            with client.connect(proxy.address, "http", options=options) as opened, pytest.raises(TritonizeError):
                opened.infer("m", values)
            head = proxy.heads[-1].lower()
            assert {f"content-encoding: {coding}", f"accept-encoding: {coding}"} <= set(head.splitlines())
            assert int(head.split("content-length: ")[-1].split()[0]) < 1000
        for transport, where in (("http", triton.http), ("grpc", triton.grpc)):
            with client.connect(where, transport, options=ConnectionOptions(max_message_bytes=2000)) as opened:  # type: ignore[arg-type]
                with pytest.raises(TritonizeError) as caught:
                    opened.infer("m", values)
                assert caught.value.code == "message-too-large"
        with client.connect(proxy.address, "http", options=ConnectionOptions(keep_alive_s=0)) as opened:
            opened.server_metadata()
        assert "connection: close" in proxy.heads[-1].lower()
        with client.connect(triton.grpc, "grpc", options=ConnectionOptions(keep_alive_s=9, compression="gzip")) as opened:
            assert opened.server_metadata()["version"] == "2"


def test_reports_say_what_was_not_checked_and_what_was_sent_in_the_clear() -> None:
    secret = ConnectionOptions(headers={"a": TOKEN}, insecure=True)
    found = list(remote.notes(["http://triton.example", "https://triton.example", "http://127.0.0.1"], secret))
    assert [each.split(" (")[0].split(" to ")[0] for each in found] == [
        "The server's certificate was not checked",
        "Credentials or other headers were sent",
    ]
    assert list(remote.notes(["http://triton.example"], ConnectionOptions())) == []
    with pytest.raises(UsageError):
        remote.require_sound(["http://triton.example"], secret)
