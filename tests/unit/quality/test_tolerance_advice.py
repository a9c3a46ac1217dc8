"""What an output needs, over all stages, and what that means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.golden_sets import SHAPE, question
from tritonize.core import arrays
from tritonize.core.artifacts import from_json
from tritonize.core.reports import Check, Report
from tritonize.core.stages import StageName
from tritonize.core.tolerance_advice import ToleranceAdvice, rounded_up
from tritonize.quality import gates, noise_floor, tolerance_advice
from tritonize.quality.batch_checks import check_outputs
from tritonize.quality.comparison import compare_tensor
from tritonize.quality.tracker import ErrorTracker
from tritonize.report import text, tolerance_text
from tritonize.spec.schema import Tolerance


def judged(error: float, *, permuted: bool = False, **rules) -> gates.Judgement:
    """The judgement of outputs that differ by up to `error` at ONNX Runtime, and by a tenth of that over HTTP."""
    golden = question(4, tolerance=Tolerance(rtol=0.0, atol=1e-5), **rules)
    tracker, checks = ErrorTracker(golden), []
    generator = np.random.default_rng(2)
    for stage, far in ((StageName.ONNXRUNTIME, error), (StageName.HTTP, error / 10)):
        for index in range(4):
            expected = golden.expected_outputs((index,))
            found = {"y": (expected["y"] + generator.uniform(-far, far, SHAPE)).astype(np.float32)}
            if permuted:
                found = {"y": found["y"][:, ::-1]}
            checks.append(check_outputs(golden, stage, (index,), expected=expected, found=found, tracker=tracker))
    return gates.judge(tracker, checks)


def advice(error: float, **settings) -> ToleranceAdvice:
    (found,) = judged(error, **settings).tolerances
    return found


def test_the_smallest_tolerance_is_that_of_all_comparisons() -> None:
    found = advice(1e-4)
    assert (found.output, found.passed, found.stage) == ("y", False, StageName.ONNXRUNTIME)
    assert found.least_atol == pytest.approx(1e-4, rel=0.05)
    assert found.suggested_atol == rounded_up(found.least_atol) >= found.least_atol
    assert found.mismatched > 100


def test_of_stages_that_need_the_same_the_one_with_the_largest_error_is_named() -> None:
    tensor = compare_tensor("y", np.ones(4), np.ones(4) + 1e-9, tolerance=Tolerance())
    nearer = compare_tensor("y", np.ones(4), np.ones(4), tolerance=Tolerance())
    order = ((StageName.PYTORCH, nearer), (StageName.HTTP, tensor), (StageName.GRPC, nearer))
    checks = [Check(stage=stage, batch_size=1, samples=(0,), tensors=(each,)) for stage, each in order]
    (found,) = tolerance_advice.advise(checks)
    assert (found.least_atol, found.stage) == (0.0, StageName.HTTP)


def test_it_is_in_units_of_the_output_and_of_pytorchs_own_error() -> None:
    found = advice(1e-4)
    outputs = np.concatenate([arrays.load(question(4).exact, index)["y"] for index in range(4)])
    assert found.rms == pytest.approx(float(np.sqrt((outputs**2).mean())), rel=1e-6)
    assert found.of_rms == pytest.approx(found.least_atol / found.rms)
    assert found.own_error == pytest.approx(1.6e-7, rel=0.3)
    assert found.of_own_error == pytest.approx(found.least_atol / found.own_error)
    assert found.k > found.k_limit == 10


def test_a_difference_that_is_no_rounding_is_said_to_be_none() -> None:
    assert advice(1e-4).concerns == ("beyond rounding",)
    assert advice(1e-4, noise_floor=None).concerns == ()
    assert advice(1.0, noise_floor=None).concerns == ("as large as the output",)
    assert advice(0.0, permuted=True).concerns == ("reordered", "beyond rounding")
    assert advice(1e-7).concerns == ()
    within = advice(5e-6)
    assert (within.passed, within.concerns) == (True, ("beyond rounding",))
    assert f"smallest `noise_floor` that passes is {rounded_up(within.k):.2g}" in " ".join(
        "\n".join(tolerance_text.lines(within)).split()
    )
    assert advice(1e-7).passed


def test_a_reduced_precision_is_measured_by_its_own_error() -> None:
    golden = question(4, tolerance=Tolerance(rtol=0.0, atol=1e-5))
    tracker, checks = ErrorTracker(golden), []
    tracker.judge_reduced_by(tuple(replace(each, unit=noise_floor.UNITS["fp16"], noise=1e-3) for each in golden.floors))
    for index in range(4):
        expected = golden.expected_outputs((index,))
        found = {"y": (expected["y"] + 2e-3).astype(np.float32)}
        stage = StageName.ONNXRUNTIME_FP16
        checks.append(check_outputs(golden, stage, (index,), expected=expected, found=found, tracker=tracker))
    (found_advice,) = gates.judge(tracker, checks).tolerances
    assert (found_advice.precision, found_advice.own_error, found_advice.concerns) == ("fp16", 1e-3, ())
    assert found_advice.of_own_error == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [("values", {"snr_db", "cosine"}), ("classes", {"top1", "top5"}), ("mask_logits", {"dice_min", "iou_min"})],
)
def test_it_has_the_metrics_of_the_kind(kind, metrics) -> None:
    assert set(advice(0.1, kind=kind).metrics) == metrics
    assert advice(0.1, kind=kind).kind == kind


@pytest.mark.parametrize(
    ("value", "rounded"), [(1.2345e-4, 1.3e-4), (0.1, 0.11), (1.0, 1.0), (0.0, 0.0), (999.0, 1000.0), (None, None)]
)
def test_a_suggestion_is_never_below_the_smallest(value, rounded) -> None:
    assert rounded_up(value) == rounded  # 0.1 is a float64 above a tenth


def test_it_says_what_to_write_to_accept_the_differences() -> None:
    (found,) = judged(1e-4, noise_floor=None).tolerances
    (_, _, line) = tolerance_text.to_accept([found])
    assert line == f"    y: {{tolerance: {{rtol: 0.0, atol: {found.suggested_atol!r}}}}}"
    (line,) = tolerance_text.to_accept([found], flags=True)
    assert line.endswith(f"add: --rtol 0.0 --atol {found.suggested_atol!r}")
    assert list(tolerance_text.to_accept(judged(1e-7).tolerances)) == list(tolerance_text.to_accept(judged(1e-4).tolerances)) == []


def report(judgement: gates.Judgement) -> Report:
    return Report(command="run", model="m", version=1, verdict="failed", tolerances=judgement.tolerances)


def test_the_text_says_what_it_means_in_80_columns() -> None:
    shown = text.as_text(report(judged(1e-2, kind="classes")))
    words = " ".join(shown.split())
    assert "Smallest tolerance with which it would pass:" in shown
    assert "of the output's RMS (0.603)" in words
    assert "PyTorch's own float32 error" in words
    assert "top-1 agreement" in shown
    assert "! The noise-floor ratio (k) is" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "Smallest" not in text.as_text(report(judged(1e-7)))


def test_the_json_has_what_follows_from_it_and_is_read_back() -> None:
    judgement = judged(1e-2)
    plain = text.as_json(report(judgement))
    (found,) = plain["tolerances"]
    assert found["concerns"] == ["beyond rounding"]
    assert found["suggested_atol"] == judgement.tolerances[0].suggested_atol
    assert from_json(Report, plain).tolerances == judgement.tolerances


def test_an_output_of_another_shape_has_no_tolerance() -> None:
    golden = question(4)
    expected = golden.expected_outputs((0,))
    check = check_outputs(golden, StageName.ONNXRUNTIME, (0,), expected=expected, found={"y": expected["y"][:, 1:]})
    (found,) = gates.judge(ErrorTracker(golden), [check]).tolerances
    assert (found.least_atol, found.concerns) == (None, ("not comparable",))
    assert "No tolerance makes it pass: shape [1, 63] instead of [1, 64]." in " ".join(
        "\n".join(tolerance_text.lines(found)).split()
    )
