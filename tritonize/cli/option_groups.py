"""Groups of options that a command has besides its own, as one parameter."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

Command = Callable[..., None]


def with_options(name: str, make: Callable[..., Any], *, in_place: bool = False) -> Callable[[Command], Command]:
    """Add the parameters of `make` to a command's options. What `make` returns is the command's parameter `name`.

    Args:
        name: the parameter.
        make: makes its value.
        in_place: list the options where the parameter stands, and not last.
    """
    added = inspect.signature(make, eval_str=True).parameters

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def run(**values: Any) -> None:
            made = make(**{each: values.pop(each) for each in added})
            command(**values, **{name: made})

        place = list(own.parameters).index(name) if in_place else len(own.parameters)
        kept = [each for each in own.parameters.values() if each.name != name]
        every = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*kept[:place], *added.values(), *kept[place:])]
        run.__signature__ = own.replace(parameters=every)  # type: ignore[attr-defined] # typeshed lacks it
        run.__annotations__ = {each.name: each.annotation for each in every}
        return run

    return decorate
