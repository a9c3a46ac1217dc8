"""`tritonize run` and `tritonize build`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.display import display, finish
from tritonize.cli.limits import RUN_S, Deadline, limited
from tritonize.cli.terminal import say
from tritonize.core.local_paths import local

if TYPE_CHECKING:
    from tritonize.cli.flags import RunFlags
    from tritonize.core.artifacts import PublishedVersion, Report
    from tritonize.spec.schema import Model, Spec

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A spec (.yaml), a .pt, .pt2 or .onnx file, or package.module:factory.")
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="NAME:TYPE:SHAPE",
        help="An input, such as INPUT__0:fp32:1x1x160x176x176; the first size is the batch.",
    ),
]
SampleFunction = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION", help="A function that creates samples: called with 0, 1, …, it returns a dictionary of inputs."
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="NAME=TEXT", help="A text for a text input; NAME=@FILE for one text per line."),
]
Outputs = Annotated[list[str] | None, typer.Option("--output", "-o", metavar="NAME", help="Name of an output, in order.")]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the model; default: the file's name.")]
Repository = Annotated[
    Path | None,
    typer.Option(parser=local, metavar="FOLDER", help="The model repository; default: model_repository, or the spec's."),
]
MaxBatch = Annotated[int | None, typer.Option(min=1, metavar="N", help="Largest batch that Triton may form; default: 2.")]
NoBatch = Annotated[bool, typer.Option("--no-batch", help="The first axis is not a batch: max_batch_size 0.")]
Opset = Annotated[int | None, typer.Option(metavar="N", help="ONNX opset; default: 18.")]
NoSimplify = Annotated[bool, typer.Option("--no-simplify", help="Do not run onnxslim.")]
Models = Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models of the spec.")]
ReplaceConfig = Annotated[bool, typer.Option("--replace-config", help="Replace a published config.pbtxt that differs.")]
DropConfigFields = Annotated[
    bool,
    typer.Option("--drop-config-fields", help="With --replace-config: also drop fields of a config.pbtxt written by hand."),
]
AllowUnproven = Annotated[
    bool, typer.Option("--allow-unproven", help="Publish although a required check could not run here (exit code 3).")
]
Force = Annotated[bool, typer.Option("--force", help="Run models that are up to date too.")]
SampleFiles = Annotated[
    list[str] | None,
    typer.Option("--sample-file", metavar="FILE", help="An .npz file with samples, instead of the spec's or random ones."),
]
Plans = Annotated[
    list[Path] | None,
    typer.Option(parser=local, metavar="FOLDER", help="Plans that another machine built from a `tritonize plan request`."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

TORCH_FILES = (".pt", ".pth", ".pt2", ".ts", ".jit", ".torchscript")
_ABOUT_THE_RESULT = ("--json", "--allow-unproven", "--replace-config", "--drop-config-fields", "--force")


def run(
    source: Source,
    inputs: Inputs = None,
    sample_function: SampleFunction = None,
    *,
    texts: Texts = None,
    outputs: Outputs = None,
    name: Name = None,
    repository: Repository = None,
    max_batch_size: MaxBatch = None,
    no_batch: NoBatch = False,
    opset: Opset = None,
    no_simplify: NoSimplify = False,
    models: Models = None,
    replace_config: ReplaceConfig = False,
    drop_config_fields: DropConfigFields = False,
    allow_unproven: AllowUnproven = False,
    plans: Plans = None,
    sample_files: SampleFiles = None,
    force: Force = False,
    seconds: Deadline = RUN_S,
    json: Json = False,
) -> None:
    """Export, serve, verify and publish models.

    Exports each model, starts a Triton server with it, sends every sample, compares the responses with PyTorch's outputs, and
    publishes the version only if all comparisons pass. A model whose newest version was made from the same source, Python files,
    samples, spec and library versions is up to date and is not run.
    """
    from tritonize.cli.flags import RunFlags

    _work(
        "run",
        RunFlags(
            source=source,
            inputs=inputs,
            sample_function=sample_function,
            texts=texts,
            outputs=outputs,
            name=name,
            repository=repository,
            max_batch_size=max_batch_size,
            no_batch=no_batch,
            opset=opset,
            no_simplify=no_simplify,
            models=models,
            replace_config=replace_config,
            drop_config_fields=drop_config_fields,
            allow_unproven=allow_unproven,
            plans=plans,
            sample_files=sample_files,
            force=force,
            seconds=seconds,
            json=json,
        ),
    )


def build(
    source: Source,
    inputs: Inputs = None,
    sample_function: SampleFunction = None,
    *,
    texts: Texts = None,
    outputs: Outputs = None,
    name: Name = None,
    repository: Repository = None,
    max_batch_size: MaxBatch = None,
    no_batch: NoBatch = False,
    opset: Opset = None,
    no_simplify: NoSimplify = False,
    models: Models = None,
    replace_config: ReplaceConfig = False,
    plans: Plans = None,
    sample_files: SampleFiles = None,
    seconds: Deadline = RUN_S,
    json: Json = False,
) -> None:
    """Build a staged version and compare ONNX Runtime with PyTorch; no server, nothing published."""
    from tritonize.cli.flags import RunFlags

    _work(
        "build",
        RunFlags(
            source=source,
            inputs=inputs,
            sample_function=sample_function,
            texts=texts,
            outputs=outputs,
            name=name,
            repository=repository,
            max_batch_size=max_batch_size,
            no_batch=no_batch,
            opset=opset,
            no_simplify=no_simplify,
            models=models,
            replace_config=replace_config,
            plans=plans,
            sample_files=sample_files,
            seconds=seconds,
            json=json,
        ),
    )


def _work(command: str, flags: RunFlags) -> None:
    from tritonize.process import workers

    specification = _specification(flags)
    if flags.sample_files:
        specification = _with_samples(specification, flags.sample_files)
    current = _up_to_date(specification, flags) if command == "run" else {}
    rest = [model for name, model in specification.models.items() if name not in current and name in (flags.models or [name])]
    # Before the imports below: torch takes longer to import than all of tritonize.
    with workers.preloading(torch=True) if _has_torch_files(rest) else nullcontext():
        if rest or not current:
            _run(command, specification, flags, current=current)
        else:
            finish(list(current.values()), as_json=flags.json)


def _up_to_date(specification: Spec, flags: RunFlags) -> dict[str, Report]:
    """The reports of the models that need no run; of a model without a version nothing is read."""
    names = [name for name in flags.models or specification.models if (specification.repository / name).is_dir()]
    if flags.force or flags.plans or not names or not set(names) <= set(specification.models):
        return {}
    from tritonize.workflows import up_to_date

    return up_to_date.reports(specification, names, replace_config=flags.replace_config)


def _has_torch_files(models: Iterable[Model]) -> bool:
    """Whether one of the models is a file that workers load with torch, and no code of the user's."""
    sources = (Path(model.source) for model in models)
    return any(source.suffix.lower() in TORCH_FILES and source.is_file() for source in sources)


