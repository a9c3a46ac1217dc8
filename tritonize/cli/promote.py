"""`tritonize promote` and `tritonize rollback`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.terminal import say, say_lines
from tritonize.core.wrapping import wrapped

if TYPE_CHECKING:
    from tritonize.workflows.promotion import Change, Request

AllowUnproven = Annotated[bool, typer.Option("--allow-unproven", help="Serve the version although a required check could not run.")]
ReplaceConfig = Annotated[bool, typer.Option("--replace-config", help="Replace a config.pbtxt that was edited by hand.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def promote(
    names: Annotated[
        list[str], typer.Argument(metavar="[REPOSITORY] MODEL [VERSION]", help="The version to serve; leave it out with --newest.")
    ],
    *,
    newest: Annotated[
        bool, typer.Option("--newest", help="Put the newest version's own version policy in place again, without a pin.")
    ] = False,
    allow_unproven: AllowUnproven = False,
    replace_config: ReplaceConfig = False,
    json: Json = False,
) -> None:
    """Serve one version, with the configuration that it was proven with.

    Version policy and configuration change in one step. The version stays served when newer ones are published (a pin), until
    the next promote or rollback; --newest ends that.
    """
    from tritonize.cli.flags import repository_and
    from tritonize.core.errors import UsageError
    from tritonize.core.messages import usage
    from tritonize.workflows import promotion

    if not newest and not names[-1].isdecimal() and (len(names) == 1 or (len(names) == 2 and Path(names[0]).is_dir())):
        command = shlex.join(["tritonize", "promote", *names])
        raise UsageError.of(usage.PROMOTE_WHICH, found=" ".join(names), command=command)
    root, words = repository_and(names, 1 if newest else 2, "MODEL" if newest else "MODEL VERSION")
    if not newest and not words[1].isdecimal():
        raise UsageError.of(usage.VERSION_NUMBERS, found=words[1], expected="a number, such as 7")
    request = promotion.Request(
        repository=root,
        model=words[0],
        version=None if newest else int(words[1]),
        allow_unproven=allow_unproven,
        replace_config=replace_config,
    )
    _work(promotion.promote, request, json=json)


def rollback(
    names: Annotated[
        list[str], typer.Argument(metavar="[REPOSITORY] MODEL", help="The model; its repository is model_repository by default.")
    ],
    to: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest earlier proven one.")] = None,
    *,
    allow_unproven: AllowUnproven = False,
    replace_config: ReplaceConfig = False,
    json: Json = False,
) -> None:
    """Serve an earlier version again, with the configuration that it was proven with.

    Version policy and configuration change in one step. The version stays served when newer ones are published, until the next
    promote or rollback. No version is removed.
    """
    from tritonize.cli.flags import repository_and
    from tritonize.workflows import promotion

    root, (model,) = repository_and(names, 1, "MODEL")
    request = promotion.Request(
        repository=root, model=model, version=to, allow_unproven=allow_unproven, replace_config=replace_config
    )
    _work(promotion.rollback, request, json=json)


def _work(change: Callable[..., Change], request: Request, *, json: bool) -> None:
    """Change the repository, and print what changed; after Ctrl-C, raise an error that says whether it did."""
    from tritonize.core.errors import InterruptedRunError
    from tritonize.core.messages import repository as wording

    done: list[Change] = []
    try:
        _print(change(request, done=done.append), json=json)
    except KeyboardInterrupt:
        if not done:
            raise
        raise InterruptedRunError.of(wording.INTERRUPTED_CHANGED, served=done[0].version, model=done[0].model) from None


def _print(change: Change, *, json: bool) -> None:
    if json:
        from dataclasses import asdict
        from json import dumps

        say(dumps(asdict(change), indent=2, ensure_ascii=False))
        return
    say_lines(part for line in _lines(change) for part in wrapped(line) or [""])


def _lines(change: Change) -> Iterator[str]:
    yield from _served(change)
    yield from (f"  {note}" for note in change.notes)


def _changed_fields(change: Change) -> Iterator[str]:
    """Yield the fields of the configuration that change, without the version policy, which `_served` tells."""
    fields = [line for line in change.differences if not line.startswith("version_policy")]
    if fields:
        yield "  Changed in config.pbtxt:"
        yield from (f"    {line}" for line in fields)


def _served(change: Change) -> Iterator[str]:
    before, after = (", ".join(map(str, each)) or "none" for each in (change.before, change.after))
    if not change.changed:
        yield f"{change.model}: nothing to change; served: {after}"
        return
    yield f"{change.model}: served: {after}; before: {before}"
    if change.pinned:
        yield f"  config.pbtxt is the one that version {change.version} was proven with, and its version policy names this version."
        yield "  Newer versions are published, and not served, until the next `tritonize promote`."
    else:
        yield f"  config.pbtxt is the one that version {change.version} was proven with, with its own version policy."
    yield from _changed_fields(change)
    yield "  A server loads the change when it polls the repository, is told to load the model, or restarts."
