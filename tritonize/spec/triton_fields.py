"""The fields of Triton's ModelConfig by name, from its protobuf: where a field belongs, and which fields a place has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple  # Any: protobuf's descriptors have no common type in its stubs

ANY = "<name>"
"""Stands for a key that the user chooses."""
OWNED = ("name", "platform", "backend", "max_batch_size", "input", "output", "default_model_filename", "cc_model_filenames")
"""Fields of the top level whose values come from the rest of a spec."""


def root() -> Any:
    """Return the descriptor of ModelConfig."""
    # Imported here because it imports gRPC, which would slow down `tritonize --help`.
    from tritonclient.grpc import model_config_pb2

    return model_config_pb2.ModelConfig.DESCRIPTOR


class Field(NamedTuple):
    """A field of ModelConfig or of one of its messages."""

    place: tuple[str | int, ...]
    """An item of a list is 0, an entry of a map `<name>`."""
    allowed: frozenset[str] | None
    """The names of an enumeration's values; `None` for another type."""


def fields(descriptor: Any = None, above: tuple[str | int, ...] = ()) -> Iterator[Field]:
    """Yield every field of ModelConfig, at every level, without those of the top level that the rest of a spec decides."""
    for field in (descriptor or root()).fields:
        place = (*above, field.name)
        if not above and field.name in OWNED:
            continue
        yield Field(place=place, allowed=frozenset(field.enum_type.values_by_name) if field.enum_type else None)
        if is_map(field):
            value = field.message_type.fields_by_name["value"].message_type
            inner = () if value is None else fields(value, (*place, ANY))
        else:
            repeated = (0,) if is_list(field) else ()
            inner = () if field.message_type is None else fields(field.message_type, (*place, *repeated))
        yield from inner


def is_map(field: Any) -> bool:
    """Return whether a field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_list(field: Any) -> bool:
    """Return whether a field is a list and no map."""
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    return bool(repeated) and not is_map(field)
