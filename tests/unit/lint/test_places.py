"""The places of fields in a protobuf text."""

from __future__ import annotations

import pytest

from tritonize.lint.pbtxt import Places

TEXT = """name: "a" 'b'  # a comment: { not a field
input [ { name: "X" # "
  dims: [ 1,
   -1 ] }, { name: "Y" dims: 3 dims: 4 } ]
parameters { key: "k" value { string_value: "v" } }
parameters: [ <key: "m" value: <string_value: "w">>, ]
max_batch_size: -4; input { name: 'Z' }
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("name",), (1, 7)),
        (("input", 0), (2, 9)),
        (("input", 0, "dims", 1), (4, 4)),
        (("input", 1, "dims", 1), (4, 38)),
        (("input", 2, "name"), (7, 35)),
        (("input", 1, "reshape", "shape"), (4, 12)),
        (("input", 7), (1, 1)),
        (("parameters", 0, "value", "string_value"), (5, 45)),
        (("parameters", 1, "value", "string_value"), (6, 47)),
        (("max_batch_size",), (7, 17)),
        (("nothing",), (1, 1)),
    ],
)
def test_a_path_leads_to_the_value(path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    found = Places(TEXT).place(path)
    assert (found.line, found.column) == place


def test_entries_of_a_map_are_found_by_their_key() -> None:
    places = Places(TEXT)
    assert places.entry(("parameters",), "k") == 0
    assert places.entry(("parameters",), "m") == 1
    assert places.entry(("parameters",), "n") is None


def test_the_places_before_an_error_are_kept() -> None:
    places = Places('max_batch_size: 4\nname: "x\ninput { name: "Y" }')
    assert places.place(("max_batch_size",)).column == 17
    assert places.node(("input", 0)) is None


@pytest.mark.parametrize(
    "text", ["{" * 10_000, "a{" * 10_000, "a: [" * 10_000, "}", "]", "a: }", "'", "a: -", "", "\ufeff", "a b c"]
)
def test_any_text_is_read_to_its_end_or_to_an_error(text: str) -> None:
    assert Places(text).place(("a", 0, "b")).line == 1
