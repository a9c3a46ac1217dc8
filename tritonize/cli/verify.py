"""`tritonize verify`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tritonize.cli import repositories
from tritonize.cli import watch as watching
from tritonize.cli.canary import CanaryOptions, with_canary
from tritonize.cli.connection import with_connection
from tritonize.cli.display import display, finish
from tritonize.cli.limits import VERIFY_S, Deadline, limited
from tritonize.cli.sign import RequireSignature
from tritonize.cli.terminal import say
from tritonize.cli.watch import WatchOptions, with_watch
from tritonize.core import environment
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.errors import UsageError
from tritonize.core.local_paths import is_address, local

if TYPE_CHECKING:
    from tritonize.core.reports import Report
    from tritonize.triton.replicas import Replica
    from tritonize.workflows import verify as verify_workflow
    from tritonize.workflows import watch as watch_workflow
    from tritonize.workflows.canary import Baseline


class Profile(StrEnum):
    """How many requests a running server gets."""

    QUICK = "quick"
    STANDARD = "standard"
    THOROUGH = "thorough"


Repository = Annotated[
    str | None,
    typer.Argument(
        metavar="REPOSITORY",
        help="The repository, with its evidence; a folder or address.  [default: model_repository]",
        show_default=False,
    ),
]
Urls = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="A running server: https://host/path, grpcs://host, or both; repeated for more replicas. Default: start one.",
    ),
]
Golden = Annotated[
    Path | None,
    typer.Option("--golden", parser=local, metavar="FILE", help="Verify the running server with this file, without a repository."),
]
Weight = Annotated[
    Profile | None,
    typer.Option(
        "--profile",
        help="Requests to a running server: some ten (default with --watch), every sample (default), or more and a minute of load.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", min=0.001, metavar="N", help="Send at most N inference requests per second to a running server."),
]
Junit = Annotated[Path | None, typer.Option("--junit", parser=local, metavar="FILE", help="Write the results as JUnit XML too.")]


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the command prints and writes."""

    as_json: bool
    junit: Path | None
    only_proven: bool
    watch: WatchOptions
    baseline: Baseline | None

    def finish(self, reports: Sequence[Report]) -> None:
        """Write the JUnit file, annotate a run of GitHub Actions, print the reports and exit with their code."""
        from tritonize.core import durable_files
        from tritonize.report import github
        from tritonize.report import junit as junit_report

        if self.junit is not None:
            durable_files.write(self.junit, junit_report.document(reports))
        if environment.GITHUB.value() == "true":
            for line in github.lines(reports):
                say(line, err=True)
        finish(reports, as_json=self.as_json, only_proven=self.only_proven)


