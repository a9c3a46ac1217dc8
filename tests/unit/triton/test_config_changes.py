"""How two configurations differ: by field, whatever their comments and layout."""

from __future__ import annotations

import pytest

from tritonize.triton import config_changes, model_config

BASE = """
name: "m"
backend: "onnxruntime"
max_batch_size: 2
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }, { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]
dynamic_batching { max_queue_delay_microseconds: 500 }
"""


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (BASE, BASE, []),
        (BASE, "# a comment\n" + BASE.replace("\n", "  # another\n"), []),
        (BASE, BASE.replace('name: "m"\n', "") + 'name: "m"', []),
        (BASE, BASE.replace("size: 2", "size: 4"), ["max_batch_size: 2 -> 4"]),
        (BASE, BASE.replace("500", "100"), ["dynamic_batching.max_queue_delay_microseconds: 500 -> 100"]),
        (BASE, BASE.replace("dims: [ 4 ]", "dims: [ 5 ]"), ['input[x].dims: ["4"] -> ["5"]']),
        (BASE, BASE.replace('"x"', '"z"'), ['input[x]: {"name": "x", "data_type": "TYPE_FP32", "dims": ["4"]} -> not set',
                                            'input[z]: not set -> {"name": "z", "data_type": "TYPE_FP32", "dims": ["4"]}']),
        (BASE, BASE + "response_cache { enable: true }", ['response_cache: not set -> {"enable": true}']),
        ('name: "m"', 'name: "m" dynamic_batching { }', ["dynamic_batching: not set -> {}"]),
        ('name: "m" dynamic_batching { }', 'name: "m"', ["dynamic_batching: {} -> not set"]),
        (
            'output { name: "a" } output { name: "b" }',
            'output { name: "b" } output { name: "a" }',
            ['the order of output: ["a", "b"] -> ["b", "a"]'],
        ),
        (
            "instance_group { count: 1 } instance_group { count: 2 }",
            "instance_group { count: 1 }",
            ['instance_group: [{"count": 1}, {"count": 2}] -> [{"count": 1}]'],
        ),
        (
            "instance_group { count: 1 } instance_group { count: 2 rate_limiter { } }",
            "instance_group { count: 1 } instance_group { count: 3 }",
            ["instance_group[1].count: 2 -> 3", "instance_group[1].rate_limiter: {} -> not set"],
        ),
        ("nonsense", "nonsense", []),
    ],
)  # fmt: skip
def test_each_differing_field_has_a_line(before: str, after: str, lines: list[str]) -> None:
    assert config_changes.between(before, after) == lines


def test_a_text_that_is_no_configuration_differs() -> None:
    (line,) = config_changes.between("nonsense", BASE)
    assert "not a valid configuration" in line


def test_what_is_lost_inside_an_instance_group_is_dropped() -> None:
    before = {"instance_group": [{"count": 1, "rate_limiter": {}}]}
    assert config_changes.dropped(before, {"instance_group": [{"count": 2}]}) == ["instance_group[0].rate_limiter: {}"]


def test_what_is_dropped_is_not_what_is_changed_or_added() -> None:
    parsed = [
        model_config.parse(text, where="")
        for text in (
            BASE + 'default_model_filename: "net.onnx" parameters { key: "cores" value { string_value: "4" } }',
            BASE.replace("size: 2", "size: 4") + "response_cache { enable: true }",
        )
    ]
    assert config_changes.dropped(*parsed) == [
        "default_model_filename: net.onnx",
        'parameters: {"cores": {"string_value": "4"}}',
    ]
