"""Data survives the conversion to JSON and back unchanged; values of another type are refused, and the error names the field."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import string
import struct
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tritonize.process import plain_data
from tritonize.process.plain_data import PlainDataError


@dataclass(frozen=True, kw_only=True)
class Leaf:
    number: float
    path: Path
    mode: Literal["a", "b", 3] = "a"


@dataclass(frozen=True, kw_only=True)
class Tree:
    flag: bool
    count: int
    text: str
    raw: bytes
    leaf: Leaf
    maybe: Leaf | None
    either: int | str
    mixed: Leaf | str | int | float | tuple[int, ...] | None
    shape: tuple[int | str, ...]
    pair: tuple[str, float]
    deep: tuple[tuple[Leaf, ...], ...]
    listed: list[Path]
    names: frozenset[str]
    by_name: Mapping[str, Leaf | None]
    by_number: dict[int, str] = field(default_factory=dict)
    free: Mapping[str, object] = field(default_factory=dict)


def some_float(draw: random.Random) -> float:
    special = (math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, sys.float_info.max, 0.1, 1.0)
    return draw.choice((*special, struct.unpack("<d", draw.randbytes(8))[0]))


def some_text(draw: random.Random) -> str:
    letters = (*string.printable, "\0", "ü", "🙂", "\u2028", "\udc80", "\\", '"', "NaN")
    return "".join(draw.choices(letters, k=draw.randrange(6)))


def some_int(draw: random.Random) -> int:
    return draw.choice((0, -1, 2**63, -(2**70), draw.randrange(1000)))


def some_leaf(draw: random.Random) -> Leaf:
    paths = ("/a/b", "relative", "with space", "/ü", ".", "/bad\udcff", "a:b")
    return Leaf(number=some_float(draw), path=Path(draw.choice(paths)), mode=draw.choice(("a", "b", 3)))


def some_free(draw: random.Random, depth: int = 2) -> object:
    if depth and draw.random() < 0.5:
        if draw.random() < 0.5:
            return [some_free(draw, depth - 1) for _ in range(draw.randrange(3))]
        return {some_text(draw): some_free(draw, depth - 1) for _ in range(draw.randrange(3))}
    return draw.choice((None, True, some_int(draw), some_float(draw), some_text(draw)))


def several(draw: random.Random, make: Callable[[random.Random], typing.Any]) -> tuple[typing.Any, ...]:
    return tuple(make(draw) for _ in range(draw.randrange(4)))


def some_tree(draw: random.Random) -> Tree:
    return Tree(
        flag=draw.random() < 0.5,
        count=some_int(draw),
        text=some_text(draw),
        raw=draw.randbytes(draw.randrange(5)),
        leaf=some_leaf(draw),
        maybe=draw.choice((None, some_leaf(draw))),
        either=draw.choice((some_int(draw), some_text(draw))),
        mixed=draw.choice((some_leaf(draw), some_text(draw), some_int(draw), some_float(draw), several(draw, some_int), None)),
        shape=several(draw, lambda d: d.choice((some_int(d), some_text(d)))),
        pair=(some_text(draw), some_float(draw)),
        deep=several(draw, lambda d: several(d, some_leaf)),
        listed=[each.path for each in several(draw, some_leaf)],
        names=frozenset(several(draw, some_text)),
        by_name={some_text(draw): each for each in several(draw, lambda d: d.choice((None, some_leaf(d))))},
        by_number={some_int(draw): some_text(draw) for _ in range(3)},
        free={some_text(draw): some_free(draw) for _ in range(3)},
    )


def exactly(value: object) -> str:
    """Return a text that is equal for two values only if their types, signs of zero and reprs are equal."""
    if isinstance(value, frozenset):
        return f"frozenset{sorted(value)}"
    if isinstance(value, Leaf | Tree):
        return f"{type(value).__name__}({', '.join(exactly(getattr(value, each.name)) for each in fields(value))})"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}({', '.join(map(exactly, value))})"
    return f"{{{', '.join(f'{k!r}: {exactly(v)}' for k, v in value.items())}}}" if isinstance(value, dict) else repr(value)


def through_a_file(kind: type[Tree], value: Tree, file: Path) -> Tree:
    file.write_text(json.dumps(plain_data.encode(kind, value)))
    return plain_data.decode(kind, json.loads(file.read_text()))


def test_any_value_is_restored(tmp_path: Path) -> None:
    for seed in range(500):
        tree = some_tree(random.Random(seed))
        assert exactly(through_a_file(Tree, tree, tmp_path / "tree.json")) == exactly(tree), f"seed {seed}"


def test_numpy_numbers_become_plain_numbers(tmp_path: Path) -> None:
    plain = plain_data.encode(Leaf, Leaf(number=np.float64(0.1), path=Path()))
    assert type(plain_data.decode(Leaf, json.loads(json.dumps(plain))).number) is float


def test_only_in_untyped_data_a_tuple_becomes_a_list() -> None:
    tree = some_tree(random.Random(0))
    found = plain_data.decode(Tree, plain_data.encode(Tree, dataclasses.replace(tree, free={"a": (1, (2,))})))
    assert found.free == {"a": [1, [2]]}


BROKEN = {
    "flag": 1,
    "count": True,
    "text": b"x",
    "raw": "x",
    "leaf": None,
    "either": 1.5,
    "shape": (1, 2.5),
    "pair": ("a", 1.0, 2.0),
    "listed": ["a"],
    "by_name": {1: None},
    "free": {"a": {"b": Path("x")}},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_value_of_another_type_is_named(name: str) -> None:
    tree = dataclasses.replace(some_tree(random.Random(1)), **{name: BROKEN[name]})  # type: ignore[arg-type]
    with pytest.raises(PlainDataError, match=rf"^{name}\b"):
        plain_data.encode(Tree, tree)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"count": "1"}, "count: expected int, found str '1'"),
        ({"flag": 0}, "flag: expected bool, found int 0"),
        ({"leaf": {"number": 1.0, "path": "a", "mode": "c"}}, "leaf.mode: expected typing.Literal['a', 'b', 3], found str 'c'"),
        ({"leaf": {"number": 1.0, "mode": "a"}}, "leaf: Leaf lacks path"),
        ({"other": 1}, "value: Tree has no field other"),
        ({"deep": [[{"number": "x", "path": "", "mode": "a"}]]}, "deep.0.0.number: expected float, found str 'x'"),
        ({"pair": ["a"]}, "pair: expected tuple[str, float], found list ['a']"),
        ({"by_number": {"x": "a"}}, "by_number.key: expected int, found str 'x'"),
    ],
)
def test_json_of_another_type_is_named(change: dict[str, object], text: str) -> None:
    plain = plain_data.encode(Tree, some_tree(random.Random(2)))
    with pytest.raises(PlainDataError) as caught:
        plain_data.decode(Tree, {**plain, **change})  # type: ignore[dict-item]
    assert str(caught.value) == text


@dataclass(frozen=True)
class Ambiguous:
    value: Path | str


@dataclass(frozen=True)
class Unknown:
    value: tuple[complex, ...]


@dataclass(frozen=True)
class Keyed:
    value: Mapping[Path, int]


@pytest.mark.parametrize("kind", [Ambiguous, Unknown, Keyed])
def test_an_unsupported_or_ambiguous_type_is_refused(kind: type) -> None:
    with pytest.raises(PlainDataError):
        plain_data.require_supported(kind)
