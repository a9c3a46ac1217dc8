"""`tritonize pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.terminal import say, say_lines
from tritonize.core import printable
from tritonize.core.local_paths import local
from tritonize.core.wrapping import wrapped


def pack(
    repository: Annotated[Path, typer.Argument(parser=local, metavar="REPOSITORY", help="The model repository.")],
    folder: Annotated[Path, typer.Argument(parser=local, metavar="FOLDER", help="The new folder; it must not exist.")],
    models: Annotated[
        list[str] | None, typer.Option("--model", "-m", metavar="NAME", help="Only these models, and those of their steps.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Write a clean deployment folder: only what a server loads.

    Copies the versions that the version policies serve, with configurations and labels, and no evidence. Each file is compared
    with its manifest.
    """
    from tritonize.cli.list_versions import size
    from tritonize.workflows import packing

    packed = packing.pack(repository, folder, models or ())
    if json:
        from json import dumps

        plain = {"folder": str(packed.folder), "versions": packed.versions, "files": packed.files, "bytes": packed.bytes}
        say(dumps({**plain, "notes": list(packed.notes)}, indent=2, ensure_ascii=False))
        return
    lines = [f"Wrote {packed.folder}: {packed.files} files, {size(packed.bytes)}"]
    for model, versions in packed.versions.items():
        lines.append(f"  {model}: version{'s' if len(versions) > 1 else ''} {', '.join(map(str, versions))}")
    for note in packed.notes:
        lines += wrapped(printable.line(note))
    say_lines(lines)
