"""Changes of verdict reach a webhook and a command; what fails is said without the address."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import hostile_server as hostile
from tritonize.workflows import watch_delivery
from tritonize.workflows.watch_delivery import Command, Webhook

DOCUMENT = {"verdict": "failed", "why": "ä"}
PATH = "services/very-secret?token=very-secret"


@contextmanager
def hook(*answers: bytes) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A webhook with these answers, one after the other; its address, and what it received."""
    received: list[tuple[str, bytes]] = []

    def behave(peer: socket.socket) -> None:
        head, body = hostile.request_with_body(peer)
        received.append((head.decode(), body))
        peer.sendall(answers[min(len(received), len(answers)) - 1])

    with hostile.listening(behave) as place:
        yield f"http://me:very-secret@{place}/{PATH}", received


def deliver(address: str) -> str | None:
    return watch_delivery.deliver(Webhook(address, {}), DOCUMENT, sleep=lambda _: None)


def test_a_webhook_gets_the_document() -> None:
    with hook(hostile.http(b"", status="204 No Content")) as (address, received):
        assert deliver(address) is None
    ((head, body),) = received
    assert head.startswith(f"POST /{PATH} HTTP/1.1\r\n")
    assert "content-type: application/json" in head.lower()
    assert "authorization: Basic bWU6dmVyeS1zZWNyZXQ=" in head
    assert json.loads(body) == DOCUMENT


@pytest.mark.parametrize(
    ("answers", "requests", "why"),
    [
        ([hostile.http(b"", status="503 Busy"), hostile.http(b"ok")], 2, None),
        ([hostile.http(b"", status="500 Broken")], 3, "HTTP status 500"),
        ([hostile.http(b"very-secret", status="404 Not Found")], 1, "HTTP status 404"),
        ([hostile.http(b"", "Location: http://127.0.0.1:9/", status="302 Found")], 1, "a redirect, which is not followed"),
        ([b"very-secret, no HTTP\r\n\r\n"], 3, "it cannot be reached, or the connection ended"),
        ([b""], 3, "it cannot be reached, or the connection ended"),
    ],
)
def test_a_webhook_that_fails_is_tried_again_where_that_can_help(answers: list[bytes], requests: int, why: str | None) -> None:
    with hook(*answers) as (address, received):
        said = deliver(address)
    assert len(received) == requests
    assert (said is None) == (why is None)
    if said is not None and why is not None:
        assert why in said
        assert "http://127.0.0.1:" in said
        assert "very-secret" not in said


def test_a_webhook_that_is_not_there_or_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_delivery, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "no response within 0.2 s" in str(deliver(f"http://{place}/very-secret"))
        assert "no response within 0.2 s" in str(deliver(f"https://{place}/very-secret"))
    said = deliver(f"http://{place}/very-secret")
    assert said is not None
    assert "cannot be reached" in said
    assert "very-secret" not in said


def test_a_webhook_whose_port_has_no_tls() -> None:
    with hostile.listening(lambda peer: peer.sendall(hostile.http(b""))) as place:
        assert "the TLS connection failed" in str(deliver(f"https://{place}/"))


def test_a_command_gets_the_document_on_its_standard_input_and_no_shell(tmp_path: Path) -> None:
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read() + sys.argv[2])"
    command = Command(f"{sys.executable} -c '{code}' {tmp_path / 'got'} '$HOME;`id`'")
    assert watch_delivery.deliver(command, {"verdict": "failed"}) is None
    assert (tmp_path / "got").read_text() == '{"verdict": "failed"}$HOME;`id`'


def test_a_command_that_fails_or_is_missing_is_said_without_its_arguments() -> None:
    failing = Command(f"{sys.executable} -c 'import sys; sys.exit(\"no route\")' --token=very-secret")
    said = watch_delivery.deliver(failing, DOCUMENT, sleep=lambda _: None)
    assert said is not None
    assert "exited with code 1: no route. Attempts: 3." in said
    assert "very-secret" not in said
    assert "Attempts: 1." in str(watch_delivery.deliver(Command("/absent/program"), DOCUMENT))
