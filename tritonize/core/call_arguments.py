"""Turn flat named tensors into the arguments of a function, without importing torch.

An input has the name of a parameter, or INPUT__0, INPUT__1 and so on for its position. A dot in a name leads into a dictionary
or a list.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple  # Any: nested dictionaries of any depth

from tritonize.core.errors import UsageError
from tritonize.core.messages import samples as wording

_NUMBERED = re.compile(r"INPUT__(0|[1-9][0-9]*)")
_ADMITS_NONE = re.compile(r"(typing\.)?Optional\[.*\]|.*\| *None|None *\|.*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A named parameter of a function."""

    name: str
    required: bool
    """Whether the parameter has no default."""
    nullable: bool
    """Whether the parameter accepts `None`: its default is `None`, or its annotation includes it."""
    keyword_only: bool = False
    positional_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The parameters of a function."""

    named: tuple[Parameter, ...]
    more_positions: bool = False
    """Whether the function has `*args`."""
    more_names: bool = False
    """Whether the function has `**kwargs`."""


def parameters(function: Callable[..., object]) -> Parameters | None:
    """The parameters of a Python function; `None` if Python cannot inspect its signature."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    kinds = {each.kind for each in parameters}
    return Parameters(
        named=tuple(
            Parameter(
                name=each.name,
                required=each.default is each.empty,
                nullable=each.default is None or _admits_none(each),
                keyword_only=each.kind is each.KEYWORD_ONLY,
                positional_only=each.kind is each.POSITIONAL_ONLY,
            )
            for each in parameters
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        ),
        more_positions=inspect.Parameter.VAR_POSITIONAL in kinds,
        more_names=inspect.Parameter.VAR_KEYWORD in kinds,
    )


def _admits_none(parameter: inspect.Parameter) -> bool:
    return parameter.annotation is not parameter.empty and bool(_ADMITS_NONE.fullmatch(str(parameter.annotation).strip("'\"")))


class Arguments(NamedTuple):
    """The positional and the keyword arguments of one call."""

    positional: list[object]
    named: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Call:
    """The assignment of a spec's inputs to the parameters of a function."""

    inputs: tuple[str, ...]
    by_name: bool
    """Whether the inputs are assigned by the parameters' names; otherwise by position."""
    places: tuple[int, ...] = ()
    """For assignment by position: the argument position of each root, the part of an input's name before the first dot."""
    count: int = 0
    """For assignment by position: the number of arguments. Arguments without an input are None."""
    absent: tuple[str, ...] = ()
    """For assignment by name: parameters without a default and without an input. They are passed as None."""
    leading: tuple[str, ...] = ()
    """For assignment by name: the first parameters, which are passed by position all the same. Forward hooks of a module get only
    positional arguments, and a positional-only parameter cannot be passed by name."""

    @property
    def plain(self) -> bool:
        """Whether the arguments are exactly the tensors, in the inputs' order."""
        return not self.by_name and self.places == tuple(range(len(self.inputs))) and self.count == len(self.inputs)

    def arguments(self, tensors: Sequence[object]) -> Arguments:
        """The positional and the keyword arguments for one tensor per input, in the inputs' order."""
        roots = nested(dict(zip(self.inputs, tensors, strict=True)))
        if self.by_name:
            named = {**roots, **dict.fromkeys(self.absent)}
            return Arguments([named.pop(name) for name in self.leading], named)
        values: list[object] = [None] * self.count
        for place, value in zip(self.places, roots.values(), strict=True):
            values[place] = value
        return Arguments(values, {})


def bind(known: Parameters | None, inputs: Sequence[str]) -> Call:
    """Assign the inputs to the parameters. A parameter without an input keeps its default or is passed as None.

    Args:
        known: the function's parameters; `None` if they are unknown, which assigns the inputs by position.

    Raises:
        UsageError: only some names are parameters, the number of inputs is wrong, or a parameter that rejects None has no input.
    """
    roots = list(dict.fromkeys(name.partition(".")[0] for name in inputs))
    numbers = [int(found[1]) for root in roots if (found := _NUMBERED.fullmatch(root))]
    numbered = len(numbers) == len(roots)
    if known is not None and (by_keyword := _by_keyword(known, inputs, roots, numbered=numbered)):
        return by_keyword
    places = tuple(numbers) if numbered else tuple(range(len(roots)))
    last = max(places, default=-1)
    named = tuple(each for each in known.named if not each.keyword_only) if known else ()
    lacking = [each for each in known.named if each.keyword_only and each.required] if known else []
    open_ended = known is None or known.more_positions or not named
    free = [place for place in range(max(last + 1, len(named))) if place not in places]
    unfilled = [place for place in free if place >= len(named) or (named[place].required and not named[place].nullable)]
    # A single input without a number fits only the first position.
    clear = numbered or (len(roots) == 1 and not roots[0].startswith("INPUT__")) or not named
    if unfilled or lacking or not clear or (last >= len(named) and not open_ended):
        raise _not_these(known.named if known else (), inputs)
    if odd := [named[place].name for place in free if place < last and not named[place].nullable]:
        raise UsageError.of(wording.LEFT_OUT, found=", ".join(inputs), name=odd[0])
    count = max([last, *(place for place in free if named[place].required)], default=-1) + 1
    return Call(inputs=tuple(inputs), by_name=False, places=places, count=count)


def _by_keyword(known: Parameters, inputs: Sequence[str], roots: Sequence[str], *, numbered: bool) -> Call | None:
    """The assignment by name; `None` if some inputs have other names, or a required parameter has no input."""
    names = {each.name for each in known.named}
    others = [root for root in roots if root not in names]
    taken = known.more_names and not numbered and (bool(known.named) or not known.more_positions)
    missing = [each for each in known.named if each.required and each.name not in roots]
    if (others and not taken) or not all(each.nullable for each in missing) or not (names or taken):
        return None
    filled = {*roots, *(each.name for each in missing)}
    leading = itertools.takewhile(
        lambda each: each.name in filled and not each.keyword_only and (each.required or each.positional_only), known.named
    )
    return Call(
        inputs=tuple(inputs),
        by_name=True,
        absent=tuple(each.name for each in missing),
        leading=tuple(each.name for each in leading),
    )


def _not_these(named: Sequence[Parameter], inputs: Sequence[str]) -> UsageError:
    listed = [each.name if each.required and not each.nullable else f"{each.name} (optional)" for each in named]
    return UsageError.of(wording.NOT_THE_INPUTS, expected=", ".join(listed) or "none", found=", ".join(inputs))


def nested(flat: Mapping[str, object]) -> dict[str, object]:
    """Nest flat names at their dots: `{"x.mask": a, "x.image": b, "ys.0": c}` becomes `{"x": {"mask": a, "image": b}, "ys": [c]}`.

    A single `input.1` stays one tensor: ONNX exporters create such names, and a list would start at 0.
    """
    root: dict[str, Any] = {}
    uses = Counter(name.partition(".")[0] for name in flat)
    for name, value in flat.items():
        first, _, rest = name.partition(".")
        if uses[first] == 1 and rest.isdigit() and rest != "0":
            root[first] = value
            continue
        *path, last = name.split(".")
        inner = root
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: object) -> object:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(each) for key, each in value.items()}
    if list(inner) == [str(index) for index in range(len(inner))]:
        return list(inner.values())
    return inner
