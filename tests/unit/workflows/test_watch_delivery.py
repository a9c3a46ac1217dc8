"""The forms of a webhook and a command, and how often a delivery is tried."""

from __future__ import annotations

import pytest

from tritonize.core.errors import UsageError
from tritonize.workflows import watch_delivery
from tritonize.workflows.watch_delivery import Command, Failed, Webhook


@pytest.mark.parametrize(
    "given",
    [
        "ftp://host/very-secret",
        "very-secret",
        "https:///very-secret",
        "https://me:very-secret@host:port/",
        "https://host/very secret",
        "https://host/very-secret\r\nX: y",
        "@env:ABSENT",
        "https://[very-secret/",
    ],
)
def test_an_address_that_is_none_is_refused_without_being_repeated(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        Webhook(given, {})
    assert caught.value.code == "webhook-form"
    assert "very" not in str(caught.value)


def test_the_name_of_a_webhook_has_no_secret() -> None:
    hook = Webhook("@env:HOOK", {"HOOK": "https://me:very-secret@Host.example:8443/services/very-secret?token=very-secret#x"})
    assert (hook.name, hook.in_clear) == ("https://host.example:8443", None)
    assert Webhook("http://[::1]:80/a", {}).name == "http://[::1]:80"
    assert Webhook("http://127.0.0.1/a", {}).in_clear is None
    assert Webhook("http://host/a", {}).in_clear == "host"


@pytest.mark.parametrize("given", ["", "  ", "'open"])
def test_a_command_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        Command(given)
    assert caught.value.code == "on-change-command-form"


class Receiver:
    name = "it"

    def __init__(self, *outcomes: Failed | None) -> None:
        self.outcomes = list(outcomes)

    def send(self, content: bytes) -> Failed | None:
        assert content == '{"model": "ä"}'.encode()
        return self.outcomes.pop(0)


def delivered(*outcomes: Failed | None) -> tuple[str | None, list[float], int]:
    slept: list[float] = []
    receiver = Receiver(*outcomes)
    return watch_delivery.deliver(receiver, {"model": "ä"}, sleep=slept.append), slept, len(receiver.outcomes)


def test_a_delivery_is_tried_three_times_at_most() -> None:
    busy = Failed("busy", again=True)
    assert delivered(None) == (None, [], 0)
    assert delivered(busy, busy, None) == (None, [1.0, 4.0], 0)
    why, slept, left = delivered(busy, busy, busy, None)
    assert (slept, left) == ([1.0, 4.0], 1)
    assert why == "The change of verdict was not delivered to it: busy. Attempts: 3."


def test_what_cannot_succeed_is_not_tried_again() -> None:
    why, slept, left = delivered(Failed("HTTP status 404", again=False), None)
    assert (slept, left) == ([], 1)
    assert why is not None
    assert "404" in why
