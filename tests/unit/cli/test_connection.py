"""The options of a connection on the command line: which belong together, and what is never printed."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from tests.support.command import invoke
from tritonize.cli import connection
from tritonize.core.connection_options import ConnectionOptions

CLOSED = "https://127.0.0.1:9"


def test_every_option_has_a_flag_but_the_address_of_a_replica() -> None:
    assert {each.name for each in fields(ConnectionOptions)} - set(connection.FLAGS) == {"at"}
    helped = invoke("verify", "--help").stdout
    assert [flag for flag in connection.FLAGS.values() if flag not in helped] == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--profile", "quick"], "option-without-url"),
        (["--rate", "3"], "option-without-url"),
        (["--ca", "a.pem"], "option-without-url"),
        (["--wait", "3", "--header", "a=b"], "option-without-url"),
        (["--url", CLOSED, "--ca", "a.pem", "--insecure"], "connection-options-contradict"),
        (["--url", CLOSED, "--key", "a.pem"], "connection-options-contradict"),
        (["--url", CLOSED, "--ca", "absent.pem"], "tls-file"),
        (["--url", "http://127.0.0.1:9", "--insecure"], "option-without-tls"),
        (["--url", "grpcs://127.0.0.1:9/path"], "grpc-path"),
        (["--url", CLOSED, "--header", "=very-secret"], "header-form"),
        (["--url", CLOSED, "--header", "host=very-secret"], "header-form"),
        (["--url", "https://me:very-secret@host:port"], "server-address"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_read(words: list[str], code: str) -> None:
    done = invoke("verify", "absent", *words, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == code
    assert "very-secret" not in done.stdout + done.stderr


def test_an_unchecked_certificate_is_said_on_standard_error(tmp_path: Path) -> None:
    done = invoke("verify", "--golden", str(tmp_path / "absent.golden"), "--url", CLOSED, "--insecure")
    assert done.returncode != 0
    assert done.stderr.startswith("Warning: The server's certificate was not checked (--insecure)")
