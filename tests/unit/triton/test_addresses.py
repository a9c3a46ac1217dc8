"""The forms of `--url`, and the headers of `--header`."""

from __future__ import annotations

import pytest

from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.triton import remote
from tritonize.triton.client import headers

PLAIN = ConnectionOptions()
FORMS = {
    "http://host": ["host:80"],
    "https://host": ["https://host:443"],
    "https://host:8443/a/b/": ["https://host:8443/a/b"],
    "http://host/a": ["http://host:80/a"],
    "grpc://host": ["host:80"],
    "grpcs://host/": ["grpcs://host:443"],
    "grpcs://[::1]:9": ["grpcs://[::1]:9"],
    "host": ["host:8000", "host:8001"],
    "host:9000": ["host:9000", "host:9000"],
    "host/a": ["http://host:8000/a"],
    "me:secret@host": ["host:8000", "host:8001"],
}


@pytest.mark.parametrize("url", FORMS)
def test_the_port_is_the_schemes_and_only_a_short_form_has_tritons(url: str) -> None:
    assert [each.url for each in remote.addresses(url, PLAIN)] == FORMS[url]


def test_a_default_port_is_not_part_of_the_host_header() -> None:
    found = {url: remote.addresses(url, PLAIN)[0].host_header for url in ("https://a", "http://[::1]:80", "http://a:443")}
    assert found == {"https://a": "a", "http://[::1]:80": "[::1]", "http://a:443": "a:443"}


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("grpcs://host/a", "grpc-path"),
        ("ftp://host", "server-address"),
        ("https://me:sec/ret@host", "server-address"),
        ("https://host/a?token=b", "server-address"),
        ("https://", "server-address"),
    ],
)
def test_a_malformed_address_is_refused_without_its_password(url: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        remote.addresses(url, PLAIN)
    assert caught.value.code == code
    assert "ret@" not in str(caught.value)


def test_headers_come_from_the_command_line_and_the_environment() -> None:
    found = headers.parse(["X-Route=a=b", "Authorization=@env:TOKEN", "empty="], {"TOKEN": "Bearer abc "})
    assert found == {"x-route": "a=b", "authorization": "Bearer abc", "empty": ""}
    assert "Bearer" not in repr(ConnectionOptions(headers=found))


@pytest.mark.parametrize(
    "given",
    [
        ["secret-token"],
        ["=secret-token"],
        ["a b=secret-token"],
        ["a=secret\x07-token"],
        ["a=secret-tökén"],
        ["a=secret-token", "A=secret-token"],
        ["host=secret-token"],
        ["content-length=secret-token"],
        ["grpc-timeout=secret-token"],
        ["key-bin=secret-token"],
        ["a=@env:ABSENT"],
        ["a=@env:EMPTY"],
    ],
)
def test_an_invalid_header_is_refused_without_its_value(given: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        headers.parse(given, {"EMPTY": ""})
    assert caught.value.code == "header-form"
    assert "secret" not in str(caught.value)
