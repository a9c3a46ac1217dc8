"""Say what is wrong with a value of a file in the words of the file's author, from pydantic's errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any  # Any: problems of pydantic

from pydantic import BaseModel, ValidationError

from tritonize.core import dtypes, suggestions
from tritonize.spec import key_places
from tritonize.spec.key_places import Place

_WANTED = {
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be a text",
    "path_type": "must be the path of a file",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "less_than_equal": "must be at most {le}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "greater_than": "must be greater than {gt}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
"""pydantic's kind of problem to what the value must be."""
_FORMS = {
    r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$": "must have the form file.py:function",
    r"^.+:[0-9]+$": "must have the form file.py:line, such as net.py:8",
    r"^\d\d\.\d\d$": 'must be year and month in quotes, such as "26.06"',
    r"^\d{1,2}\.\d$": 'must be a compute capability in quotes, such as "8.9"',
}
"""Pattern of a text to its form in words."""


def problems(error: ValidationError, root: type[BaseModel]) -> Iterator[tuple[Place, str]]:
    """Convert pydantic's errors to problems in the words of the file's author: place and sentence.

    Args:
        error: pydantic's error.
        root: the schema of the whole file.
    """
    found = [(_place(problem["loc"]), problem) for problem in error.errors(include_url=False)]
    inside = {where[:count] for where, _ in found for count in range(len(where))}
    seen: set[Place] = set()
    for where, problem in found:
        mapping = where in inside and isinstance(problem["input"], dict)  # a mapping where pydantic also tried a plain value
        if where not in seen and not mapping:
            seen.add(where)
            yield where, _sentence(problem, where, root)


def _place(parts: Sequence[str | int]) -> Place:
    """Return pydantic's place of a problem without the branches of unions that it tried, such as `Weights` or `list[str]`."""
    branches = {"int", "str", "float", "bool", "Weights"}
    last = len(parts) - 1
    return tuple(
        part
        for number, part in enumerate(parts)
        if not (isinstance(part, str) and ("[" in part or (part in branches and (number == last or part == "Weights"))))
    )


def _sentence(problem: Any, where: Place, root: type[BaseModel]) -> str:
    kind, found = problem["type"], problem["input"]
    limits = problem.get("ctx", {}).items()
    context: dict[str, Any] = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in limits
    }
    if kind == "extra_forbidden":
        return f"unknown key; {key_places.hint(where, root, found)}"
    if kind == "missing":
        return "this key is required"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error" and isinstance(found, str):
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return f"unknown value {_short(repr(found))}; {_value_hint(found, allowed)}"
    plain = problem["msg"][:1].lower() + problem["msg"][1:]
    text = _WANTED[kind].format(**context) if kind in _WANTED else _FORMS.get(str(context.get("pattern")), plain)
    if kind in ("dict_type", "model_type") and (keys := list(key_places.fields_at(where, root))):
        text = f"{text} with keys such as {', '.join(keys[:3])}"
    if kind == "string_type" and isinstance(found, int | float):
        return f'{text}; put it in quotes: "{found}"'
    return f"{text}; found {_short(repr(found))}"


def _value_hint(found: str, allowed: list[str]) -> str:
    """What a value may be meant as: another spelling, an abbreviation (`ort`), or another name of an element type (`half`)."""
    with contextlib.suppress(KeyError):
        if (name := dtypes.by_name(found).name) in allowed:
            return f"did you mean {name!r}?"
    spelled = suggestions.near(found, allowed) or suggestions.abbreviated(found, allowed)
    return suggestions.hint(spelled[0] if spelled else found, allowed)


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
