"""Find what an unknown key of a file is meant as: another spelling, or a key of another level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, Union, get_args, get_origin  # Any: annotations of types have no common type

from pydantic import BaseModel

from tritonize.core import suggestions
from tritonize.spec import triton_fields
from tritonize.spec.triton_fields import ANY

Place = tuple[str | int, ...]


def fields_at(where: Place, root: type[BaseModel]) -> Iterator[str]:
    """Yield the keys that the schema defines at a place."""
    annotation: Any = root
    for part in where:
        annotation = _inner(annotation)
        if _is_model(annotation):
            fields = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
            annotation = fields.get(str(part))
        elif get_origin(annotation) in (dict, list):
            annotation = get_args(annotation)[-1]
    annotation = _inner(annotation)
    if _is_model(annotation):
        yield from (field.alias or name for name, field in annotation.model_fields.items())


def hint(where: Place, root: type[BaseModel], value: object = None) -> str:
    """Return what an unknown key may be meant as: the place where it belongs, the right spelling, or else the known keys.

    Args:
        where: the place of the unknown key, which is its last part.
        root: the schema of the file.
        value: the value of the key, which can decide between several places.
    """
    name, known = str(where[-1]), list(fields_at(where[:-1], root))
    spelled = suggestions.near(name, known)
    if spelled and suggestions.same(name, spelled[0]):
        return f"did you mean {spelled[0]!r}?"
    if places := elsewhere(where, root, value):
        return f"write it at {' or at '.join(map(dotted, places))}"
    if not spelled and (places := _near_elsewhere(where, root, value)):
        return f"did you mean {' or '.join(map(dotted, places))}?"
    return suggestions.hint(name, known)


def elsewhere(where: Place, root: type[BaseModel], value: object = None) -> list[Place]:
    """Return the places where an unknown key belongs; empty if neither the schema nor Triton's ModelConfig defines it.

    Of several places in the schema, the one with the longest common path is returned, then the shortest; likewise of those in
    ModelConfig, which belong under `triton` of a model. Names that the user chose, such as the model's name, are kept.

    Args:
        where: the place of the unknown key, which is its last part.
        root: the schema of the file.
        value: the value of the key; a place where it is not allowed is left out if there are others.
    """
    return _best(where, root, name=str(where[-1]), value=value)


def dotted(where: Place) -> str:
    """Format a place in a file, such as `models.heart.axes`."""
    return ".".join(str(part) for part in where) or "the file"


def _near_elsewhere(where: Place, root: type[BaseModel], value: object) -> list[Place]:
    """Return the places of keys that are spelled like an unknown one: `max_batchsize` at the top of a spec."""
    every = {str(key.place[-1]): None for key in _every(root)}
    spelled = suggestions.near(str(where[-1]), every, most=1)
    return _best(where, root, name=spelled[0], value=value) if spelled else []


def _best(where: Place, root: type[BaseModel], *, name: str, value: object) -> list[Place]:
    """Return the best place of a key in the schema, and that in ModelConfig if it is about as near."""
    keys = [key for key in _every(root) if key.place[-1] == name]
    keys = [key for key in keys if key.allowed is None or not isinstance(value, str) or value in key.allowed] or keys
    own = _nearest(where, (key.place for key in keys if "triton" not in key.place))
    other = _nearest(where, (key.place for key in keys if "triton" in key.place and key.place[-1] != "triton"))
    own = own or _nearest(where, (key.place for key in keys if key.place[-1] == "triton"))
    if own and other and _common(own, where) > _common(other, where):
        other = None
    return [_filled(place, where) for place in (own, other) if place]


def _nearest(where: Place, places: Iterable[Place]) -> Place | None:
    return max(places, key=lambda place: (_common(place, where), -len(place)), default=None)


def _every(root: type[BaseModel]) -> Iterator[triton_fields.Field]:
    """Yield every key of the schema, and for a spec every field of ModelConfig below `triton` of a model."""
    yield from _keys(root)
    if "models" in root.model_fields:
        for field in triton_fields.fields():
            yield field._replace(place=("models", ANY, "triton", *field.place))


def _keys(annotation: Any, above: Place = ()) -> Iterator[triton_fields.Field]:
    """Yield every key of a schema."""
    annotation = _inner(annotation)
    if _is_model(annotation):
        for name, field in annotation.model_fields.items():
            place, inner = (*above, field.alias or name), _inner(field.annotation)
            allowed = frozenset(map(str, get_args(inner))) if get_origin(inner) is Literal else None
            yield triton_fields.Field(place=place, allowed=allowed)
            yield from _keys(inner, place)
    elif get_origin(annotation) is dict:
        yield from _keys(get_args(annotation)[1], (*above, ANY))
    elif get_origin(annotation) is list:
        yield from _keys(get_args(annotation)[0], (*above, 0))


def _common(place: Place, where: Place) -> int:
    count = 0
    for part, own in zip(place, where, strict=False):
        if part not in (own, ANY):
            break
        count += 1
    return count


def _filled(place: Place, where: Place) -> Place:
    """Replace `<name>` in the common path of a place by the user's names."""
    count = _common(place, where)
    return (*(own if part == ANY else part for part, own in zip(place[:count], where, strict=False)), *place[count:])


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _inner(annotation: object) -> object:
    """Remove `Annotated` and `None` from a type annotation; of several types, choose the section of a file."""
    if hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return next((part for part in parts if _is_model(part)), parts[0] if parts else annotation)
    return annotation
