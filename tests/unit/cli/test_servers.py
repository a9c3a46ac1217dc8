"""`--server`: what it chooses, and what it refuses before anything is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import invoke
from tritonize.api import building
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.server_choice import ServerChoice, chosen


def test_a_way_or_the_addresses_of_one_server() -> None:
    assert chosen(["auto"]) == ServerChoice(way="auto")
    assert chosen(["docker"]).way == "docker"
    found = chosen(["http://h:8000", "grpc://h:8001"], shared=Path("models"))
    assert (found.way, found.urls, found.shared) == ("auto", ("http://h:8000", "grpc://h:8001"), Path("models"))
    assert chosen(["localhost"]).urls == ("localhost",)
    own = [each for each in ("auto", "embedded", "binary", "docker", "h:1") if chosen([each]).is_own]
    assert own == ["auto", "embedded"]


@pytest.mark.parametrize(
    ("words", "shared", "code"),
    [
        (["embeded"], None, "server-choice-unknown"),
        (["binary", "docker"], None, "server-choice-mixed"),
        (["auto", "http://h"], None, "server-choice-mixed"),
        (["binary"], Path("models"), "server-repository-without-url"),
    ],
)
def test_what_contradicts_itself_is_refused(words: list[str], shared: Path | None, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen(words, shared=shared)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "absent.pt", "--ca", "a.pem"], "option-without-url"),
        (["run", "absent.pt", "--server", "http://127.0.0.1:9", "--insecure"], "option-without-tls"),
        (["run", "absent.pt", "--server", "nowhere"], "server-choice-unknown"),
        (["serve", "absent", "--server", "http://h:8000"], "server-choice-no-address"),
        (["diff", "absent", "m", "1", "2", "--server", "h:8000"], "server-choice-no-address"),
        (["bench", "absent", "--server", "h:8000"], "server-choice-no-address"),
        (["bench", "absent", "--server", "binary", "--url", "h:8000"], "server-choice-mixed"),
    ],
)
def test_a_command_refuses_it_at_once(words: list[str], code: str) -> None:
    done = invoke(*words, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == code


def test_the_python_api_takes_the_same() -> None:
    connection = ConnectionOptions(timeout_s=3)
    found = building._server(["http://h:8000", "grpc://h:8001"], "models", connection)
    assert found == ServerChoice(urls=("http://h:8000", "grpc://h:8001"), shared=Path("models"), connection=connection)
    assert building._server("binary", None, None).way == "binary"
    with pytest.raises(UsageError):
        building._server("nowhere", None, None)
