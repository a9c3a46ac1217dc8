"""`tritonize run` and `tritonize build`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli import build_command, given_spec, spec_words
from tritonize.cli.connection import with_connection
from tritonize.cli.display import display, finish
from tritonize.cli.limits import RUN_S, Deadline, limited
from tritonize.cli.model_options import Described, with_model
from tritonize.cli.servers import AnyServer, Shared
from tritonize.core.connection_options import ConnectionOptions
from tritonize.core.local_paths import is_address, local
from tritonize.core.server_choice import AUTO, chosen

if TYPE_CHECKING:
    from tritonize.cli.flags import RunFlags
    from tritonize.core.artifacts import PublishedVersion
    from tritonize.core.reports import Report
    from tritonize.spec.schema import Model, Spec
    from tritonize.workflows.remote_run import WorkingCopy

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A spec (.yaml), a .pt, .pt2 or .onnx file, or package.module:factory.")
]
Repository = Annotated[
    Path | None,
    typer.Option(parser=local, metavar="FOLDER", help="The model repository; default: model_repository, or the spec's."),
]
AnyRepository = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="The model repository, or an address such as s3://bucket/models; default: model_repository, or the spec's.",
    ),
]
Models = Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models of the spec.")]
ReplaceConfig = Annotated[bool, typer.Option("--replace-config", help="Replace a published config.pbtxt that differs.")]
DropConfigFields = Annotated[
    bool,
    typer.Option("--drop-config-fields", help="With --replace-config: also drop fields of a config.pbtxt written by hand."),
]
AllowUnproven = Annotated[
    bool,
    typer.Option(
        "--allow-unproven",
        help="Publish although a required check could not run here (exit code 3), or a quick version over a proven one.",
    ),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick", help="Leave out float64, edge cases and most requests: no full proof. Not published over a proven version."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Run models that are up to date too.")]
SampleFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--sample-file",
        metavar="FILE",
        help="A file with samples (.npz, .json, or .txt with a text per line), instead of the spec's or random ones.",
    ),
]
Plans = Annotated[
    list[Path] | None,
    typer.Option(parser=local, metavar="FOLDER", help="Plans that another machine built from a `tritonize plan request`."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

TORCH_FILES = (".pt", ".pth", ".pt2", ".ts", ".jit", ".torchscript")


@with_connection
@with_model
def run(
    source: Source,
    *,
    described: Described,
    repository: AnyRepository = None,
    models: Models = None,
    replace_config: ReplaceConfig = False,
    drop_config_fields: DropConfigFields = False,
    allow_unproven: AllowUnproven = False,
    plans: Plans = None,
    sample_files: SampleFiles = None,
    quick: Quick = False,
    force: Force = False,
    server: AnyServer = None,
    server_repository: Shared = None,
    connection: ConnectionOptions,
    seconds: Deadline = RUN_S,
    json: Json = False,
) -> None:
    """Export, serve, verify and publish models.

    Exports each model, starts a Triton server with it, sends every sample, compares the responses with PyTorch's outputs, and
    publishes the version only if all comparisons pass. With --server URL the version is loaded into a running Triton, compared
    there and unloaded. A model whose newest version was made from the same files, spec and libraries is up to date and is not run.
    """
    from tritonize.cli.flags import RunFlags

    given = RunFlags(
        source=source,
        **vars(described),
        repository=None if repository is None or is_address(repository) else Path(repository),
        address=repository if repository is not None and is_address(repository) else None,
        models=models,
        replace_config=replace_config,
        drop_config_fields=drop_config_fields,
        allow_unproven=allow_unproven,
        plans=plans,
        sample_files=sample_files,
        quick=quick,
        force=force,
        server=chosen(server or [AUTO], shared=server_repository, connection=connection),
        seconds=seconds,
        json=json,
    )
    _work("run", given)


@with_model
def build(
    source: Source,
    *,
    described: Described,
    repository: Repository = None,
    models: Models = None,
    replace_config: ReplaceConfig = False,
    plans: Plans = None,
    sample_files: SampleFiles = None,
    quick: Quick = False,
    seconds: Deadline = RUN_S,
    json: Json = False,
) -> None:
    """Build a staged version and compare ONNX Runtime with PyTorch; no server, nothing published."""
    from tritonize.cli.flags import RunFlags

    _work(
        "build",
        RunFlags(
            source=source,
            **vars(described),
            repository=repository,
            models=models,
            replace_config=replace_config,
            plans=plans,
            sample_files=sample_files,
            quick=quick,
            seconds=seconds,
            json=json,
        ),
    )


def _work(command: str, flags: RunFlags) -> None:
    if flags.address is None:
        _work_in(command, flags)
        return
    from tritonize.workflows import remote_run

    with remote_run.working_copy(flags.address) as copy:  # its weights are not here, so nothing in it can be up to date
        _work_in(command, replace(flags, repository=copy.root, force=True), copy=copy)


def _work_in(command: str, flags: RunFlags, *, copy: WorkingCopy | None = None) -> None:
    if not given_spec.is_file(flags.source):
        _work_on(command, flags, copy=copy)
        return
    with spec_words.of(Path(flags.source)):
        _work_on(command, flags, copy=copy)


def _work_on(command: str, flags: RunFlags, *, copy: WorkingCopy | None) -> None:
    from tritonize.process import workers

    specification = given_spec.of(flags)
    current = _up_to_date(specification, flags) if command == "run" else {}
    rest = [model for name, model in specification.models.items() if name not in current and name in (flags.models or [name])]
    # Before the imports below: torch takes longer to import than all of tritonize.
    with workers.preloading(torch=True) if _has_torch_files(rest) else nullcontext():
        if rest or not current:
            _run(command, specification, flags, current=current, copy=copy)
        else:
            finish(list(current.values()), as_json=flags.json)


def _up_to_date(specification: Spec, flags: RunFlags) -> dict[str, Report]:
    """The reports of the models that need no run; of a model without a version nothing is read."""
    names = [name for name in flags.models or specification.models if (specification.repository / name).is_dir()]
    if flags.force or flags.plans or not flags.server.is_own or not names or not set(names) <= set(specification.models):
        return {}
    from tritonize.workflows import up_to_date

    return up_to_date.reports(specification, names, replace_config=flags.replace_config, quick=flags.quick)


def _has_torch_files(models: Iterable[Model]) -> bool:
    """Whether one of the models is a file that workers load with torch, and no code of the user's."""
    sources = (Path(model.source) for model in models)
    return any(source.suffix.lower() in TORCH_FILES and source.is_file() for source in sources)


