"""`tritonize view`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.serve import Port
from tritonize.cli.terminal import say
from tritonize.core.local_paths import local

NETWORK = "model.onnx"


def view(
    source: Annotated[
        Path,
        typer.Argument(parser=local, metavar="MODEL | REPOSITORY", help="A model file, or a model repository with an ONNX file."),
    ] = Path("model_repository"),
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="The model of the repository.")] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest.")] = None,
    *,
    port: Port = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the address.")] = False,
) -> None:
    """Open a model's graph in Netron, served on 127.0.0.1 until Ctrl-C."""
    import webbrowser

    from tritonize.cli import published
    from tritonize.core import errors
    from tritonize.core.messages import server as wording
    from tritonize.onnx_model import netron_page

    errors.require("netron", extra="view")
    file = source if source.is_file() else _onnx_file(source, model, version)
    try:
        server = netron_page.Server(file, port)
    except OSError as error:
        raise errors.ServerError.of(wording.PORT_TAKEN, where=f"{netron_page.HOST}:{port}", found=str(error)) from error
    with server:
        say(f"Serving {file} on {server.address}. Press Ctrl-C to stop.")
        if not no_open and published.has_display():
            webbrowser.open(server.address)
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the regular end
            server.serve_forever()


def _onnx_file(repository: Path, model: str | None, version: int | None) -> Path:
    """The ONNX file of a version.

    Raises:
        UsageError: the repository, model or version does not exist; the version has no ONNX file; the repository has several
            models and `model` is None.
    """
    from tritonize.cli import published
    from tritonize.core import errors, near_files
    from tritonize.core.messages import usage

    if not repository.exists():
        instead = near_files.missing(repository, folder=not repository.suffix)
        raise errors.UsageError.of(usage.NOTHING_TO_VIEW, where=str(repository), found=instead.found, meant=instead.meant)
    directories = published.directories(repository, [model] if model else (), version)
    if len(directories) > 1:
        raise errors.UsageError.of(usage.VIEW_SEVERAL, found=", ".join(directories))
    (directory,) = directories.values()
    file = directory / NETWORK
    if not file.is_file():
        names = ", ".join(sorted(path.name for path in directory.iterdir() if path.is_file()))
        raise errors.UsageError.of(usage.VIEW_NO_ONNX, where=str(directory), expected=NETWORK, found=names)
    return file
