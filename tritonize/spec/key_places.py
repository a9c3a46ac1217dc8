"""Find the right place for a key that a user wrote at the wrong level of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin  # Any: annotations of types have no common type

from pydantic import BaseModel

Place = tuple[str | int, ...]
ANY = "<name>"
"""Stands for a key that the user chooses, such as the name of an output."""
_TRITON = (
    "dynamic_batching",
    "sequence_batching",
    "ensemble_scheduling",
    "instance_group",
    "version_policy",
    "optimization",
    "parameters",
    "model_warmup",
    "response_cache",
    "model_transaction_policy",
    "model_operations",
    "batch_input",
    "batch_output",
    "cc_model_filenames",
    "default_model_filename",
)
"""Fields of Triton's ModelConfig, which belong under `triton` in a spec."""


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


def elsewhere(where: Place, root: type[BaseModel]) -> Place | None:
    """Return the place where an unknown key belongs, or `None` if the schema does not define it at any level.

    Of several places, the one with the longest common path is returned, then the shortest. Names that the user chose, such as the
    model's name, are kept in the returned place.

    Args:
        where: the place of the unknown key, which is its last part.
        root: the schema of the file.
    """
    name = str(where[-1])
    if name in _TRITON and where[:1] == ("models",) and len(where) > 2:
        return (*where[:2], "triton", name)
    places = [place for place in _places(root) if place[-1] == name]
    if not places:
        return None
    best = max(places, key=lambda place: (_common(place, where), -len(place)))
    return _filled(best, where)


def _places(annotation: Any, above: Place = ()) -> Iterator[Place]:
    """Yield the place of every key of a schema."""
    annotation = _inner(annotation)
    if _is_model(annotation):
        for name, field in annotation.model_fields.items():
            place = (*above, field.alias or name)
            yield place
            yield from _places(field.annotation, place)
    elif get_origin(annotation) is dict:
        yield from _places(get_args(annotation)[1], (*above, ANY))
    elif get_origin(annotation) is list:
        yield from _places(get_args(annotation)[0], (*above, 0))


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
    """Remove `Annotated` and `None` from a type annotation."""
    if hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return next((part for part in get_args(annotation) if part is not type(None)), annotation)
    return annotation
