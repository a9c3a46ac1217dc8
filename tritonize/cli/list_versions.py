"""`tritonize list`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli import repositories
from tritonize.cli.terminal import say, say_lines
from tritonize.core.wrapping import wrapped

if TYPE_CHECKING:
    from tritonize.workflows.overview import ModelLine, VersionLine


def list_versions(
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help=repositories.HELP)] = "model_repository",
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """List models and versions: what is served, verdict, date, backend, size.

    Reads configurations and manifests alone; `tritonize verify` checks the files.
    """
    from tritonize.workflows import overview

    with repositories.opened(repository, models or (), depth="MANIFESTS") as root:
        found = overview.listing(root, models or ())
    name = repositories.shown(repository)
    if json:
        from dataclasses import asdict
        from json import dumps

        say(
            dumps(
                {"repository": name, "files_checked": False, "models": [asdict(each) for each in found]},
                indent=2,
                ensure_ascii=False,
            )
        )
        return
    say_lines(_lines(name, found))


def _lines(repository: str, models: Sequence[ModelLine]) -> Iterator[str]:
    from tritonize.core.messages import adoption

    count = sum(len(each.versions) for each in models)
    yield f"{repository}: {_counted(len(models), 'model')}, {_counted(count, 'version')}"
    for model in models:
        yield ""
        pinned = ", pinned by promote or rollback" if model.pinned is not None else ""
        completed = ", no config.pbtxt: Triton completes it" if model.completed else ""
        yield f"{model.model}  (version policy: {model.policy}{pinned}{completed})"
        if model.problem:
            yield f"  ✗ {model.problem}"
        for each in model.versions:
            yield _line(each)
            if each.reference == "none":
                yield f"      {adoption.UNREFERENCED.text()}"
            if each.left_out:
                yield from wrapped(f"      left out: {each.left_out}", rest=" " * 6)
            if each.problem:
                yield f"      ✗ {each.problem}"
        if not model.versions:
            yield "  no version"
    if any(each.verdict for model in models for each in model.versions):
        yield ""
        yield "The files were not read. `tritonize verify` compares them with the manifests."


def _line(version: VersionLine) -> str:
    served = "served" if version.served else ""
    verdict = version.verdict or ("damaged" if version.problem else "no evidence")
    created = (version.created or "")[:16].replace("T", " ")
    evidence = f" + {size(version.evidence_bytes)}" if version.evidence_bytes else ""
    return (
        f"  {version.version:>3}  {served:<6}  {verdict:<12}  {created:<16}  {version.backend or '':<12}  "
        f"{size(version.bytes)}{evidence}"
    ).rstrip()


def size(count: float) -> str:
    """A number of bytes in the unit that suits it."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
