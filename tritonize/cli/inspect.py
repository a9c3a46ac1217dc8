"""`tritonize inspect`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tritonize.cli import tensors
from tritonize.cli.terminal import say, say_lines
from tritonize.core.local_paths import local
from tritonize.core.messages import samples
from tritonize.core.wrapping import wrapped

if TYPE_CHECKING:
    from tritonize.core.artifacts import Inspection

MAX_LISTED = 15
"""Most operators in the text; the JSON has all."""


def inspect(
    source: Annotated[str, typer.Argument(metavar="MODEL", help="A .pt, .pt2 or .onnx file, or package.module:factory.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Print a model's inputs, outputs, operators, parameters and opset."""
    from tritonize.core import errors, temporary
    from tritonize.source import identification, inspection
    from tritonize.spec import schema

    local(source)  # it may also be a factory
    model = schema.Model.model_validate({"source": source, "inputs": {"x": {"shape": [1]}}})
    identified = identification.identify(model)
    if identified.kind != "onnx":
        errors.require("torch", extra="torch")
    with temporary.folder() as folder:
        inspected = inspection.inspect(identified, Path(folder), search_path=[Path.cwd()])
    if json:
        from json import dumps

        from tritonize.core.artifacts import to_json

        say(dumps(to_json(inspected), indent=2, ensure_ascii=False))
        return
    say_lines(_lines(source, inspected))


def _lines(source: str, found: Inspection) -> Iterator[str]:
    opset = f", opset {found.opset}" if found.opset else ""
    yield f"{source}: {found.kind.replace('_', ' ')}, {found.parameters:,} parameters{opset}"
    shapes = [tensor.shape for tensor in found.inputs] if found.kind in ("onnx", "exported_program") else []
    batched = bool(shapes) and all(shape and isinstance(shape[0], str) and shape[:1] == shapes[0][:1] for shape in shapes)
    yield from tensors.lines("inputs", found.inputs, batched=batched)
    if found.inputs and all(tensor.shape == ("?",) for tensor in found.inputs):
        names = ", ".join(tensor.name for tensor in found.inputs)
        single = samples.INPUT_NAME_FREE.text() if len(found.inputs) == 1 else ""
        yield from wrapped(f"{samples.INPUT_NAMES.text(names=names)} {single}".rstrip(), first="  ")
    yield from tensors.lines("outputs", found.outputs, batched=batched)
    yield "modules" if found.kind == "factory" else "operators"
    operators = list(found.operators.items())
    for name, count in operators[:MAX_LISTED]:
        yield f"  {count:>6}  {name}"
    if len(operators) > MAX_LISTED:
        yield f"          and {len(operators) - MAX_LISTED} other kinds; --json lists all"
    for name, value in found.details.items():
        if value not in ([], {}, "", None):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{name.replace('_', ' ')}: {shown}"
