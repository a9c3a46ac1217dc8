"""The options that describe a model in place of a spec: of `run` and `build`, and some of them of other commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.option_groups import with_options
from tritonize.core.local_paths import local

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="NAME:TYPE:SHAPE",
        help="An input, such as INPUT__0:fp32:1x3x64x64, or image:fp32:Nx3xHxW with names of dynamic axes. The first is the batch.",
    ),
]
Axes = Annotated[
    list[str] | None,
    typer.Option("--axis", metavar="NAME=MIN:OPT:MAX", help="The sizes of a dynamic axis, such as H=64:224:512."),
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
Rtol = Annotated[float | None, typer.Option(min=0, metavar="NUMBER", help="Relative tolerance of every output; default: 1e-4.")]
Atol = Annotated[
    float | None,
    typer.Option(min=0, metavar="NUMBER", help="Absolute tolerance of every output, in its own unit; default: 9e-4."),
]


class Precision(StrEnum):
    """The precision that a model computes in."""

    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"


class Backend(StrEnum):
    """The Triton backend that serves a model."""

    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt_rtx"


Operators = Annotated[
    list[Path] | None,
    typer.Option("--operators", parser=local, metavar="FILE", help="A Python file that registers operators for the exporters."),
]
NoSimplify = Annotated[bool, typer.Option("--no-simplify", help="Do not run onnxslim.")]


_SINGULAR = {"inputs": "input", "axes": "axis", "texts": "text", "outputs": "output"}
"""Field to its option, where the option can be repeated."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What the options say about a model; `None` or `False` for a missing one."""

    inputs: Sequence[str] | None = None
    axes: Sequence[str] | None = None
    sample_function: str | None = None
    texts: Sequence[str] | None = None
    outputs: Sequence[str] | None = None
    name: str | None = None
    max_batch_size: int | None = None
    no_batch: bool = False
    precision: str | None = None
    backend: str | None = None
    rtol: float | None = None
    atol: float | None = None
    opset: int | None = None
    operators: Sequence[Path] | None = None
    no_simplify: bool = False

    def describing(self) -> list[str]:
        """The given flags that have a counterpart in a spec, as the user types them."""
        given = [
            name for name in Described.__dataclass_fields__ if getattr(self, name) is not None and getattr(self, name) is not False
        ]
        return [f"--{_SINGULAR.get(name, name).replace('_', '-')}" for name in given]


def _described(
    inputs: Inputs = None,
    axes: Axes = None,
    *,
    sample_function: SampleFunction = None,
    texts: Texts = None,
    outputs: Outputs = None,
    name: Name = None,
    max_batch_size: MaxBatch = None,
    no_batch: NoBatch = False,
    precision: Annotated[Precision | None, typer.Option(help="Precision that the model computes in; default: fp32.")] = None,
    backend: Annotated[
        Backend | None,
        typer.Option(help="Triton backend: onnxruntime (default) serves the ONNX file, the others a plan."),
    ] = None,
    rtol: Rtol = None,
    atol: Atol = None,
    opset: Opset = None,
    operators: Operators = None,
    no_simplify: NoSimplify = False,
) -> Described:
    return Described(
        inputs=inputs,
        axes=axes,
        sample_function=sample_function,
        texts=texts,
        outputs=outputs,
        name=name,
        max_batch_size=max_batch_size,
        no_batch=no_batch,
        precision=precision and precision.value,
        backend=backend and backend.value,
        rtol=rtol,
        atol=atol,
        opset=opset,
        operators=operators,
        no_simplify=no_simplify,
    )


def with_model(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, in the place of its parameter `described: Described`."""
    return with_options("described", _described, in_place=True)(command)
