from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tritonize.core.artifacts import from_json
from tritonize.core.reports import Check, Finding, Report, Stage
from tritonize.core.stages import StageName
from tritonize.quality.comparison import compare
from tritonize.report import text as report_text

GOOD = np.zeros((1, 3), np.float32)
BAD = np.array([[0, 0.5, np.nan]], np.float32)


def check(stage: StageName, found: np.ndarray, size: int = 1) -> Check:
    return Check(stage=stage, batch_size=size, samples=(0,), tensors=compare({"OUTPUT__0": GOOD}, {"OUTPUT__0": found}, {}))


PASSED = Report(
    command="run",
    model="heart",
    version=7,
    verdict="passed",
    checks=(check(StageName.ONNXRUNTIME, GOOD), check(StageName.HTTP, GOOD), check(StageName.HTTP, GOOD)),
    stages=(Stage(name=StageName.SHM, verdict="not run", seconds=0.0, note="the server does not share this machine's memory"),),
    proved_by={"tritonserver": "2.51.0"},
    location=Path("model_repository/heart/7"),
    published=True,
)
FAILED = replace(
    PASSED,
    verdict="failed",
    checks=(*PASSED.checks, *(check(StageName.GRPC, BAD) for _ in range(20))),
    findings=(
        Finding(where="heart/7/model.onnx", what="the file was changed after it was proven", expected="a" * 64, found="b" * 64),
    ),
)


def test_the_text_starts_with_the_verdict():
    assert report_text.as_text(PASSED).startswith("PASSED heart version 7: 3 comparisons, all within tolerance\n")
    assert report_text.as_text(FAILED).startswith("FAILED heart version 7: 20 of 23 comparisons outside the tolerance")
    assert report_text.as_text(replace(PASSED, verdict="not run")).startswith("NOT RUN")


def test_the_text_names_the_server_what_was_not_run_and_what_differs():
    text = report_text.as_text(FAILED)
    assert "shared memory: not run: the server does not share" in text
    assert "2 of 3 elements are outside rtol 0.0001, atol 0.0009; 1 NaN instead of 0" in " ".join(text.split())
    assert "expected 0, found nan" in text
    assert "the file was changed after it was proven" in text
    assert "OUTPUT__0 (Triton, gRPC, batch 1, sample 0, and 19 more answers)" in " ".join(text.split())
    assert "tritonserver 2.51.0" in text


def test_lines_fit_a_terminal_of_80_columns():
    assert max(len(line) for line in report_text.as_text(FAILED).splitlines() if "expected a" not in line) <= 80


def test_the_json_has_the_whole_report():
    plain = json.loads(report_text.dumps(FAILED))
    assert len(plain["checks"]) == 23
    assert [each["passed"] for each in plain["checks"][:4]] == [True, True, True, False]
    for each in plain["checks"]:
        del each["passed"]
    again = from_json(Report, plain)
    assert again.verdict == "failed"
    assert again.checks[3].tensors[0].mismatched == 2


def test_a_check_without_outputs_does_not_pass():
    assert not Check(stage=StageName.HTTP, batch_size=1, samples=(0,), tensors=()).passed


@pytest.mark.parametrize("k", [None, 0.0, 1.234e-7, 0.779, 9999.4, 1.72e5, 5.87e123, math.inf, math.nan])
def test_k_takes_at_most_seven_characters(k):
    assert len(report_text._number(k)) <= 7


def test_a_large_k_has_an_exponent():
    assert (report_text._number(171900.0), report_text._number(9.996), report_text._number(None)) == ("1.7e+05", "10", "–")


def test_the_repr_of_a_report_is_one_line():
    assert repr(PASSED) == "<Report of run, heart version 7: passed, 3 comparisons>"


def test_a_row_with_an_output_of_another_shape_has_no_error_values():
    apart = replace(
        PASSED,
        verdict="failed",
        checks=(check(StageName.ONNXRUNTIME, GOOD, 0), check(StageName.ONNXRUNTIME, np.zeros((2, 3), np.float32), 0)),
    )
    (row,) = [line for line in report_text.as_text(apart).splitlines() if "ONNX Runtime" in line and "–  OUTPUT__0" in line]
    assert row.split()[-4:] == ["–", "–", "–", "1"]
    assert "no batch, sample 0" in report_text.as_text(apart)


@pytest.mark.parametrize(("sizes", "shown"), [((1,), "1"), ((1, 2, 4), "1,2,4"), ((1, 2, 3, 4), "1-4"), ((1, 2, 128), "1-128")])
def test_batch_sizes_are_listed_or_given_as_a_range(sizes: tuple[int, ...], shown: str) -> None:
    report = replace(PASSED, checks=tuple(check(StageName.HTTP, GOOD, size) for size in sizes))
    (row,) = [line for line in report_text.as_text(report).splitlines() if "Triton, HTTP" in line]
    assert row.split()[3] == shown
