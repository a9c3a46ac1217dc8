"""`tritonize report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from tritonize.cli.terminal import say
from tritonize.core.local_paths import local

_DEFAULT = Path("model_repository")
PAGE, PLAIN = "report.html", "report.json"


def report(
    place: Annotated[
        Path,
        typer.Argument(
            parser=local,
            metavar="PLACE",
            help="A model repository; a model in model_repository; a version's directory; or a report.html or report.json.",
        ),
    ] = _DEFAULT,
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="The reports of these models.")] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="The report of this version; default: the newest.")] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", parser=local, metavar="FILE", help="Where to write the page over a repository; default: the cache."
        ),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the path of the page, without opening a browser.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the reports as one JSON document on stdout.")] = False,
) -> None:
    """Open a page over all models and versions of a repository, or the report of one version, in the browser.

    The page over a repository has verdict, error and latency of the newest version of each model, their trend over the versions,
    and links to the reports. Nothing is written into the repository. Every page is one HTML file that needs no network.
    """
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import usage

    if models is None and (inside := _inside_repository(place)):
        place, models, version = inside.repository, [inside.model], inside.version or version
    elif models is None and (named := _model_named(place)):
        place, models = _DEFAULT, [named]
    single = _single(place)
    over_all = single is None and not models and version is None and not json
    if output is not None and not over_all:
        raise UsageError.of(usage.OUTPUT_WITHOUT_INDEX, found=str(output))
    pages = [_index(place, output)] if over_all else _reports(place, single, models or [], version=version, plain=json)
    if json:
        _print(pages)
        return
    for page in pages:
        say(str(page))
        _open(page, no_open=no_open)


def _open(page: Path, *, no_open: bool) -> None:
    from tritonize.cli import published

    if not no_open and published.has_display():
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


class _Inside(NamedTuple):
    """A model of a repository, and the number of a version that it may not have."""

    repository: Path
    model: str
    version: int | None


def _inside_repository(place: Path) -> _Inside | None:
    """What the path of a model, or of a version that does not exist, means; `None` for any other path."""
    from tritonize import repository as repositories

    if place.is_dir() and (place / repositories.CONFIG).is_file():
        return _Inside(place.parent, place.name, None)
    if place.name.isdecimal() and not place.exists() and (place.parent / repositories.CONFIG).is_file():
        return _Inside(place.parent.parent, place.parent.name, int(place.name))
    return None


def _model_named(place: Path) -> str | None:
    """The model of the default repository that a single word names, as in `tritonize show MODEL`; a repository comes first."""
    import glob

    from tritonize import repository as repositories
    from tritonize.core.errors import UsageError

    if len(place.parts) != 1 or place.is_file() or place == _DEFAULT or _single(place) is not None:
        return None
    known = [each.parent.name for each in _DEFAULT.glob(f"{glob.escape(place.name)}/{repositories.CONFIG}")]
    if place.name not in known:
        return None
    try:
        repositories.models(place)
    except UsageError:  # no such folder, or one of something else, such as the model's Python package
        return place.name
    return None


def _single(place: Path) -> Path | None:
    """The folder with the evidence that a place names: a report in it, the folder, or its version; `None` if it names none."""
    from tritonize import repository as repositories
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import usage

    if place.name in (PAGE, PLAIN) and place.is_file():
        return place.parent
    if place.is_file():
        raise UsageError.of(usage.NO_REPORT_FILE, where=str(place))
    if (place / repositories.EVIDENCE).is_dir():
        return place / repositories.EVIDENCE
    return place if (place / PLAIN).is_file() and (place / repositories.MANIFEST).is_file() else None


def _reports(place: Path, single: Path | None, models: list[str], *, version: int | None, plain: bool) -> list[Path]:
    """The files of the reports."""
    from tritonize import repository as repositories
    from tritonize.cli import published
    from tritonize.core.errors import RepositoryError
    from tritonize.core.messages import usage

    if single is not None:
        folders = [single]
    else:
        folders = [repositories.evidence_of(each) for each in published.directories(place, models, version).values()]
    pages = [folder / (PLAIN if plain else PAGE) for folder in folders]
    for page in pages:
        if not page.is_file():
            raise RepositoryError.of(usage.NO_REPORT, where=str(page))
    return pages


def _index(repository: Path, output: Path | None) -> Path:
    """Write the page over a repository, and return its path."""
    import hashlib
    import os

    from tritonize.core import cache
    from tritonize.core.errors import storage_errors
    from tritonize.report.html import index_page
    from tritonize.workflows import history

    key = hashlib.sha256(os.fsencode(repository.resolve())).hexdigest()[:16]
    page = output or cache.directory() / "reports" / f"{key}.html"
    text = index_page.render(str(repository), history.of(repository, start=page.parent))
    with storage_errors(page):
        page.parent.mkdir(parents=True, exist_ok=True)
        part = page.with_name(f".{page.name}.{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(page)
    return page


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
