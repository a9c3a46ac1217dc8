"""The options of every command that connects to a running server by `--url`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tritonize.cli.option_groups import with_options
from tritonize.cli.terminal import say
from tritonize.core import server_choice
from tritonize.core.connection_options import REQUEST_S, ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import local
from tritonize.core.messages import client as wording

_MIB = 2**20


class Coding(StrEnum):
    """How requests are compressed."""

    GZIP = "gzip"
    DEFLATE = "deflate"


FLAGS = {
    "ca": "--ca",
    "certificate": "--cert",
    "key": "--key",
    "insecure": "--insecure",
    "headers": "--header",
    "timeout_s": "--timeout",
    "wait_s": "--wait",
    "compression": "--compression",
    "keep_alive_s": "--keep-alive",
    "max_message_bytes": "--max-message-size",
}
"""Field of `ConnectionOptions` to its flag."""


def _options(
    ca: Annotated[
        Path | None,
        typer.Option("--ca", parser=local, metavar="FILE", help="Certificates of the authorities to trust, in PEM form."),
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", parser=local, metavar="FILE", help="This client's certificate, in PEM form.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", parser=local, metavar="FILE", help="The key of --cert; default: in the same file.")
    ] = None,
    *,
    insecure: Annotated[bool, typer.Option("--insecure", help="Accept any certificate of the server.")] = False,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", metavar="NAME=VALUE", help="Send a header over HTTP and gRPC; NAME=@env:VARIABLE keeps it off the screen."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Time limit of one request to the server.")
    ] = REQUEST_S,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait so long for the server and its models to be ready.")
    ] = 0.0,
    compression: Annotated[
        Coding | None, typer.Option("--compression", help="Compress requests, and accept compressed responses.")
    ] = None,
    keep_alive: Annotated[
        float | None,
        typer.Option(
            "--keep-alive",
            min=0,
            metavar="SECONDS",
            help="Probe open connections so often; 0: close HTTP's after each request.",
        ),
    ] = None,
    max_message_size: Annotated[
        float | None,
        typer.Option("--max-message-size", min=0.001, metavar="MIB", help="Largest request and response, in MiB."),
    ] = None,
) -> ConnectionOptions:
    if (insecure and ca) or (key and not cert):
        raise UsageError.of(
            wording.OPTIONS_CONTRADICT, options="--insecure and --ca" if insecure and ca else "--key without --cert"
        )
    return ConnectionOptions(
        ca=ca,
        certificate=cert,
        key=key,
        insecure=insecure,
        headers=_headers(header) if header else {},
        timeout_s=timeout,
        wait_s=wait,
        compression=compression.value if compression else None,
        keep_alive_s=keep_alive,
        max_message_bytes=None if max_message_size is None else round(max_message_size * _MIB),
    )


def _headers(given: list[str]) -> Mapping[str, str]:
    from tritonize.triton.client import headers  # the clients take 0.1 s to import, and most commands need no header

    return headers.parse(given, os.environ)


def with_connection(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command with the parameters `connection: ConnectionOptions` and `urls` or `server`, and check them."""

    @functools.wraps(command)
    def checked(**values: Any) -> None:
        require_usable(values["connection"], values.get("urls") or _addresses(values.get("server") or ()))
        if values["connection"].insecure:
            say(f"Warning: {wording.INSECURE.text()}", err=True)
        command(**values)

    return with_options("connection", _options)(checked)


def _addresses(server: str | Sequence[str]) -> list[str]:
    """The addresses in the value of `--server`, which some commands take several times."""
    return server_choice.urls([server] if isinstance(server, str) else server)


def require_usable(connection: ConnectionOptions, urls: Sequence[str]) -> None:
    """Fail if options for a running server are given without one, or an address or a certificate cannot be used."""
    default = ConnectionOptions()
    given = [flag for field, flag in FLAGS.items() if getattr(connection, field) != getattr(default, field)]
    if given and not urls:
        raise UsageError.of(wording.OPTION_WITHOUT_URL, options=", ".join(given))
    if urls:
        from tritonize.triton import remote

        remote.require_sound(urls, connection)
