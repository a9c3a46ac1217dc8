"""The options that describe a model in place of a spec: of `run` and `build`, and some of them of other commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from tritonize.cli.option_groups import with_options

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="NAME:TYPE:SHAPE",
        help="An input, such as INPUT__0:fp32:1x1x160x176x176; the first size is the batch.",
    ),
]
SampleFunction = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION", help="A function that creates samples: called with 0, 1, …, it returns a dictionary of inputs."
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="NAME=TEXT", help="A text for a text input; NAME=@FILE for one text per line."),
]
Outputs = Annotated[list[str] | None, typer.Option("--output", "-o", metavar="NAME", help="Name of an output, in order.")]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the model; default: the file's name.")]
MaxBatch = Annotated[int | None, typer.Option(min=1, metavar="N", help="Largest batch that Triton may form; default: 2.")]
NoBatch = Annotated[bool, typer.Option("--no-batch", help="The first axis is not a batch: max_batch_size 0.")]
Opset = Annotated[int | None, typer.Option(metavar="N", help="ONNX opset; default: 18.")]
NoSimplify = Annotated[bool, typer.Option("--no-simplify", help="Do not run onnxslim.")]


@dataclass(frozen=True, kw_only=True)
class Described:
    """What the options say about a model; `None` or `False` for a missing one."""

    inputs: Sequence[str] | None = None
    sample_function: str | None = None
    texts: Sequence[str] | None = None
    outputs: Sequence[str] | None = None
    name: str | None = None
    max_batch_size: int | None = None
    no_batch: bool = False
    opset: int | None = None
    no_simplify: bool = False

    def describing(self) -> list[str]:
        """The given flags that have a counterpart in a spec, as the user types them."""
        fields = Described.__dataclass_fields__
        return [f"--{name.rstrip('s').replace('_', '-')}" for name in fields if getattr(self, name) not in (None, False, [], ())]


def _described(
    inputs: Inputs = None,
    sample_function: SampleFunction = None,
    *,
    texts: Texts = None,
    outputs: Outputs = None,
    name: Name = None,
    max_batch_size: MaxBatch = None,
    no_batch: NoBatch = False,
    opset: Opset = None,
    no_simplify: NoSimplify = False,
) -> Described:
    return Described(
        inputs=inputs,
        sample_function=sample_function,
        texts=texts,
        outputs=outputs,
        name=name,
        max_batch_size=max_batch_size,
        no_batch=no_batch,
        opset=opset,
        no_simplify=no_simplify,
    )


def with_model(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, in the place of its parameter `described: Described`."""
    return with_options("described", _described, in_place=True)(command)
