"""`tritonize serve`."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.display import display
from tritonize.cli.terminal import say
from tritonize.core.errors import EXIT_DIFFERS
from tritonize.core.stages import StageName

if TYPE_CHECKING:
    from tritonize.workflows.checked_copy import ToServe

Port = Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Port on 127.0.0.1; 0 for any free port.")]


def serve(
    repository: Annotated[Path, typer.Argument(metavar="REPOSITORY", help="The model repository.")] = Path("model_repository"),
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")] = None,
    http_port: Port = 8000,
    *,
    grpc_port: Port = 8001,
    serve_anyway: Annotated[
        bool, typer.Option("--serve-anyway", help="Serve versions even if their files changed after publication.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout when the server is ready.")] = False,
) -> None:
    """Serve a model repository on 127.0.0.1 with the embedded Triton, until Ctrl-C.

    Before that, the files of published versions are compared with their manifests; the server gets exactly these files.
    """
    from tritonize import repository as repositories
    from tritonize.core import temporary
    from tritonize.core.messages import server as wording
    from tritonize.triton import serving
    from tritonize.workflows import checked_copy

    served = models or repositories.models(repository)
    with temporary.folder() as folder, display() as terminal:
        checked = checked_copy.to_serve(repository, served, folder)
        _print_findings(checked, serve_anyway=serve_anyway, json=json)
        terminal.on_stage(StageName.SERVER_START, None)
        with serving.serve(
            checked.root,
            directory=folder,
            models=served,
            http_port=http_port,
            grpc_port=grpc_port,
            on_progress=terminal.on_progress,
        ) as server:
            terminal.clear()
            key = folder / "key"
            serving.write_key(server, key)
            addresses = {"http": server.http_url, "grpc": server.grpc_url}
            if json:
                from json import dumps

                ready = {**addresses, "models": list(served), "server": dict(server.identity), "key_file": str(key)}
                say(dumps({**ready, "checked": checked.notes}))
            else:
                say(wording.SERVING.text(models=", ".join(served), **addresses))
                say(wording.SERVING_KEY.text(key=key, http=server.http_url))
            with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the regular end
                server.wait()
        _require_unchanged(checked)


def _print_findings(checked: ToServe, *, serve_anyway: bool, json: bool) -> None:
    """Print the results of the check.

    Raises:
        typer.Exit: files changed after publication, and --serve-anyway is not given.
    """
    from tritonize.core.messages import repository as wording

    for note in () if json else checked.notes:
        say(note, err=True)
    if not checked.findings:
        return
    for finding in checked.findings:
        say(f"{finding.where}: {finding.what}", err=True)
    say((wording.SERVED_ANYWAY if serve_anyway else wording.NOT_SERVED).text(), err=True)
    if not serve_anyway:
        if json:
            from json import dumps

            say(dumps({"findings": [asdict(finding) for finding in checked.findings], "checked": checked.notes}))
        raise typer.Exit(EXIT_DIFFERS)


def _require_unchanged(checked: ToServe) -> None:
    """Hash the files that were served from the repository itself again.

    Raises:
        typer.Exit: files changed while they were served.
    """
    findings = [finding for each in checked.checked for finding in each.changed_in_place()]
    for finding in findings:
        say(f"{finding.where}: {finding.what}", err=True)
    if findings:
        raise typer.Exit(EXIT_DIFFERS)
