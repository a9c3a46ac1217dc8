"""Which inputs of an ONNX file are indices, and of how many rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_onnx import FLOAT, INT64, message, number, text, value_info
from tritonize.core import onnx_indices

BOOL = 9


def node(kind: str, inputs: str, outputs: str, **numbers: int) -> bytes:
    ends = b"".join([*(text(1, each) for each in inputs.split()), *(text(2, each) for each in outputs.split())])
    attributes = (message(5, text(1, name) + number(3, each)) for name, each in numbers.items())
    return message(1, ends + text(4, kind) + b"".join(attributes))


def weight(name: str, *dims: int, packed: bool = False) -> bytes:
    sizes = message(1, bytes(dims)) if packed else b"".join(number(1, each) for each in dims)
    return sizes + number(2, FLOAT) + text(8, name)


def rows(*parts: bytes, inputs: str = "tokens kinds") -> dict[str, int]:
    graph = b"".join(parts) + b"".join(message(11, value_info((name, INT64, ["batch"]))) for name in inputs.split())
    Path("m.onnx").write_bytes(number(1, 8) + message(7, graph) + message(8, number(2, 18)))
    return dict(onnx_indices.rows(Path("m.onnx")))


TABLE = message(5, weight("table", 100, 8))


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([node("Gather", "table tokens", "y")], {"tokens": 100}),
        ([node("Gather", "table tokens", "y", axis=1)], {"tokens": 8}),
        ([node("Gather", "table tokens", "y", axis=-1 & (1 << 64) - 1)], {"tokens": 8}),
        ([node("Cast", "tokens", "a", to=6), node("Unsqueeze", "a axes", "b"), node("Gather", "table b", "y")], {"tokens": 100}),
        ([node("Concat", "tokens kinds", "both", axis=0), node("Gather", "table both", "y")], {"tokens": 100, "kinds": 100}),
        ([node("Gather", "table tokens", "y"), node("Gather", "small tokens", "z")], {"tokens": 5}),
        ([node("Identity", "table", "shared"), node("Gather", "shared kinds", "y")], {"kinds": 100}),
        ([node("EmbedLayerNormalization", "tokens kinds table small small", "y")], {"tokens": 100, "kinds": 5}),
        ([node("Cast", "tokens", "a", to=BOOL), node("Cast", "a", "b", to=INT64), node("Gather", "table b", "y")], {}),
        ([node("Add", "tokens one", "a"), node("Gather", "table a", "y")], {}),
        ([node("Gather", "tokens kinds", "y")], {}),  # selects from an input
    ],
)
def test_an_input_that_selects_rows_has_their_number(nodes: list[bytes], found: dict[str, int]) -> None:
    assert rows(*nodes, TABLE, message(5, weight("small", 5, 2, packed=True))) == found


def test_a_weight_in_a_constant_counts_and_a_weight_that_is_listed_as_an_input_is_none() -> None:
    constant = message(1, text(2, "table") + text(4, "Constant") + message(5, text(1, "value") + message(5, weight("", 7, 2))))
    assert rows(constant, node("Gather", "table tokens", "y")) == {"tokens": 7}
    assert rows(TABLE, message(5, weight("tokens", 3)), node("Gather", "table tokens", "y")) == {}


def test_a_file_that_is_cut_off_is_a_value_error() -> None:
    rows(TABLE, node("Gather", "table tokens", "y"))
    Path("m.onnx").write_bytes(Path("m.onnx").read_bytes()[:-9])
    with pytest.raises(ValueError, match="field"):
        onnx_indices.rows(Path("m.onnx"))
