"""`tritonize tolerance`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.limits import RUN_S, Deadline, limited
from tritonize.cli.model_options import Described, with_model
from tritonize.cli.run import Json, Models, SampleFiles
from tritonize.cli.terminal import say, say_lines
from tritonize.core.errors import EXIT_DIFFERS

if TYPE_CHECKING:
    from tritonize.cli.flags import RunFlags
    from tritonize.core.artifacts import Report


@with_model
def tolerance(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE | [REPOSITORY] MODEL",
            help="A spec (.yaml) or a model as for `run`; or a published model, or the directory of a version, also a staged one.",
        ),
    ],
    *,
    described: Described,
    models: Models = None,
    sample_files: SampleFiles = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="Of a published model; default: the newest.")] = None,
    seconds: Deadline = RUN_S,
    json: Json = False,
) -> None:
    """Compute the smallest atol and rtol with which each output passes.

    Exports the model and compares ONNX Runtime with PyTorch, without a server; nothing is published. For a published model, or the
    directory of a staged version that failed, it reads the version's report, which covers the server's responses too. The exit code
    is 1 if an output does not pass with its tolerance.
    """
    from tritonize.cli.flags import RunFlags
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import tolerance as wording
    from tritonize.workflows import tolerance as workflow

    if len(names) == 1 and _is_source(names[0]):
        if version is not None:
            raise UsageError.of(wording.VERSION_OF_SOURCE, found=f"--version {version}", source=names[0])
        given = RunFlags(
            source=names[0],
            **vars(described),
            models=models,
            sample_files=sample_files,
            seconds=seconds,
            json=json,
        )
        reports: Sequence[Report] = _measured(given)
    else:
        if unused := [*described.describing(), *(["--sample-file"] if sample_files else []), *(["--model"] if models else [])]:
            raise UsageError.of(wording.FLAGS_OF_REPORT, found=", ".join(unused))
        reports = [workflow.stored(_directory(names, version))]
    if json:
        _print(reports)
    else:
        say_lines(_lines(reports))
    if any(not each.passed or each.concerns for report in reports for each in report.tolerances) or any(
        "error" in each.details for each in reports
    ):
        raise typer.Exit(EXIT_DIFFERS)


def _is_source(word: str) -> bool:
    """Whether the argument is a spec or a model, not a model in a repository."""
    return Path(word).is_file() or ":" in word or Path(word).suffix.lower() in (".yaml", ".yml", ".pt", ".pth", ".pt2", ".onnx")


def _measured(given: RunFlags) -> Sequence[Report]:
    from tritonize.cli import given_spec
    from tritonize.cli.display import display
    from tritonize.workflows import tolerance as workflow
    from tritonize.workflows.job import Options

    specification = given_spec.of(given)
    with limited(given.seconds), display() as terminal:
        options = Options(
            set_in=given_spec.place(given), on_stage=terminal.on_stage, on_model=terminal.on_model, on_progress=terminal.on_progress
        )
        return workflow.measured(specification, models=given.models or (), options=options)


def _directory(names: Sequence[str], version: int | None) -> Path:
    """The directory of the version whose report is read."""
    from tritonize import repository
    from tritonize.cli import published
    from tritonize.cli.flags import repository_and

    if len(names) == 1 and (Path(names[0]) / repository.EVIDENCE).is_dir():
        return Path(names[0])
    root, (model,) = repository_and(names, 1, "MODEL")
    return published.directories(root, [model], version)[model]


def _print(reports: Sequence[Report]) -> None:
    from json import dumps

    from tritonize.report import tolerance_text

    plain = [
        {
            "model": report.model,
            "version": report.version,
            "outputs": [tolerance_text.plain(each) for each in report.tolerances],
            "limits": report.details.get("limits"),
            "error": report.details.get("error"),
        }
        for report in reports
    ]
    say(dumps({"models": plain}, indent=2, ensure_ascii=False))


def _lines(reports: Sequence[Report]) -> Iterator[str]:
    from tritonize.report import tolerance_text

    for report in reports:
        version = f" version {report.version}" if report.version is not None and report.location is not None else ""
        yield f"{report.model}{version}"
        if error := report.details.get("error"):
            yield f"  ✗ {error['what']}"
        for each in report.tolerances:
            yield from tolerance_text.lines(each)
        flags = (report.details.get("limits") or {}).get("set_in") == "the command line"
        yield from tolerance_text.to_accept(report.tolerances, flags=flags)
