"""`tritonize run` and `tritonize build`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.display import display, finish
from tritonize.cli.limits import RUN_S, Deadline, limited
from tritonize.cli.terminal import say

if TYPE_CHECKING:
    from tritonize.cli.flags import RunFlags
    from tritonize.core.artifacts import PublishedVersion
    from tritonize.spec.schema import Spec

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
        metavar="MODULE:FUNCTION", help="A function that draws samples: called with 0, 1, … it returns one, of the inputs' names."
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="NAME=TEXT", help="A text for samples of an input of text; NAME=@FILE for one per line."),
]
Outputs = Annotated[list[str] | None, typer.Option("--output", "-o", metavar="NAME", help="Names of the outputs, in order.")]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the model; default: the file's.")]
Repository = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="The model repository; default: model_repository, or the spec's.")
]
MaxBatch = Annotated[int | None, typer.Option(min=1, metavar="N", help="Largest batch that Triton may form; default: 2.")]
NoBatch = Annotated[bool, typer.Option("--no-batch", help="The first size is no batch: max_batch_size 0.")]
Opset = Annotated[int | None, typer.Option(metavar="N", help="ONNX opset; default: 18.")]
NoSimplify = Annotated[bool, typer.Option("--no-simplify", help="Do not run onnxslim.")]
Models = Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models of the spec.")]
ReplaceConfig = Annotated[bool, typer.Option("--replace-config", help="Replace a published config.pbtxt that differs.")]
AllowUnproven = Annotated[
    bool, typer.Option("--allow-unproven", help="Publish although a proof could not run here; see exit code 3.")
]
SampleFiles = Annotated[
    list[str] | None,
    typer.Option("--sample-file", metavar="FILE", help="Samples in .npz files, instead of the spec's or drawn ones."),
]
Plans = Annotated[
    list[Path] | None, typer.Option(metavar="FOLDER", help="Plans that were built elsewhere, of `tritonize plan request`.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

_ABOUT_THE_RESULT = ("--json", "--allow-unproven", "--replace-config")


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
    allow_unproven: AllowUnproven = False,
    plans: Plans = None,
    sample_files: SampleFiles = None,
    seconds: Deadline = RUN_S,
    json: Json = False,
) -> None:
    """Build, serve, verify and publish: the main job.

    Exports the model, starts a real Triton server on it, asks that server for every sample, compares each answer with
    PyTorch, and publishes the version only if all of it passed.
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
            allow_unproven=allow_unproven,
            plans=plans,
            sample_files=sample_files,
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
    from tritonize.workflows import job as job_workflow
    from tritonize.workflows import run as run_workflow

    specification = _specification(flags)
    if flags.sample_files:
        specification = _with_samples(specification, flags.sample_files)
    published: list[PublishedVersion] = []
    with (
        limited(flags.seconds),
        display() as shown,
        _told_when_interrupted(published, flags.models or specification.models),
    ):
        options = job_workflow.Options(
            replace_config=flags.replace_config,
            allow_unproven=flags.allow_unproven,
            plans=tuple(flags.plans or ()),
            command=_again(),
            on_published=published.append,
            on_stage=shown.on_stage,
            on_progress=shown.on_progress,
        )
        work = run_workflow.run if command == "run" else run_workflow.build
        reports = work(specification, models=flags.models or (), options=options)
    finish(reports, as_json=flags.json, allow_unproven=flags.allow_unproven)


@contextmanager
def _told_when_interrupted(published: Sequence[PublishedVersion], wanted: Collection[str]) -> Iterator[None]:
    """Who interrupts a run of many models is told which of them are in place by then."""
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


def _again() -> str:
    """The command line that builds the same again, without flags that only say what becomes of it."""
    import shlex
    import sys

    return shlex.join(["tritonize", "build", *(word for word in sys.argv[2:] if word not in _ABOUT_THE_RESULT)])


def _with_samples(specification: Spec, files: Sequence[str]) -> Spec:
    """Every model of the spec with samples from these files."""
    models = {
        name: model.model_copy(update={"samples": model.samples.model_copy(update={"files": list(files), "function": None})})
        for name, model in specification.models.items()
    }
    return specification.model_copy(update={"models": models})


def _specification(flags: RunFlags) -> Spec:
    """The spec file, or one made from the flags."""
    from tritonize.cli import flags as from_flags
    from tritonize.core.errors import UsageError
    from tritonize.spec import loader
    from tritonize.triton import model_config

    source = flags.source
    if not source.lower().endswith((".yaml", ".yml")):
        if flags.models:
            raise UsageError("--model chooses among the models of a spec.", found=source)
        if flags.name is None and (note := from_flags.spelled(source)):
            say(note, err=True)
        return from_flags.specification(flags)
    if given := flags.describing():
        raise UsageError("A spec describes its models itself.", found=", ".join(given), next_step=f"say it in {source}")
    specification = loader.load(Path(source), check_triton=model_config.triton_problems)
    if flags.repository:
        specification = specification.model_copy(update={"repository": flags.repository})
    return specification
