"""Dataclasses as JSON data and back, exactly: what two processes hand each other.

The declared type leads both ways, so nothing is guessed: `encode(kind, value)` gives what `json.dumps` takes, `decode(kind, plain)`
gives the value back. Known are dataclasses, `None`, `bool`, `int`, `float` (NaN and infinities included), `str`, `bytes`, `Path`,
`Literal`, `tuple`, `list`, `frozenset`, `Mapping` and `dict` with keys of `str` or `int`, and unions whose members differ in JSON.
A field of type `object` holds JSON data as it is, such as a user's keyword arguments; there alone a tuple becomes a list.

pydantic does the same, but importing it and building its validators takes 0.07 s of each worker (0.3 s where all cores are busy)
against 0.0004 s here; and it takes `"1"` for 1, and cannot write a path that is not UTF-8.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NoReturn, TypeVar, Union, cast

T = TypeVar("T")


class PlainDataError(TypeError):
    """A value is not of the type that is declared for it; the text names the field."""


def encode(kind: type[T], value: T) -> object:
    """A value of the declared type as JSON data.

    Raises:
        PlainDataError: it is of another type, or the type has no JSON form that is told from the others.
    """
    return _encode(kind, value, "")


def decode(kind: type[T], plain: object) -> T:
    """What `encode` made of a value of that type, as the value.

    Raises:
        PlainDataError: it is something else.
    """
    return cast("T", _decode(kind, plain, ""))


def _refuse(kind: object, found: object, place: str) -> NoReturn:
    shown = repr(found)
    expected = kind.__name__ if isinstance(kind, type) else str(kind)
    shown = f"{shown[:80]}…" if len(shown) > 80 else shown
    raise PlainDataError(f"{place or 'value'}: expected {expected}, found {type(found).__name__} {shown}")


def _within(place: str, part: object) -> str:
    return f"{place}.{part}" if place else str(part)


def _encode(kind: object, value: object, place: str) -> object:
    if kind is object:
        return _as_it_is(value, place)
    if not _is_of(kind, value):
        _refuse(kind, value, place)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if _is_union(kind):
        return _encode(next(member for member in _members(kind) if _is_of(member, value)), value, place)
    if origin in (tuple, list, frozenset):
        items = list(cast("typing.Iterable[object]", value))
        return [_encode(each, item, _within(place, index)) for index, (each, item) in _items(kind, items, place)]
    if origin in (Mapping, dict):
        mapping = cast("Mapping[object, object]", value)
        return {_key(inner[0], key, place): _encode(inner[1], item, _within(place, key)) for key, item in mapping.items()}
    if _is_record(kind):
        return {name: _encode(each, getattr(value, name), _within(place, name)) for name, each in _fields(kind).items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Path):
        return str(value)
    for simple in (bool, int, float, str):  # of a subclass, such as NumPy's float64 and an enum of texts, the plain value
        if kind is simple and type(value) is not simple:
            return simple(cast("str", value))
    return value


def _decode(kind: object, plain: object, place: str) -> object:
    if kind is object:
        return plain
    if type(plain) not in _forms(kind):
        _refuse(kind, plain, place)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if _is_union(kind):
        return _decode(next(member for member in _members(kind) if type(plain) in _forms(member)), plain, place)
    if origin is Literal and not _is_of(kind, plain):
        _refuse(kind, plain, place)
    if isinstance(plain, list):
        made = (_decode(each, item, _within(place, index)) for index, (each, item) in _items(kind, plain, place))
        return cast("type[tuple[object, ...]]", origin)(made)
    if origin in (Mapping, dict):
        mapping = cast("dict[str, object]", plain)
        return {_key_back(inner[0], key, place): _decode(inner[1], item, _within(place, key)) for key, item in mapping.items()}
    if _is_record(kind):
        return _record(kind, cast("dict[str, object]", plain), place)
    if kind is bytes:
        return base64.b64decode(cast("str", plain), validate=True)
    return Path(cast("str", plain)) if kind is Path else plain


def _record(kind: type, plain: dict[str, object], place: str) -> object:
    fields = _fields(kind)
    if unknown := plain.keys() - fields.keys():
        raise PlainDataError(f"{place or 'value'}: {kind.__name__} has no field {', '.join(sorted(unknown))}")
    if missing := fields.keys() - plain.keys():
        raise PlainDataError(f"{place or 'value'}: {kind.__name__} lacks {', '.join(sorted(missing))}")
    return kind(**{name: _decode(fields[name], each, _within(place, name)) for name, each in plain.items()})


def _items(kind: object, items: list[object], place: str) -> typing.Iterator[tuple[int, tuple[object, object]]]:
    """Every item of a tuple, list or set with its declared type."""
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is not tuple or inner[1:] == (...,):
        inner = inner[:1] * len(items)
    if len(inner) != len(items):
        _refuse(kind, items, place)
    return enumerate(zip(inner, items, strict=True))


def _key(kind: object, key: object, place: str) -> str:
    if not _is_of(kind, key):
        _refuse(kind, key, _within(place, "key"))
    return str(key)


def _key_back(kind: object, key: str, place: str) -> str | int:
    try:
        return int(key) if kind is int else key
    except ValueError:
        _refuse(kind, key, _within(place, "key"))


def _as_it_is(value: object, place: str) -> object:
    if isinstance(value, Mapping):
        return {_key(str, key, place): _as_it_is(item, _within(place, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_it_is(item, _within(place, index)) for index, item in enumerate(value)]
    return _as_plain(value, place)


def _as_plain(value: object, place: str) -> object:
    """Of a subclass, such as NumPy's float64 or torch's version, the plain value."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    _refuse("JSON data", value, place)


