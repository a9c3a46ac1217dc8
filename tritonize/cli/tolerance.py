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
    from tritonize.core.reports import Report


@with_model
def tolerance(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE | [REPOSITORY] MODEL",
            help="A spec (.yaml) or a model as for `run`; or a published model, or the path of a repository, of a model in it or "
            "of a version, also a staged one.",
        ),
    ],
    *,
    described: Described,
    models: Models = None,
    sample_files: SampleFiles = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="Of a published model; default: the one that is served.")] = None,
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
        reports = [workflow.stored(each) for each in _directories(names, version)]
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
    if Path(word).name in ("report.html", "report.json"):
        return False
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


def _directories(names: Sequence[str], version: int | None) -> list[Path]:
    """The directories of the versions whose reports are read: of one model, or of all models of a repository."""
    from tritonize import repository
    from tritonize.cli import report
    from tritonize.cli.flags import repository_and
    from tritonize.core.local_paths import local
    from tritonize.workflows import tolerance as workflow

    named = len(Path(names[0]).parts) == 1 and (Path("model_repository") / names[0]).is_dir()  # a model of the default repository
    if len(names) == 1 and not named and (place := Path(names[0])).exists():
        inside = place.name in (repository.EVIDENCE, report.PAGE, report.PLAIN)
        if place.name in ("", "..") or (inside and len(place.parts) < 3):  # as in `.` and `report.json`
            place = place.resolve()
        if inside:
            place = place.parents[place.is_file()]  # the version's directory
        if (place / repository.EVIDENCE).is_dir() or repository.has_evidence(place):
            return [place]
        if workflow.is_model(local(names[0])):
            return [workflow.directory(place.parent, place.name, version)]
        return [workflow.directory(place, model, version) for model in repository.models(place)]
    root, (model,) = repository_and(names, 1, "MODEL")
    return [workflow.directory(root, model, version)]


def _print(reports: Sequence[Report]) -> None:
    from json import dumps

    from tritonize.report import tolerance_text

    plain = [
        {
            "model": report.model,
            "version": report.version,
            "path": None if report.location is None else str(report.location),
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
        yield f"{report.model}{version}{_among(report)}"
        if error := report.details.get("error"):
            yield f"  ✗ {error['what']}"
        for each in report.tolerances:
            yield from tolerance_text.lines(each)
        flags = (report.details.get("limits") or {}).get("set_in") == "the command line"
        yield from tolerance_text.to_accept(report.tolerances, flags=flags)


def _among(report: Report) -> str:
    """Say that the version is not the newest; empty if it is, or if it is not published."""
    from tritonize import repository

    if report.location is None or report.version is None:
        return ""
    newest = max(repository.versions(report.location.parents[1], report.model), default=report.version)
    return f" (the newest is version {newest})" if newest > report.version else ""
