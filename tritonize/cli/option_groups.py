"""Groups of options that a command has besides its own, as one parameter."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

Command = Callable[..., None]


def with_options(name: str, make: Callable[..., Any]) -> Callable[[Command], Command]:
    """Add the parameters of `make` to a command's options. What `make` returns is the command's parameter `name`."""
    added = inspect.signature(make, eval_str=True).parameters

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def run(**values: Any) -> None:
            made = make(**{each: values.pop(each) for each in added})
            command(**values, **{name: made})

        kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own.parameters.values() if each.name != name]
        extra = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in added.values()]
        run.__signature__ = own.replace(parameters=[*kept, *extra])  # type: ignore[attr-defined] # typeshed lacks it
        run.__annotations__ = {each.name: each.annotation for each in (*kept, *extra)}
        return run

    return decorate
