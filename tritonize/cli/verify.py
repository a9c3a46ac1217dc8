"""`tritonize verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.display import display, finish


def verify(
    repository: Annotated[
        Path, typer.Argument(metavar="REPOSITORY", help="The model repository, with the evidence to verify against.")
    ] = Path("model_repository"),
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest.")] = None,
    urls: Annotated[
        list[str] | None,
        typer.Option(
            "--url", metavar="URL", help="A running server: http://host:8000, grpc://host:8001, or both; default: one is started."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Check published versions: their files, and what a server answers from them."""
    from tritonize import deployment

    with display() as shown:
        request = deployment.Request(
            repository=repository,
            models=models or (),
            version=version,
            urls=urls or (),
            on_stage=shown.on_stage,
            on_progress=shown.on_progress,
        )
        reports = deployment.verify(request)
    finish(reports, as_json=json)
