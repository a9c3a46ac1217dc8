"""`tritonize config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.terminal import say
from tritonize.core.local_paths import local


def config(
    model: Annotated[
        Path, typer.Argument(parser=local, metavar="MODEL", help="An .onnx file, or a .plan file with its metadata beside it.")
    ],
    *,
    name: Annotated[str | None, typer.Option("--name", help="The model's name. (the file's, or its directory's)")] = None,
    max_batch_size: Annotated[
        int | None, typer.Option("--max-batch-size", min=0, metavar="N", help="The largest batch. (what Triton completes)")
    ] = None,
) -> None:
    """Print the config.pbtxt that Triton would complete for a model file, with comments; PyTorch is not needed."""
    from tritonize.workflows import completed_config

    say(completed_config.text(model, name=name, max_batch_size=max_batch_size), nl=False)
