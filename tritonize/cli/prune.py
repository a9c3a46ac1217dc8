"""`tritonize prune`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.list_versions import size
from tritonize.cli.terminal import say, say_lines
from tritonize.core.local_paths import local
from tritonize.core.wrapping import wrapped

if TYPE_CHECKING:
    from tritonize.workflows.pruning import Removal


def prune(
    repository: Annotated[Path, typer.Argument(parser=local, metavar="REPOSITORY", help="The model repository.")] = Path(
        "model_repository"
    ),
    models: Annotated[list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models.")] = None,
    *,
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="Number of the newest versions of each model that stay.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Remove old versions with their evidence, except those that are served.

    A version that the version policy serves stays, and so does one that tritonize did not publish. The versions of a model are
    removed in one step. Nothing brings them back.
    """
    from tritonize.workflows import pruning

    done: list[Removal] = []
    request = pruning.Request(repository=repository, keep=keep, models=tuple(models or ()), dry_run=dry_run)
    try:
        removals = pruning.prune(request, done=done.append)
    except KeyboardInterrupt:
        _interrupted(done)
        raise
    if json:
        from json import dumps

        say(dumps({"dry_run": dry_run, "models": [_plain(each) for each in removals]}, indent=2, ensure_ascii=False))
    else:
        lines = [line for each in removals for line in _lines(each, dry_run=dry_run)]
        say_lines(part for line in lines for part in wrapped(line, rest="    ") or [""])
    errors = [each.error for each in removals if each.error]
    if errors:
        raise typer.Exit(errors[0].exit_code)


def _interrupted(done: Sequence[Removal]) -> None:
    """Raise an error that lists the models that were pruned before Ctrl-C; none if there are none."""
    from tritonize.core.errors import InterruptedRunError
    from tritonize.core.messages import repository as wording

    if done:
        text = ", ".join(f"{each.model} ({_numbers(each.removed)})" for each in done)
        raise InterruptedRunError.of(wording.INTERRUPTED_PRUNING, removed=text) from None


def _plain(removal: Removal) -> dict[str, object]:
    return {
        "model": removal.model,
        "removed": list(removal.removed),
        "kept": list(removal.kept),
        "served": list(removal.served),
        "without_evidence": list(removal.foreign),
        "bytes": removal.bytes,
        "error": removal.error.to_dict() if removal.error else None,
    }


def _lines(removal: Removal, *, dry_run: bool) -> Iterator[str]:
    if removal.error:
        yield f"✗ {removal.model}: nothing was removed. {removal.error.what}"
        yield from (
            f"    {label}: {text}" for label, text in (("where", removal.error.where), ("found", removal.error.found)) if text
        )
        return
    verb = "would remove" if dry_run else "removed"
    if removal.removed:
        yield f"{removal.model}: {verb} {_numbers(removal.removed)} ({size(removal.bytes)})"
    else:
        yield f"{removal.model}: nothing to remove"
    yield f"    kept: {_numbers(removal.kept) or 'none'}; served: {_numbers(removal.served) or 'none'}"
    if removal.foreign:
        yield f"    without evidence, so kept: {_numbers(removal.foreign)}"


def _numbers(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))
