"""`tritonize lint`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.terminal import say, say_lines

if TYPE_CHECKING:
    from tritonize.lint.rule import Diagnostic


class Format(enum.StrEnum):
    """The form of the output."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


def lint(
    repository: Annotated[
        Path | None, typer.Argument(metavar="REPOSITORY", help="A model repository, of tritonize or not.")
    ] = None,
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="Models to check (all).")] = None,
    *,
    format_: Annotated[Format, typer.Option("--format", help="Form of the output.")] = Format.TEXT,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; the same as --format json.")] = False,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="RULES", help="Ids of rules to leave out, with commas.")
    ] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Also read what links outside the repository lead to.")
    ] = False,
    rules: Annotated[bool, typer.Option("--rules", help="List all rules.")] = False,
    explain: Annotated[str | None, typer.Option("--explain", metavar="RULE", help="Explain a rule, by its id or name.")] = None,
) -> None:
    """Check a model repository by Triton's acceptance rules, without starting a server; no weights are read."""
    from tritonize.lint import catalogue

    if explain is not None:
        say(catalogue.page(catalogue.rule(explain)), nl=False)
        return
    if rules:
        say_lines(f"{each.id} {each.severity:<7} {each.name}" for each in catalogue.RULES.values())
        return
    if repository is None:
        raise typer.BadParameter("name a model repository, or pass --rules or --explain", param_hint="REPOSITORY")
    from tritonize.lint.repository import Repository

    left_out = {catalogue.rule(name).id for each in ignore or () for name in each.split(",") if name.strip()}
    opened = Repository(repository, follow=follow_links)
    found = [each for each in opened.lint(models) if each.rule.id not in left_out]
    _print(found, Format.JSON if json else format_, repository=repository, count=len(models or opened.names))
    if any(each.rule.severity == "error" for each in found):
        raise typer.Exit(1)


def _print(found: list[Diagnostic], form: Format, *, repository: Path, count: int) -> None:
    from importlib import metadata
    from json import dumps

    from tritonize.lint import formats

    if form is Format.JSON:
        document = {
            "schema": 1,
            "models": count,
            **formats.counted(found),
            "diagnostics": [formats.as_json(each) for each in found],
        }
        say(dumps(document, indent=2, ensure_ascii=False))
    elif form is Format.SARIF:
        document = formats.sarif(found, repository=repository, version=metadata.version("tritonize"))
        say(dumps(document, indent=2, ensure_ascii=False))
    elif form is Format.GITHUB:
        say_lines(formats.github(each, repository) for each in found)
    else:
        for each in found:
            say_lines([*formats.text(each), ""])
        say(formats.summary(found, count))
