"""`--server`: which server a command uses, one that it starts or a running one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tritonize.core.errors import UsageError
from tritonize.core.local_paths import local
from tritonize.core.messages import usage
from tritonize.core.server_choice import AUTO, WAYS, ServerChoice, chosen, urls

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


def started(word: str, running: Sequence[str] = ()) -> ServerChoice:
    """The choice of a command that starts a server itself, unless it gets the addresses of a running one by another option.

    Raises:
        UsageError: the value is an address, or a way although there are addresses.
    """
    if running and word != AUTO:
        raise UsageError.of(usage.SERVERS_MIXED, found=f"--url and --server {word}")
    if urls([word]):
        raise UsageError.of(usage.SERVER_STARTED_HERE, found=f"--server {word}", expected=", ".join((AUTO, *WAYS)))
    return chosen([word])
