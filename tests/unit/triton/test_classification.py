"""The classes of outputs with labels: what is asked for, and what is wrong with a response. No server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tritonize.core.errors import UsageError
from tritonize.spec.schema import Tolerance
from tritonize.triton import classification, model_config
from tritonize.triton.client import http

LABELS = ["ant", "bee: small", "", "dog"]
ROW = np.array([0.25, 3.0, -1.5, 3.00001], np.float32)
TOLERANCE = Tolerance(rtol=0, atol=1e-4)
RIGHT = ["3.000010:3:dog", "3.000000:1:bee: small", "0.250000:0:ant", "-1.500000:2"]


def wrong(*lines: str, row: np.ndarray = ROW, tolerance: Tolerance = TOLERANCE) -> list[str]:
    return list(classification._wrong(row, np.array(lines, object), LABELS, tolerance=tolerance))


def test_right_classes_are_right_in_any_order_of_almost_equal_values() -> None:
    assert wrong(*RIGHT) == []
    assert wrong(RIGHT[1], RIGHT[0]) == []
    assert wrong("3.000050:3:dog") == []
    assert wrong("3:1:bee: small", "3:3:dog", row=np.array([0, 3, -2, 3], np.int64), tolerance=Tolerance(rtol=0, atol=0)) == []


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["3.000010:3:ant"], "'3.000010:3:ant' instead of '3.000010:3:dog' at rank 1"),
        (["3.000010:3"], "'3.000010:3' instead of '3.000010:3:dog' at rank 1"),
        (["3.000010:3:dog", "0.250000:0:ant"], "'0.250000:0:ant' instead of '3.000000:1:bee: small' at rank 2"),
        (["3.100000:3:dog"], "'3.100000:3:dog' instead of '3.000010:3:dog' at rank 1"),
        (["3.000010:3:dog", "3.000010:3:dog"], "'3.000010:3:dog' is not value:index:label, or repeats an index"),
        (["3.000010:9:dog"], "'3.000010:9:dog' is not value:index:label, or repeats an index"),
        (["dog"], "'dog' is not value:index:label, or repeats an index"),
        (["nan:3:dog"], "'nan:3:dog' instead of '3.000010:3:dog' at rank 1"),
    ],
)
def test_a_wrong_class_has_its_reason(lines: list[str], reason: str) -> None:
    assert wrong(*lines) == [reason]


def test_labels_are_lines_as_triton_reads_them() -> None:
    config = model_config.parse('output [ { name: "y" label_filename: "l.txt" } , { name: "z" } ]', where="")
    Path("l.txt").write_text("a\r\n\nb\n")
    assert classification.read(Path(), config) == {"y": ["a\r", "", "b"]}
    Path("l.txt").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="label file of output 'y'"):
        classification.read(Path(), config)


def test_the_request_over_http_has_the_extension_s_parameter() -> None:
    head = http._head({}, [], {"y": 5, "z": 0}, step=None)
    assert json.loads(json.dumps(head))["outputs"] == [
        {"name": "y", "parameters": {"binary_data": True, "classification": 5}},
        {"name": "z", "parameters": {"binary_data": True}},
    ]