def _run(command: str, specification: Spec, flags: RunFlags, *, current: Mapping[str, Report]) -> None:
    from tritonize.workflows import job as job_workflow
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
            force=flags.force,
            current=current,
            command=_build_command(),
            on_published=published.append,
            on_stage=terminal.on_stage,
            on_progress=terminal.on_progress,
        )
        work = run_workflow.run if command == "run" else run_workflow.build
        reports = work(specification, models=flags.models or (), options=options)
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


def _build_command() -> str:
    """The `tritonize build` command line that repeats this build, without the flags that concern only the result or the log."""
    import shlex
    import sys

    from tritonize.cli import global_options

    given = global_options.split(sys.argv[1:])
    kept = (word for word in given.command[1:] if word not in _ABOUT_THE_RESULT)
    return shlex.join(["tritonize", *given.isolation, "build", *kept])


def _with_samples(specification: Spec, files: Sequence[str]) -> Spec:
    """The spec with these sample files for every model."""
    models = {
        name: model.model_copy(update={"samples": model.samples.model_copy(update={"files": list(files), "function": None})})
        for name, model in specification.models.items()
    }
    return specification.model_copy(update={"models": models})


def _specification(flags: RunFlags) -> Spec:
    """The spec from the file, or a spec created from the flags."""
    from tritonize.cli import flags as from_flags
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import usage
    from tritonize.spec import loader
    from tritonize.triton import config_section

    source = flags.source
    if not source.lower().endswith((".yaml", ".yml")):
        if flags.models:
            raise UsageError.of(usage.MODEL_WITHOUT_SPEC, found=source)
        if flags.name is None and (note := from_flags.transliterated(source)):
            say(note, err=True)
        return from_flags.specification(flags)
    if given := flags.describing():
        raise UsageError.of(usage.FLAGS_WITH_SPEC, found=", ".join(given), source=source)
    specification = loader.load(Path(source), check_triton=config_section.problems)
    if flags.repository:
        specification = specification.model_copy(update={"repository": flags.repository})
    return specification
