"""Tell a webhook or a command that a verdict changed.

The address of a webhook is a secret with many services, so no text contains more of it than scheme, host and port.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3

from tritonize.core import temporary
from tritonize.core.errors import TritonizeError, UsageError
from tritonize.core.messages import watch as wording
from tritonize.process import processes

ATTEMPTS = 3
PAUSES_S = (1.0, 4.0)
"""After the first and the second attempt."""
TIMEOUT_S = 10.0
"""Of one POST: to connect, and for each read."""
COMMAND_S = 60.0
"""Seconds after which a command is ended."""
_FROM_ENVIRONMENT = "@env:"
_UNREACHABLE = "it cannot be reached, or the connection ended"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Failed:
    """An attempt that did not deliver."""

    why: str
    again: bool
    """Whether another attempt can succeed."""


class Receiver(Protocol):
    """What hears of changes."""

    name: str
    """For people, without secrets."""

    def send(self, content: bytes) -> Failed | None:
        """Deliver a JSON document; `None` if it was."""


class Webhook:
    """Receives the document as a POST. Redirects are not followed.

    Args:
        given: `https://user:password@host/path`, or `@env:VARIABLE` with such an address in the variable.
        environment: the variables.

    Raises:
        UsageError: it is no such address; the error does not contain it.
    """

    def __init__(self, given: str, environment: Mapping[str, str]) -> None:
        variable = given.removeprefix(_FROM_ENVIRONMENT) if given.startswith(_FROM_ENVIRONMENT) else None
        address = given if variable is None else environment.get(variable, "")
        if not address:
            raise UsageError.of(wording.WEBHOOK_FORM, reason=f"the environment variable {variable} is not set or empty")
        try:
            parts = urlsplit(address)
            port, host = parts.port, parts.hostname
        except ValueError:  # its text contains a part of the address
            raise UsageError.of(wording.WEBHOOK_FORM, reason="host and port cannot be read") from None
        if parts.scheme not in ("http", "https") or not host or any(ord(each) <= 32 for each in address):
            raise UsageError.of(wording.WEBHOOK_FORM, reason="it is not http:// or https:// with a host")
        shown = f"[{host}]" if ":" in host else host
        place = f"{shown}:{port}" if port else shown
        self.name = f"{parts.scheme}://{place}"
        self.in_clear = host if parts.scheme == "http" and host not in _LOOPBACK else None
        """The host, if the document crosses a network without TLS."""
        self._headers = {"content-type": "application/json", "user-agent": "tritonize"}
        if parts.username or parts.password:
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            self._headers |= urllib3.make_headers(basic_auth=f"{user}:{password}")
        self._url = urlunsplit((parts.scheme, place, parts.path, parts.query, ""))

    def send(self, content: bytes) -> Failed | None:
        """POST the document; a status from 200 to 299 delivers it."""
        with urllib3.PoolManager(retries=False, timeout=TIMEOUT_S) as pool:
            try:
                response = pool.request(
                    "POST", self._url, body=content, headers=self._headers, redirect=False, preload_content=False
                )
            except urllib3.exceptions.SSLError:
                return Failed("the TLS connection failed, or this machine does not accept the certificate", again=True)
            except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.ReadTimeoutError) as error:
                if isinstance(error, urllib3.exceptions.NewConnectionError):  # which is a kind of timeout for urllib3
                    return Failed(_UNREACHABLE, again=True)
                return Failed(f"no response within {TIMEOUT_S:g} s", again=True)
            except urllib3.exceptions.HTTPError:  # its text may contain the address
                return Failed(_UNREACHABLE, again=True)
            response.close()
        if 200 <= response.status < 300:
            return None
        redirects = ", a redirect, which is not followed" if 300 <= response.status < 400 else ""
        return Failed(f"HTTP status {response.status}{redirects}", again=response.status == 429 or response.status >= 500)


class Command:
    """Receives the document on its standard input. No shell runs it.

    Raises:
        UsageError: it has no program, or a quote without its end.
    """

    def __init__(self, given: str) -> None:
        try:
            self._argv = shlex.split(given)
        except ValueError as error:
            raise UsageError.of(wording.COMMAND_FORM, reason=str(error)) from None
        if not self._argv:
            raise UsageError.of(wording.COMMAND_FORM, reason="it is empty")
        self.name = f"the command {self._argv[0]}"  # its arguments may hold a secret

    def send(self, content: bytes) -> Failed | None:
        """Run the command; the exit code 0 delivers the document."""
        with temporary.folder() as folder:
            document, log = folder / "change.json", folder / "log"
            document.write_bytes(content)
            try:
                with processes.start(self._argv, log=log, stdin=document, deadline_s=COMMAND_S) as process:
                    ended = process.wait()
            except TritonizeError as error:
                return Failed(error.what, again=False)
            if ended.exit_code == 0:
                return None
            last = processes.log_tail(log, 1)
            return Failed(f"it {ended.describe()}{f': {last[0]}' if last else ''}", again=True)


def deliver(receiver: Receiver, document: Mapping[str, object], *, sleep: Callable[[float], None] = time.sleep) -> str | None:
    """Deliver a document, with at most `ATTEMPTS` attempts; why it was not, for people, or `None`."""
    content = json.dumps(document, ensure_ascii=False).encode()
    attempt = 1
    while failed := receiver.send(content):
        if attempt == ATTEMPTS or not failed.again:
            return wording.UNDELIVERED.text(receiver=receiver.name, why=failed.why, attempts=attempt)
        sleep(PAUSES_S[attempt - 1])
        attempt += 1
    return None
