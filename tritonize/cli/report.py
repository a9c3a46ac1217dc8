"""`tritonize report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.terminal import say
from tritonize.core.local_paths import local

PAGE, PLAIN = "report.html", "report.json"


def report(
    repository: Annotated[
        Path,
        typer.Argument(
            parser=local, metavar="REPOSITORY", help="The model repository, or a version's directory, also a staged one."
        ),
    ] = Path("model_repository"),
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest.")] = None,
    *,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the paths of the reports.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the reports as one JSON document on stdout.")] = False,
) -> None:
    """Open the report of a version in the browser: one HTML file that needs no network."""
    from tritonize import repository as repositories
    from tritonize.cli import published
    from tritonize.core import errors
    from tritonize.core.messages import usage

    if (repository / repositories.EVIDENCE).is_dir():  # a version's directory
        directories = [repository]
    else:
        directories = list(published.directories(repository, models or (), version).values())
    pages = [repositories.evidence_of(each) / (PLAIN if json else PAGE) for each in directories]
    for page in pages:
        if not page.is_file():
            raise errors.RepositoryError.of(usage.NO_REPORT, where=str(page))
    if json:
        _print(pages)
        return
    for page in pages:
        say(str(page))
        if not no_open and published.has_display():
            import webbrowser

            webbrowser.open(page.resolve().as_uri())


def _print(files: list[Path]) -> None:
    from json import dumps

    from tritonize.core import bounded_files
    from tritonize.core.errors import RepositoryError
    from tritonize.core.messages import files as wording

    reports = []
    for file in files:
        try:
            reports.append(bounded_files.json_of(file))
        except (OSError, ValueError) as error:
            raise RepositoryError.of(wording.REPORT_UNREADABLE, where=str(file), found=str(error)) from error
    say(dumps({"reports": reports}, indent=2, ensure_ascii=False))