def _is_union(kind: object) -> bool:
    return typing.get_origin(kind) in (Union, types.UnionType)


def _is_record(kind: object) -> typing.TypeGuard[type]:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _is_of(kind: object, value: object) -> bool:
    """Whether a value is of a declared type, what it holds aside."""
    if _is_union(kind):
        return any(_is_of(member, value) for member in _members(kind))
    origin = typing.get_origin(kind)
    if origin is Literal:
        return any(type(each) is type(value) and each == value for each in typing.get_args(kind))
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is None or kind is type(None):
        return value is None
    if _is_record(kind):
        return type(value) is kind
    return isinstance(value, cast("type", origin or kind))


@functools.cache
def _members(kind: object) -> tuple[object, ...]:
    """The members of a union, integers before floats, since an integer counts as a float too.

    Raises:
        PlainDataError: two of them look alike in JSON.
    """
    members = sorted(typing.get_args(kind), key=lambda member: member is float)
    known: set[type] = set()
    for member in members:
        if known & _forms(member):
            raise PlainDataError(f"{kind}: two of its members look alike in JSON")
        known |= _forms(member)
    return tuple(members)


@functools.cache
def _forms(kind: object) -> frozenset[type]:
    """The types that JSON data of a declared type is read as.

    Raises:
        PlainDataError: this module does not support the type.
    """
    origin = typing.get_origin(kind)
    if _is_union(kind):
        return frozenset().union(*(_forms(member) for member in typing.get_args(kind)))
    if origin is Literal:
        return frozenset(type(each) for each in typing.get_args(kind))
    if origin in (tuple, list, frozenset):
        return frozenset({list})
    if origin in (Mapping, dict) or _is_record(kind):
        return frozenset({dict})
    if kind in (bytes, Path, str):
        return frozenset({str})
    if kind in (bool, int, float):
        return frozenset({cast("type", kind)})
    if kind is None or kind is type(None):
        return frozenset({type(None)})
    raise PlainDataError(f"{kind}: not a type that can be handed to another process")


@functools.cache
def _fields(kind: type) -> dict[str, object]:
    """Field to declared type of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def require_known(kind: object) -> None:
    """Go through a declared type and all that it holds.

    Raises:
        PlainDataError: something in it cannot be handed to another process.
    """
    _require_known(kind, set())


def _require_known(kind: object, seen: set[object]) -> None:
    if kind in (object, ...) or kind in seen:
        return
    seen.add(kind)
    _forms(kind)
    if _is_union(kind):
        _members(kind)
    if typing.get_origin(kind) is not Literal:
        for inner in typing.get_args(kind):
            _require_known(inner, seen)
    if _is_record(kind):
        for inner in _fields(kind).values():
            _require_known(inner, seen)
    if typing.get_origin(kind) in (Mapping, dict) and typing.get_args(kind)[0] not in (str, int):
        raise PlainDataError(f"{kind}: keys are texts or integers")
