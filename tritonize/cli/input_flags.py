"""Read `--input NAME:TYPE:SHAPE` and `--axis NAME=MIN:OPT:MAX`: inputs and dynamic axes, as a spec describes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tritonize.core import suggestions
from tritonize.core.errors import UsageError
from tritonize.core.messages import usage

_FORM = "NAME:TYPE:SHAPE, such as INPUT__0:fp32:1x1x160x176x176, or image:fp32:Nx3xHxW with names of dynamic axes"
_AXIS_FORM = "NAME=MIN:OPT:MAX, such as H=64:224:512; NAME=MIN:MAX; or NAME=MIN:OPT:MAX:STEP"
_BATCH = "batch"


@dataclass(frozen=True, kw_only=True)
class GivenInputs:
    """Inputs and axes, as a spec has them."""

    inputs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    axes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    batch: int = 1
    """The largest batch that they name."""


def parse(inputs: Sequence[str], axes: Sequence[str], *, no_batch: bool) -> GivenInputs:
    """The inputs and axes of the flags.

    The first size of an input is the batch, unless `no_batch`: a name, or a number, which is the largest batch.

    Raises:
        UsageError: a flag has another form, is given twice, or an axis has no range.
    """
    ranges = _ranges(axes)
    shapes: dict[str, list[int | str]] = {}
    types: dict[str, str] = {}
    for text in inputs:
        name, dtype, shape = _input(text)
        if name in shapes:
            raise UsageError.of(usage.INPUT_TWICE, found=f"--input {text}")
        if not shape and not no_batch:
            raise UsageError.of(usage.INPUT_WITHOUT_AXES, found=f"--input {text}")
        shapes[name], types[name] = shape, dtype
    first = [] if no_batch else [shape[0] for shape in shapes.values()]
    batch = next((size for size in first if isinstance(size, str)), _BATCH)
    if not no_batch:
        shapes = {name: [size if isinstance(size, str) else batch, *rest] for name, (size, *rest) in shapes.items()}
    _require_ranges(shapes, ranges, but=set() if no_batch else {batch})
    sizes = [size for size in first if isinstance(size, int)]
    return GivenInputs(
        inputs={name: {"dtype": types[name], "shape": shape} for name, shape in shapes.items()},
        axes=ranges,
        batch=max([*sizes, ranges[batch]["max"] if batch in ranges and first else 1, 1]),
    )


def _input(text: str) -> tuple[str, str, list[int | str]]:
    name, dtype, shape = ["", "", *text.rsplit(":", 2)][-3:]
    parts = [part.strip() for part in re.split(r"," if "," in shape else r"x", shape.strip("[]"))] if shape.strip("[]") else []
    if not name or not all(re.fullmatch(r"[0-9]+", part) or part.isidentifier() for part in parts):
        raise UsageError.of(usage.INPUT_FORM, expected=_FORM, found=f"--input {text}")
    return name, dtype, [part if part.isidentifier() else int(part) for part in parts]


def _ranges(given: Sequence[str]) -> dict[str, dict[str, int]]:
    ranges: dict[str, dict[str, int]] = {}
    for text in given:
        name, _, sizes = text.partition("=")
        if not name.isidentifier() or not re.fullmatch(r"\d+(:\d+){1,3}", sizes, re.ASCII):
            raise UsageError.of(usage.AXIS_FORM, expected=_AXIS_FORM, found=f"--axis {text}")
        if name in ranges:
            raise UsageError.of(usage.AXIS_TWICE, found=f"--axis {text}")
        numbers = list(map(int, sizes.split(":")))
        names = ("min", "max") if len(numbers) == 2 else ("min", "opt", "max", "step")
        ranges[name] = dict(zip(names, numbers, strict=False))
    return ranges


def _require_ranges(shapes: Mapping[str, Sequence[int | str]], ranges: Mapping[str, object], *, but: set[str]) -> None:
    """Fail if a named axis has no range. Nothing is guessed: plans and samples depend on it."""
    named = dict.fromkeys(size for shape in shapes.values() for size in shape if isinstance(size, str))
    if missing := [name for name in named if name not in ranges and name not in but]:
        flags = " ".join(f"--axis {name}=64:224:512" for name in missing)
        given = [name for name in ranges if name not in named]
        meant = suggestions.meant(given[0], missing) if given else None
        raise UsageError.of(usage.AXIS_MISSING, found=", ".join(missing), flags=flags, meant=meant)
