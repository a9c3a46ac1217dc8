"""`tritonize verify`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli import repositories
from tritonize.cli.connection import with_connection
from tritonize.cli.display import display, finish
from tritonize.cli.limits import VERIFY_S, Deadline, limited
from tritonize.cli.sign import RequireSignature
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import is_address, local

if TYPE_CHECKING:
    from tritonize.workflows import verify as verify_workflow


@with_connection
def verify(
    repository: Annotated[
        str | None,
        typer.Argument(
            metavar="REPOSITORY",
            help="The repository, with its evidence; a folder or address.  [default: model_repository]",
            show_default=False,
        ),
    ] = None,
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest.")] = None,
    *,
    urls: Annotated[
        list[str] | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="A running server: https://host/path, grpcs://host, or both; repeated for more replicas. Default: start one.",
        ),
    ] = None,
    golden: Annotated[
        Path | None,
        typer.Option(
            "--golden", parser=local, metavar="FILE", help="Verify the running server with this file, without a repository."
        ),
    ] = None,
    seconds: Deadline = VERIFY_S,
    serve_anyway: Annotated[
        bool, typer.Option("--serve-anyway", help="Verify also versions whose files changed after publication.")
    ] = False,
    only_proven: Annotated[
        bool, typer.Option("--only-proven", help="Leave models without evidence out of the exit code; default: exit code 3.")
    ] = False,
    require_signature: RequireSignature = None,
    connection: ConnectionOptions,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Verify published versions: their files, and a server's responses against the expected outputs."""
    from tritonize.core.messages import usage
    from tritonize.workflows import verify as verify_workflow

    if golden is not None:
        if require_signature is not None:
            raise UsageError.of(usage.GOLDEN_UNSIGNED, found=str(require_signature))
        _with_file(
            golden, repository, models or [], version=version, urls=urls or [], connection=connection, seconds=seconds, as_json=json
        )
        return
    place = repository or "model_repository"
    request = verify_workflow.Request(
        repository=Path(),
        models=models or (),
        version=version,
        urls=urls or (),
        connection=connection,
        serve_anyway=serve_anyway,
        key=require_signature,
    )
    _with_repository(place, request, seconds=seconds, as_json=json, only_proven=only_proven)


def _with_repository(place: str, request: verify_workflow.Request, *, seconds: float, as_json: bool, only_proven: bool) -> None:
    from tritonize.core.messages import remote as wording
    from tritonize.workflows import replicas

    if request.key is not None and is_address(place):
        raise UsageError.of(wording.NOT_FOR_ADDRESS, found=repositories.shown(place), option="--require-signature")
    with limited(seconds), display() as terminal, repositories.opened(place, request.models, depth="ALL") as root:
        request = replace(request, repository=root, on_stage=terminal.on_stage, on_progress=terminal.on_progress)
        reports = replicas.verify(request)
    if is_address(place):  # the copy is gone
        note = wording.VERIFIED_COPY.text(address=repositories.shown(place))
        reports = tuple(replace(each, location=None, notes=(*each.notes, note)) for each in reports)
    finish(reports, as_json=as_json, only_proven=only_proven)


def _with_file(
    golden: Path,
    repository: str | None,
    models: list[str],
    *,
    version: int | None,
    urls: list[str],
    connection: ConnectionOptions,
    seconds: float,
    as_json: bool,
) -> None:
    from tritonize.core.messages import usage
    from tritonize.workflows import golden as golden_workflow
    from tritonize.workflows import replicas

    if repository is not None:
        raise UsageError.of(usage.GOLDEN_WITH_REPOSITORY, found=repositories.shown(repository))
    if len(models) > 1:
        raise UsageError.of(usage.GOLDEN_MODELS, found=", ".join(models))
    with limited(seconds), display() as terminal:
        request = golden_workflow.Request(
            path=golden,
            urls=urls,
            connection=connection,
            model=models[0] if models else None,
            version=version,
            on_stage=terminal.on_stage,
        )
        report = replicas.verify_golden(request, on_progress=terminal.on_progress)
    finish([report], as_json=as_json)
