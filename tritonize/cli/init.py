"""`tritonize init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.terminal import say
from tritonize.core.local_paths import local


def init(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A .pt, .pt2 or .onnx file, or package.module:factory.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", parser=local, metavar="FILE", help="The new file; default: NAME.yaml."),
    ] = None,
) -> None:
    """Write a spec with comments, from what a model says about itself.

    Inputs, outputs, types, shapes and dynamic axes are those of the file. What the file does not say is a guess, which the spec
    marks, or has to be filled in. No file is overwritten.
    """
    from shlex import quote

    from tritonize.workflows import starter_spec

    made = starter_spec.write(str(local(model)), output)
    say(f"wrote {made.path}")
    if made.guessed:
        say(f"  a guess, which the file marks: {', '.join(made.guessed)}")
    if made.missing:
        say(f"  to be filled in: the inputs {', '.join(made.missing)}")
        say(f"  next: describe them in {made.path}, then: tritonize run {quote(str(made.path))}")
    else:
        say(f"  next: tritonize run {quote(str(made.path))}")
