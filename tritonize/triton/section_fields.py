"""Check the names, lists and enumerations of a `triton:` section at every level, in the words of the section's author."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any  # Any: values of a spec, and protobuf's descriptors

from tritonize.core import suggestions
from tritonize.spec import key_places, schema, triton_fields

Problem = tuple[tuple[str | int, ...], str]
_VARIANTS = "configs"
"""A folder beside a model's versions, and no field."""


def problems(section: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the path inside a `triton:` section and a sentence for each problem."""
    root = triton_fields.root()
    for name, value in section.items():
        if name in triton_fields.OWNED:
            yield (name,), "is decided by the rest of the spec; remove it here"
        elif name not in root.fields_by_name:
            yield (name,), f"is not a field of Triton's ModelConfig; {_hint(name, root, value)}"
        else:
            yield from _value_problems(root.fields_by_name[name], value, (name,))


def _field_problems(descriptor: Any, value: object, above: tuple[str | int, ...]) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        kind = "a list" if isinstance(value, list) else repr(value)
        yield above, f"must be a mapping with fields such as {', '.join(list(descriptor.fields_by_name)[:3])}; found {kind}"
        return
    for name, inner in value.items():
        field = descriptor.fields_by_name.get(str(name)) or descriptor.fields_by_camelcase_name.get(str(name))
        if field is None:
            yield (*above, name), f"is not a field of {key_places.dotted(above)}; {_hint(str(name), descriptor, inner)}"
        else:
            yield from _value_problems(field, inner, (*above, name))


def _value_problems(field: Any, value: object, where: tuple[str | int, ...]) -> Iterator[Problem]:
    if value is None:
        return
    if triton_fields.is_map(field):
        held = field.message_type.fields_by_name["value"]
        for key, each in value.items() if isinstance(value, Mapping) else ():
            yield from _value_problems(held, each, (*where, str(key)))
    elif triton_fields.is_list(field):
        if not isinstance(value, list):
            kind = "mapping" if isinstance(value, Mapping) else "value"
            yield where, f"must be a list; put '- ' before the {kind}, or brackets around it"
            return
        for number, each in enumerate(value):
            yield from _single_problems(field, each, (*where, number))
    else:
        yield from _single_problems(field, value, where)


def _single_problems(field: Any, value: object, where: tuple[str | int, ...]) -> Iterator[Problem]:
    if field.message_type is not None:
        yield from _field_problems(field.message_type, value, where)
    elif field.enum_type is not None and isinstance(value, str) and value not in field.enum_type.values_by_name:
        yield where, f"unknown value {value!r}; {suggestions.hint(value, field.enum_type.values_by_name)}"


def _hint(name: str, descriptor: Any, value: object) -> str:
    """What an unknown field may be meant as: another spelling, a field of another level, or a key of the model."""
    top = descriptor.full_name == triton_fields.root().full_name
    if top and name == _VARIANTS:
        return "variants beside triton writes configs/<name>.pbtxt"
    if top and name in schema.Model.model_fields:
        return f"{name} belongs beside triton, to the model"
    known = [each for each in descriptor.fields_by_name if not top or each not in triton_fields.OWNED]
    spelled = suggestions.near(name, known)
    if spelled and suggestions.same(name, spelled[0]):
        return f"did you mean {spelled[0]!r}?"
    elsewhere = [field for field in triton_fields.fields() if field.place[-1] == name]
    if fitting := [field for field in elsewhere if not field.allowed or value in field.allowed] or elsewhere:
        return f"write it at triton.{key_places.dotted(min((field.place for field in fitting), key=len))}"
    if name in schema.Model.model_fields:
        return f"{name} belongs beside triton, to the model"
    if not spelled and (outside := key_places.elsewhere(("models", triton_fields.ANY, name), schema.Spec, value)):
        return f"write it at {key_places.dotted(outside[0])}"
    return suggestions.hint(name, known)
