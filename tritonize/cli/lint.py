"""`tritonize lint`."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli import repositories
from tritonize.cli.limits import RUN_S, Deadline, limited
from tritonize.cli.terminal import say, say_lines
from tritonize.core.local_paths import is_address

if TYPE_CHECKING:
    from tritonize.lint.oracle import Verdict
    from tritonize.lint.repository import Repository
    from tritonize.lint.rule import Diagnostic


class Format(enum.StrEnum):
    """The form of the output."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


def lint(
    repository: Annotated[
        str, typer.Argument(metavar="REPOSITORY", help="Any repository; a folder or address.")
    ] = "model_repository",
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Models to check (all).")] = None,
    *,
    form: Annotated[Format, typer.Option("--format", help="Form of the output.")] = Format.TEXT,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; the same as --format json.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Correct what can be corrected safely.")] = False,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", metavar="RULES", help="Rules to leave out, with commas.")] = None,
    oracle: Annotated[bool, typer.Option("--oracle", help="Also start the embedded server, and compare what it loads.")] = False,
    hash_all: Annotated[bool, typer.Option("--hash", help="Hash all files of proven versions, weights too.")] = False,
    follow_links: Annotated[bool, typer.Option("--follow-links", help="Read through links that lead outside.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="List all rules.")] = False,
    explain: Annotated[str | None, typer.Option("--explain", metavar="RULE", help="Explain a rule, by its id or name.")] = None,
    seconds: Deadline = RUN_S,
) -> None:
    """Check a model repository by Triton's acceptance rules, without a server; no weights are read."""
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import lint as messages
    from tritonize.lint import catalogue

    if explain is not None:
        say(catalogue.explanation(catalogue.rule(explain)), nl=False)
        return
    if rules:
        say_lines(f"{each.id} {each.severity:<7} {each.name}{' (--fix)' * each.fixable}" for each in catalogue.RULES.values())
        return
    from tritonize.lint.repository import Repository

    left_out = {catalogue.rule(name).id for each in ignore or () for name in each.split(",") if name.strip()}
    if oracle and left_out:
        raise UsageError.of(messages.ORACLE_WITH_IGNORE, found=", ".join(sorted(left_out)))
    is_remote = is_address(repository)
    if option := next((name for name, given in (("--fix", fix), ("--oracle", oracle), ("--hash", hash_all)) if given), None):
        _require_local(repository, option)
    with limited(seconds), repositories.opened(repository, (), depth="HEADERS") as root:
        opened = Repository(root, follow=follow_links, hash_all=hash_all)
        found = [each for each in opened.lint(models) if each.rule.id not in left_out]
        if fix and _fix(opened, found):
            opened = Repository(root, follow=follow_links, hash_all=hash_all)
            found = [each for each in opened.lint(models) if each.rule.id not in left_out]
        verdicts = _ask(opened, models or opened.names, found) if oracle else ()
    place = Path() if is_remote else root  # paths of an address are relative to it
    _print(found, Format.JSON if json else form, repository=place, count=len(models or opened.names), verdicts=verdicts)
    if any(each.rule.severity == "error" for each in found) or any(each.compared and not each.agrees for each in verdicts):
        raise typer.Exit(1)


def _require_local(repository: str, option: str) -> None:
    """Refuse an option that needs whole files or changes them, if the repository is an address."""
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import remote as wording

    if is_address(repository):
        raise UsageError.of(wording.NOT_FOR_ADDRESS, found=repositories.shown(repository), option=option)


def _fix(repository: Repository, found: Sequence[Diagnostic]) -> bool:
    """Whether a configuration was changed."""
    from tritonize.lint import fixes

    done = list(fixes.apply(repository, found))
    for each in done:
        said = f"{each.count} fixed" if each.problem is None else f"not fixed: {each.problem}"
        say(f"{each.path}: {said}", err=True)
    return any(each.problem is None for each in done)


def _ask(repository: Repository, models: Sequence[str], found: Sequence[Diagnostic]) -> tuple[Verdict, ...]:
    from tritonize.core import temporary
    from tritonize.lint import oracle

    with temporary.folder() as folder:
        return oracle.ask(repository, models, found=found, directory=Path(folder))


def _print(found: Sequence[Diagnostic], form: Format, *, repository: Path, count: int, verdicts: Sequence[Verdict]) -> None:
    from importlib import metadata
    from json import dumps

    from tritonize.cli import step_summary
    from tritonize.lint import formats
    from tritonize.report import github_summary

    errors = any(each.rule.severity == "error" for each in found)
    title = f"{'FAILED' if errors else 'PASSED'} tritonize lint: {formats.summary(found, count)}"
    step_summary.append(lambda: github_summary.of_lines(title, [" ".join(formats.text(each)) for each in found]))
    if form is Format.JSON:
        say(dumps(formats.document(found, models=count, verdicts=verdicts), indent=2, ensure_ascii=False))
    elif form is Format.SARIF:
        document = formats.sarif(found, repository=repository, version=metadata.version("tritonize"))
        say(dumps(document, indent=2, ensure_ascii=False))
    elif form is Format.GITHUB:
        say_lines(formats.github(each, repository) for each in found)
    else:
        for each in found:
            say_lines([*formats.text(each), ""])
        say(formats.summary(found, count))
        if verdicts:
            say_lines(formats.comparison(verdicts))
