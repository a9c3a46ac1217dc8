"""Which addresses are one replica, and what becomes of a name with several addresses."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.support import fake_triton
from tritonize.core.connection_options import ConnectionOptions
from tritonize.triton.replicas import replicas

GROUPS: dict[str, tuple[list[str], list[tuple[str, ...]]]] = {
    "one": (["http://a"], [("http://a",)]),
    "both protocols of one host": (["http://a", "grpc://a"], [("http://a", "grpc://a")]),
    "both protocols of two hosts": (["https://http.a", "grpcs://grpc.a"], [("https://http.a", "grpcs://grpc.a")]),
    "two hosts": (["http://a", "http://b"], [("http://a",), ("http://b",)]),
    "two hosts with both": (
        ["http://a", "http://b", "grpc://b", "grpc://a"],
        [("http://a", "grpc://a"), ("http://b", "grpc://b")],
    ),
    "two of one host, in their order": (
        ["http://a:1", "http://a:2", "grpc://a:3", "grpc://a:4"],
        [("http://a:1", "grpc://a:3"), ("http://a:2", "grpc://a:4")],
    ),
    "one host with one protocol": (["http://a", "grpc://b", "http://b"], [("http://a",), ("http://b", "grpc://b")]),
    "short": (["a", "b"], [("a",), ("b",)]),
    "short with a port": (["a:8000", "grpc://a:8001"], [("a:8000", "grpc://a:8001")]),
    "the same twice": (["http://a", "http://a"], [("http://a",)]),
}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and their addresses; other names have none."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        if host == "127.0.0.1":
            return real(host, *_, **__)
        if host not in known:
            raise socket.gaierror(host)
        families = [socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in known[host]]
        return [(family, socket.SOCK_STREAM, 6, "", (ip, 0)) for family, ip in zip(families, known[host], strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.mark.parametrize("name", GROUPS)
def test_addresses_are_grouped_by_host_and_order(name: str) -> None:
    given, expected = GROUPS[name]
    assert [each.urls for each in replicas(given, ConnectionOptions())] == expected


def test_each_address_of_a_name_is_a_replica(names: dict[str, list[str]]) -> None:
    names["a"] = ["10.0.0.1", "::1", "10.0.0.2", "10.0.0.1"]
    found = replicas(["https://a", "grpcs://a"], ConnectionOptions(timeout_s=9))
    assert [(each.name, each.options.at["a"]) for each in found] == [
        ("a:443 at 10.0.0.1", "10.0.0.1"),
        ("a:443 at 10.0.0.2", "10.0.0.2"),
    ]
    assert {each.urls for each in found} == {("https://a", "grpcs://a")}
    assert {each.options.timeout_s for each in found} == {9}


def test_a_name_with_one_address_of_each_family_is_one_replica(names: dict[str, list[str]]) -> None:
    names.update({"a": ["10.0.0.1", "::1"], "localhost": ["127.0.0.1", "127.0.0.2"]})
    for host in ("a", "localhost", "10.0.0.1", "[::1]"):
        (found,) = replicas([f"http://{host}"], ConnectionOptions())
        assert found.options.at == {}


def test_two_names_share_the_addresses_that_they_have_in_common(names: dict[str, list[str]]) -> None:
    names.update({"h": ["10.0.0.1", "10.0.0.2"], "g": ["10.0.0.2", "10.0.0.3"]})
    found = replicas(["https://h", "grpcs://g"], ConnectionOptions())
    assert [each.urls for each in found] == [("https://h",), ("https://h", "grpcs://g"), ("grpcs://g",)]
    names["g"] = []
    assert [each.urls for each in replicas(["https://h", "grpcs://g"], ConnectionOptions())] == [
        ("https://h",),
        ("https://h",),
        ("grpcs://g",),
    ]


def test_a_short_form_is_asked_for_its_protocol() -> None:
    with fake_triton.both() as triton:
        urls = [triton.grpc, triton.http]
        assert [each.urls for each in replicas(urls, ConnectionOptions())] == [tuple(urls)]
