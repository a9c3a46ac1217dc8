"""`--server`: which server a command uses, one that it starts or a running one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import local
from tritonize.core.messages import usage
from tritonize.core.server_choice import AUTO, WAYS, ServerChoice

Server = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="WAY",
        help="embedded, binary (a tritonserver on PATH), docker (NVIDIA's image), or auto: the first that `doctor` finds.",
    ),
]
AnyServer = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        metavar="WAY|URL",
        help="auto, embedded, binary, docker; or the address of a running Triton on which to prove. Repeat for HTTP and gRPC.",
    ),
]
Shared = Annotated[
    Path | None,
    typer.Option(
        "--server-repository",
        parser=local,
        metavar="FOLDER",
        help="The model repository of the server at URL, if this machine can write it; default: send the files.",
    ),
]


def urls(words: Sequence[str]) -> list[str]:
    """The addresses among the values of `--server`."""
    return [each for each in words if each not in (AUTO, *WAYS)]


def choice(words: Sequence[str], *, shared: Path | None = None, connection: ConnectionOptions | None = None) -> ServerChoice:
    """The server that the options choose.

    Raises:
        UsageError: a value is neither a way nor an address, ways are mixed, or a repository has no server.
    """
    addresses = urls(words)
    for each in addresses:
        if not any(sign in each for sign in ".:[") and each != "localhost":
            expected = f"{', '.join((AUTO, *WAYS))} or an address"
            raise UsageError.of(usage.SERVER_UNKNOWN, found=f"--server {each}", expected=expected)
    if (addresses and len(addresses) != len(words)) or len(words) - len(addresses) > 1:
        raise UsageError.of(usage.SERVERS_MIXED, found=" ".join(f"--server {each}" for each in words))
    if shared is not None and not addresses:
        raise UsageError.of(usage.SHARED_WITHOUT_URL)
    way = next((each for each in WAYS if each in words), AUTO)
    return ServerChoice(way=way, urls=tuple(addresses), shared=shared, connection=connection or ConnectionOptions())


def started(word: str, running: Sequence[str] = ()) -> ServerChoice:
    """The choice of a command that starts a server itself, unless it gets the addresses of a running one by another option.

    Raises:
        UsageError: the value is an address, or a way although there are addresses.
    """
    if running and word != AUTO:
        raise UsageError.of(usage.SERVERS_MIXED, found=f"--url and --server {word}")
    if urls([word]):
        raise UsageError.of(usage.SERVER_STARTED_HERE, found=f"--server {word}", expected=", ".join((AUTO, *WAYS)))
    return choice([word])
