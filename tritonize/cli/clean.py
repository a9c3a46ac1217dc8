"""`tritonize clean`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.list_versions import size
from tritonize.cli.terminal import say, say_lines
from tritonize.core.local_paths import local

if TYPE_CHECKING:
    from tritonize.workflows.cleaning import Found, Leftover


def clean(
    repositories: Annotated[
        list[Path] | None,
        typer.Option(
            "--stagings", parser=local, metavar="REPOSITORY", help="A repository whose staging area is searched (model_repository)."
        ),
    ] = None,
    with_cache: Annotated[
        bool, typer.Option("--cache", help="Also remove cached plans, timings and pages, and server runtimes of other releases.")
    ] = False,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without a question.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; needs --yes or --dry-run.")] = False,
) -> None:
    """Remove what killed runs, failed versions and earlier releases left behind.

    Lists every file and folder with its size and age first, and asks. Published versions are not touched (see `tritonize prune`),
    nor is anything that a running process uses.
    """
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import usage
    from tritonize.workflows import cleaning

    found = cleaning.find(repositories or [Path("model_repository")], with_cache=with_cache)
    if not json:
        say_lines(_found(found))
    if dry_run or not found.leftovers:
        if json:
            _print_json(found, removed=())
        return
    if not yes:
        if json or not sys.stdin.isatty():
            raise UsageError.of(usage.CLEAN_UNCONFIRMED)
        if not typer.confirm("Remove them?"):
            return
    removed = [each for each in found.leftovers if cleaning.remove(each)]
    if json:
        _print_json(found, removed=removed)
        return
    say(f"removed {_total(removed)}")
    for each in found.leftovers:
        if each not in removed:
            say(f"kept, since it is in use or cannot be removed: {each.path}")


def _found(found: Found) -> Iterator[str]:
    for each in sorted(found.leftovers, key=lambda each: -each.bytes):
        yield f"{size(each.bytes):>10}  {age(each.age_s):>10}  {each.kind}"
        yield f"{'':24}{each.path}"
    yield f"{_total(found.leftovers)} to remove" if found.leftovers else "nothing to remove"
    if found.in_use:
        yield f"{len(found.in_use)} in use by running processes, and not listed"


def _total(leftovers: Sequence[Leftover]) -> str:
    count = len(leftovers)
    return f"{size(sum(each.bytes for each in leftovers))} in {count} {'entry' if count == 1 else 'entries'}"


def age(seconds: float) -> str:
    """A time span in the unit that suits it."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "now"


def _print_json(found: Found, *, removed: Sequence[Leftover]) -> None:
    from json import dumps

    entries = [
        {"kind": each.kind, "path": str(each.path), "bytes": each.bytes, "age_s": round(each.age_s), "removed": each in removed}
        for each in found.leftovers
    ]
    say(dumps({"entries": entries, "in_use": [str(path) for path in found.in_use]}, indent=2, ensure_ascii=False))
