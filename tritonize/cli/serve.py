"""`tritonize serve`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.display import display

Port = Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Port on 127.0.0.1; 0 takes a free one.")]


def serve(
    repository: Annotated[Path, typer.Argument(metavar="REPOSITORY", help="The model repository.")] = Path("model_repository"),
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")] = None,
    http_port: Port = 8000,
    grpc_port: Port = 8001,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout when it is ready.")] = False,
) -> None:
    """Serve a model repository on 127.0.0.1 with the embedded Triton, until Ctrl-C."""
    from tritonize import repository as repositories
    from tritonize import scratch, serving
    from tritonize.wording import server as wording

    served = models or repositories.models(repository)
    with scratch.folder() as folder, display() as shown:
        shown.on_stage("server start", None)
        with serving.serve(
            repository,
            directory=Path(folder),
            models=served,
            http_port=http_port,
            grpc_port=grpc_port,
            on_progress=shown.on_progress,
        ) as server:
            shown.clear()
            key = Path(folder) / "key"
            serving.write_key(server, key)
            addresses = {"http": server.http_url, "grpc": server.grpc_url}
            if json:
                from json import dumps

                ready = {**addresses, "models": list(served), "server": dict(server.identity), "key_file": str(key)}
                typer.echo(dumps(ready))
            else:
                typer.echo(wording.SERVING.text(models=", ".join(served), **addresses))
                typer.echo(wording.SERVING_KEY.text(key=key, http=server.http_url))
            with contextlib.suppress(KeyboardInterrupt):  # it was to be served until then, so this is success
                server.wait()