def _run(command: str, specification: Spec, flags: RunFlags, *, current: Mapping[str, Report], copy: WorkingCopy | None) -> None:
    from tritonize.workflows import job as job_workflow
    from tritonize.workflows import remote_run
    from tritonize.workflows import run as run_workflow

    published: list[PublishedVersion] = []
    with (
        limited(flags.seconds),
        display() as terminal,
        _listing_published(published, flags.models or specification.models),
    ):
        options = job_workflow.Options(
            replace_config=flags.replace_config,
            drop_config_fields=flags.drop_config_fields,
            allow_unproven=flags.allow_unproven,
            plans=tuple(flags.plans or ()),
            quick=flags.quick,
            default_batch=flags.max_batch_size is None and not given_spec.is_file(flags.source),
            force=flags.force or not flags.server.is_own,
            server=flags.server,
            current=current,
            set_in=given_spec.place(flags),
            command=build_command.given(),
            on_published=published.append if copy is None else lambda _in_copy: None,
            on_model=terminal.on_model,
            on_stage=terminal.on_stage,
            on_progress=terminal.on_progress,
        )
        work = run_workflow.run if command == "run" else run_workflow.build
        reports = work(specification, models=flags.models or (), options=options)
        if copy is not None:
            on_step = terminal.on_progress
            reports = remote_run.publish(copy, reports, replace_config=flags.replace_config, on_step=on_step)
    if given_spec.is_file(flags.source):
        reports = tuple(spec_words.in_report(each, Path(flags.source)) for each in reports)
    finish(reports, as_json=flags.json, allow_unproven=flags.allow_unproven)


@contextmanager
def _listing_published(published: Sequence[PublishedVersion], wanted: Collection[str]) -> Iterator[None]:
    """After Ctrl-C, raise an error that lists the models published so far."""
    from tritonize.core.errors import InterruptedRunError
    from tritonize.core.messages import repository as wording

    try:
        yield
    except KeyboardInterrupt:
        if not published:
            raise
        done = ", ".join(f"{each.model} version {each.version}" for each in published)
        raise InterruptedRunError.of(
            wording.INTERRUPTED_PUBLISHED, count=len(published), total=len(wanted), published=done
        ) from None
