"""`tritonize config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.connection import with_connection
from tritonize.cli.terminal import say
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.local_paths import local


@with_connection
def config(
    model: Annotated[
        Path,
        typer.Argument(
            parser=local, metavar="MODEL", help="An .onnx file, a .plan file with its metadata beside it, or a model's folder."
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The model's name. (the file's, or its directory's)")
    ] = None,
    max_batch_size: Annotated[
        int | None, typer.Option("--max-batch-size", min=0, metavar="N", help="The largest batch. (what Triton completes)")
    ] = None,
    urls: Annotated[
        list[str] | None, typer.Option("--url", metavar="URL", help="Ask a running server which configuration it made instead.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write it to the model's folder, unless a config.pbtxt exists there.")
    ] = False,
    connection: ConnectionOptions,
) -> None:
    """Print the config.pbtxt that Triton completes for a model file, with comments; PyTorch is not needed."""
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import lint as wording
    from tritonize.workflows import completed_config, made_config

    if urls and max_batch_size is not None:
        raise UsageError.of(wording.CONFIG_SIZE_OF_SERVER)
    if urls:
        text = made_config.text_of_server(urls, connection, name or completed_config.model_name(model))
    else:
        file = made_config.model_file(model) if model.is_dir() else model
        text = completed_config.text(file, name=name, max_batch_size=max_batch_size)
    if not write:
        say(text, nl=False)
        return
    say(f"wrote {made_config.keep(model, text)}")