@with_connection
@with_watch
@with_canary
def verify(
    repository: Repository = None,
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest.")] = None,
    *,
    urls: Urls = None,
    golden: Golden = None,
    seconds: Deadline = VERIFY_S,
    serve_anyway: Annotated[
        bool, typer.Option("--serve-anyway", help="Verify also versions whose files changed after publication.")
    ] = False,
    only_proven: Annotated[
        bool, typer.Option("--only-proven", help="Leave models without evidence out of the exit code; default: exit code 3.")
    ] = False,
    require_signature: RequireSignature = None,
    connection: ConnectionOptions,
    watch: WatchOptions,
    canary: CanaryOptions,
    profile: Weight = None,
    rate: Rate = None,
    junit: Junit = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Verify published versions: their files, and a server's responses against the expected outputs."""
    from tritonize.core.messages import client as client_wording
    from tritonize.workflows import verify as verify_workflow

    if not urls and golden is None and (rate is not None or profile not in (None, Profile.STANDARD)):
        raise UsageError.of(client_wording.OPTION_WITHOUT_URL, options="--profile or --rate")
    watch.require_usable(running=bool(urls), junit=junit is not None)
    baseline = canary.baseline(running=bool(urls), watching=watch.every_s is not None, connection=connection)
    output = Output(as_json=json, junit=junit, only_proven=only_proven, watch=watch, baseline=baseline)
    request = verify_workflow.Request(
        repository=Path(),
        models=models or (),
        version=version,
        urls=urls or (),
        connection=connection,
        serve_anyway=serve_anyway,
        key=require_signature,
        profile=(profile or (Profile.STANDARD if watch.every_s is None else Profile.QUICK)).value,
        rate=rate,
        every_s=watch.every_s,
    )
    if golden is not None:
        _with_file(golden, request, output, repository=repository, seconds=seconds)
    else:
        _with_repository(repository or "model_repository", request, output, seconds=seconds)


def _with_repository(place: str, request: verify_workflow.Request, output: Output, *, seconds: float) -> None:
    from tritonize.core import redaction
    from tritonize.core.messages import remote as wording
    from tritonize.workflows import canary, replicas

    if request.key is not None and is_address(place):
        raise UsageError.of(wording.NOT_FOR_ADDRESS, found=repositories.shown(place), option="--require-signature")
    if output.watch.every_s is not None:
        _watch_repository(place, request, output, seconds=seconds)
    with limited(seconds), display() as terminal, repositories.opened(place, request.models, depth="ALL") as root:
        request = replace(
            request, repository=root, on_model=terminal.on_model, on_stage=terminal.on_stage, on_progress=terminal.on_progress
        )
        reports = replicas.verify(request) if output.baseline is None else canary.verify(request, output.baseline)
    if is_address(place):  # the copy is gone
        address = repositories.shown(place)
        note = wording.VERIFIED_COPY.text(address=address)
        named = redaction.renamed(reports, {str(root): address})
        reports = tuple(replace(each, location=None, notes=(*each.notes, note)) for each in named)
    output.finish(reports)


def _watch_repository(place: str, request: verify_workflow.Request, output: Output, *, seconds: float) -> NoReturn:
    """Verify again and again; a copy of a repository in a store is made once."""
    from tritonize import repository
    from tritonize.core import redaction
    from tritonize.workflows import verify as verify_workflow

    with repositories.opened(place, request.models, depth="ALL") as root:
        said = watching.once()

        def ask(replica: Replica, count: Callable[[], None]) -> tuple[Report, ...]:
            own = replace(request, repository=root, urls=replica.urls, connection=replica.options)
            reports = verify_workflow.verify(replace(own, on_request=count, on_progress=said))
            return redaction.renamed(reports, {str(root): repositories.shown(place)} if is_address(place) else {})

        models = request.models or tuple(repository.models(root))
        watching.run(_watched(request, output, ask, models=models, seconds=seconds), output.watch, as_json=output.as_json)


def _with_file(golden: Path, given: verify_workflow.Request, output: Output, *, repository: str | None, seconds: float) -> None:
    from tritonize.core.messages import usage
    from tritonize.workflows import canary, replicas
    from tritonize.workflows import golden as golden_workflow

    if given.key is not None:
        raise UsageError.of(usage.GOLDEN_UNSIGNED, found=str(given.key))
    if repository is not None:
        raise UsageError.of(usage.GOLDEN_WITH_REPOSITORY, found=repositories.shown(repository))
    if len(given.models) > 1:
        raise UsageError.of(usage.GOLDEN_MODELS, found=", ".join(given.models))
    request = golden_workflow.Request(
        path=golden,
        urls=given.urls,
        connection=given.connection,
        model=given.models[0] if given.models else None,
        version=given.version,
        profile=given.profile,
        rate=given.rate,
        every_s=given.every_s,
    )
    if output.watch.every_s is not None:
        said = watching.once()

        def ask(replica: Replica, count: Callable[[], None]) -> tuple[Report, ...]:
            own = replace(request, urls=replica.urls, connection=replica.options)
            return (golden_workflow.verify(replace(own, on_request=count, on_progress=said)),)

        models = (request.model or golden_workflow.look(golden).origin.model,)
        watching.run(_watched(given, output, ask, models=models, seconds=seconds), output.watch, as_json=output.as_json)
    with limited(seconds), display() as terminal:
        request = replace(request, on_stage=terminal.on_stage, on_progress=terminal.on_progress)
        if output.baseline is None:
            report = replicas.verify_golden(request, on_progress=terminal.on_progress)
        else:
            report = canary.verify_golden(request, output.baseline)
    output.finish([report])


def _watched(
    given: verify_workflow.Request,
    output: Output,
    ask: Callable[[Replica, Callable[[], None]], tuple[Report, ...]],
    *,
    models: Sequence[str],
    seconds: float,
) -> watch_workflow.Request:
    """What a watch repeats. The deadline is that of each round."""
    from tritonize.workflows import watch as watch_workflow

    assert output.watch.every_s is not None
    return watch_workflow.Request(
        ask=ask,
        urls=given.urls,
        connection=given.connection,
        models=models,
        every_s=output.watch.every_s,
        only_proven=output.only_proven,
        limit=lambda: limited(seconds),
    )
