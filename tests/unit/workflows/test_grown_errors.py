"""Outputs without float64 whose error has grown since publication: the only sign of a changed weight within the tolerance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.quality.test_batch_checks import files, golden
from tritonize.core.conclusion import conclude
from tritonize.core.reports import Check, Report
from tritonize.core.stages import StageName
from tritonize.quality.comparison import compare
from tritonize.quality.golden_set import GoldenSet
from tritonize.workflows import grown_errors


def found(known: GoldenSet, error: float, *, published: float) -> list[grown_errors.Grown]:
    expected = known.expected_outputs((2,))
    tensors = compare(expected, {"y": expected["y"] + np.float32(error)}, known.tolerances)
    checks = [Check(stage=StageName.HTTP, batch_size=1, samples=(2,), tensors=tensors)]
    rows = [{"stage": "http", "output": "y", "max_abs": 0.0}, {"stage": "onnxruntime", "output": "y", "max_abs": published}]
    return list(grown_errors.found(known, {"verification": rows}, checks))  # type: ignore[typeddict-item]


def test_an_error_within_the_tolerance_that_grew_a_hundredfold_is_in_the_sentence(tmp_path: Path) -> None:
    known = golden(tmp_path)
    assert found(known, 3e-5, published=1e-6) == []
    (grown,) = found(known, 2.0**-10, published=2.0**-20)
    assert grown == {"output": "y", "now": 2.0**-10, "then": 2.0**-20}
    report = Report(command="verify", model="m", version=1, verdict="passed", details={"grown": [grown]})
    assert "the error of y (9.8e-04) is 1,024 times that at publication (9.5e-07)" in conclude(report).sentence
    assert "publication" not in conclude(replace(report, verdict="failed")).sentence


def test_equal_outputs_at_publication_count_as_one_rounding(tmp_path: Path) -> None:
    known = golden(tmp_path)  # the largest expected value is 2
    assert found(known, 2.0**-20, published=0.0) == []
    (grown,) = found(known, 2.0**-10, published=0.0)
    assert grown["then"] == pytest.approx(2.0**-23)


def test_with_float64_the_noise_floor_decides(tmp_path: Path) -> None:
    known = golden(tmp_path)
    exact = files(tmp_path, "exact", [np.full((1, 2), index) for index in range(3)])
    assert found(replace(known, exact=exact), 2.0**-10, published=2.0**-20) == []
