"""`tritonize push`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli.display import display
from tritonize.cli.limits import RUN_S, Deadline, limited
from tritonize.cli.terminal import say, say_lines
from tritonize.core.local_paths import is_address, local, without_secrets
from tritonize.core.wrapping import wrapped

if TYPE_CHECKING:
    from tritonize.workflows.push import Pushed


def push(
    repository: Annotated[Path, typer.Argument(parser=local, metavar="REPOSITORY", help="The local model repository.")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="s3://bucket/models, gs://…, az://… or file:///folder.")],
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Models to publish (all).")] = None,
    *,
    replace_config: Annotated[
        bool, typer.Option("--replace-config", help="Replace a config.pbtxt in the store that differs.")
    ] = False,
    allow_unproven: Annotated[
        bool, typer.Option("--allow-unproven", help="Also publish versions of which a required check could not run.")
    ] = False,
    seconds: Deadline = RUN_S,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Publish what a local repository serves to one in an object store.

    Checks the files of each served version, uploads those that the store lacks with their evidence, and replaces the configuration
    last, so that a Triton that polls the store never serves a part of a version. No version is overwritten. A push that was killed
    is completed or undone by the next one. Credentials are read from the environment and the store's own files.
    """
    from tritonize.core.errors import TritonizeError, UsageError
    from tritonize.core.messages import remote as wording
    from tritonize.workflows import push as push_workflow

    if not is_address(address):
        raise UsageError.of(wording.NO_ADDRESS, found=address)
    done: list[Pushed] = []
    with limited(seconds), display() as terminal:
        request = push_workflow.Request(
            repository=repository,
            address=address,
            models=models or (),
            replace_config=replace_config,
            allow_unproven=allow_unproven,
            on_step=terminal.on_progress,
        )
        try:
            push_workflow.push(request, done=done.append)
        except (TritonizeError, KeyboardInterrupt):
            if done and not json:
                say_lines(_outcomes(done))
            raise
    shown = without_secrets(address).rstrip("/")
    if json:
        from dataclasses import asdict
        from json import dumps

        say(dumps({"address": shown, "models": [asdict(each) for each in done]}, indent=2, ensure_ascii=False))
        return
    say_lines(_outcomes(done))
    if any(each.outcome == "published" for each in done):
        then = f"A server that polls {shown} loads the change at its next poll; others need a load request or a restart."
        say("\n".join(wrapped(then, rest="")))


def _outcomes(done: Sequence[Pushed]) -> Iterator[str]:
    """What happened to each model, also where a later one failed."""
    for each in done:
        versions = f"version{'s' if len(each.versions) > 1 else ''} {', '.join(map(str, each.versions))}"
        yield f"{each.model} {versions}: {each.outcome}"
        for note in each.notes:
            yield from wrapped(f"  {note}")
