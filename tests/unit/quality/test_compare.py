from __future__ import annotations

import numpy as np
import pytest
from ml_dtypes import bfloat16

from tritonize.quality import differences
from tritonize.quality.comparison import compare, compare_tensor
from tritonize.spec.schema import Tolerance

TOLERANCE = Tolerance(rtol=1e-4, atol=9e-4)


def check(expected, found, tolerance=TOLERANCE):
    return compare_tensor("y", np.asarray(expected), np.asarray(found), tolerance=tolerance)


def test_equal_arrays_pass_with_zero_differences():
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    result = check(x, x.copy())
    assert result.passed
    assert (result.max_abs, result.mean_abs, result.max_rel, result.mismatched) == (0.0, 0.0, 0.0, 0)
    assert result.cosine == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("expected", "found", "passes"),
    [
        (0.0, 0.00089, True),
        (0.0, 0.00091, False),
        (10.0, 10.0018, True),  # 9e-4 + 1e-4 * 10
        (10.0, 10.0020, False),
        (-10.0, -10.0018, True),
    ],
)
def test_the_limit_is_atol_plus_rtol_times_expected(expected, found, passes):
    assert check([expected], [found]).passed is passes


def test_the_gate_agrees_with_numpy_on_random_arrays():
    generator = np.random.default_rng(1)
    for _ in range(50):
        expected = generator.standard_normal(1000).astype(np.float32)
        found = expected + generator.standard_normal(1000).astype(np.float32) * np.float32(4e-4)
        wide = found.astype(np.float64), expected.astype(np.float64)
        inside = np.isclose(*wide, rtol=1e-4, atol=9e-4)
        result = check(expected, found)
        assert result.mismatched == int((~inside).sum())
        assert result.max_abs == pytest.approx(np.abs(wide[0] - wide[1]).max())
        assert result.mean_abs == pytest.approx(np.abs(wide[0] - wide[1]).mean())


def test_one_wrong_element_is_found_with_its_position(monkeypatch):
    monkeypatch.setattr(differences, "CHUNK", 7)  # the element lies in a later chunk
    expected = np.zeros((2, 3, 5), np.float32)
    found = expected.copy()
    found[1, 2, 3] = 0.5
    found[0, 0, 1] = -0.25
    result = check(expected, found)
    assert not result.passed
    assert result.mismatched == 2
    assert [(each.index, each.expected, each.found) for each in result.worst] == [((1, 2, 3), 0.0, 0.5), ((0, 0, 1), 0.0, -0.25)]
    assert "2 of 30 elements" in result.reason


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_the_result_does_not_depend_on_the_chunk_size(monkeypatch, chunk):
    generator = np.random.default_rng(2)
    expected, found = generator.standard_normal((2, 500))
    whole = check(expected, found)
    monkeypatch.setattr(differences, "CHUNK", chunk)
    parts = check(expected, found)
    assert parts.mismatched == whole.mismatched
    assert parts.max_rel == whole.max_rel
    assert parts.cosine == pytest.approx(whole.cosine)
    assert parts.worst == whole.worst


def test_relative_difference_ignores_values_near_zero():
    result = check([1000.0, 1e-9], [1000.1, 1e-5])
    assert result.max_rel == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("expected", "found", "passes"),
    [
        ([np.nan], [np.nan], True),
        ([np.inf], [np.inf], True),
        ([np.inf], [-np.inf], False),
        ([np.nan], [1.0], False),
        ([1.0], [np.nan], False),
        ([1.0], [np.inf], False),
        ([np.inf], [1e38], False),
        ([np.nan], [np.inf], False),
    ],
)
def test_only_the_same_special_value_in_the_same_place_passes(expected, found, passes):
    result = check(np.array(expected, np.float32), np.array(found, np.float32))
    assert result.passed is passes
    assert result.mismatched == (0 if passes else 1)


def test_special_values_are_counted_on_both_sides():
    result = check([np.nan, np.inf, 1.0, 2.0], [np.nan, 3.0, np.nan, 2.0])
    assert (result.expected_nan, result.found_nan, result.expected_inf, result.found_inf) == (1, 2, 1, 0)
    assert result.mismatched == 2
    assert "2 NaN instead of 1" in result.reason
    assert "0 infinite instead of 1" in result.reason


def test_integers_and_booleans_must_be_equal_whatever_the_tolerance():
    wide = Tolerance(rtol=1.0, atol=100.0)
    assert check(np.array([1, 2]), np.array([1, 2]), wide).passed
    assert not check(np.array([1, 2]), np.array([1, 3]), wide).passed
    assert not check(np.array([True]), np.array([False]), wide).passed
    large = np.array([2**63 - 1])
    assert not check(large, large - 1, wide).passed  # equal as float64


@pytest.mark.parametrize(
    ("expected", "found", "reason"),
    [
        (np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32), "shape"),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3, 1), np.float32), "shape"),
        (np.zeros(3, np.float32), np.zeros(3, np.float64), "type fp64 instead of fp32"),
        (np.zeros(3, np.float32), np.zeros(3, np.int32), "type int32 instead of fp32"),
        (np.zeros((0, 3), np.float32), np.zeros((0, 4), np.float32), "shape"),
    ],
)
def test_a_different_shape_or_type_fails(expected, found, reason):
    result = compare_tensor("y", expected, found, tolerance=TOLERANCE)
    assert not result.passed
    assert reason in result.reason


def test_missing_and_extra_outputs_fail():
    x = np.ones(2, np.float32)
    results = {result.name: result for result in compare({"a": x, "b": x}, {"a": x, "c": x}, {})}
    assert results["a"].passed
    assert results["b"].reason == "the output is missing"
    assert results["c"].reason == "unexpected output"


def test_empty_scalar_half_and_bfloat16_arrays():
    empty = np.zeros((0, 3), np.float32)
    assert check(empty, empty).passed
    assert check(empty, empty).max_abs is None
    scalar = check(np.float32(1.0), np.float32(2.0))
    assert (scalar.passed, scalar.worst[0].index) == (False, ())
    for dtype in (np.float16, bfloat16):
        x = np.array([1.0, 2.0], dtype)
        assert check(x, x).passed
        assert not check(x, x + np.array(1, dtype)).passed


def test_strings_are_compared():
    assert check(np.array([b"a", b"b"], object), np.array([b"a", b"b"], object)).passed
    assert "1 of 2 strings" in check(np.array([b"a", b"b"], object), np.array([b"a", b"c"], object)).reason


def test_huge_values_and_denormals_do_not_break_the_sums():
    huge = np.array([1e300, -1e300])
    assert check(huge, huge).cosine == pytest.approx(1.0)
    tiny = np.array([1e-45, 0.0], np.float32)
    assert check(tiny, tiny).passed


def test_a_zero_reference_has_no_relative_difference_and_no_cosine():
    result = check(np.zeros(3), np.zeros(3))
    assert (result.max_rel, result.cosine) == (None, None)


def test_a_large_output_is_compared_with_constant_extra_memory():
    import tracemalloc

    expected = np.zeros((1, 1, 160, 176, 176), np.float32)
    found = expected.copy()
    found[0, 0, 100, 100, 100] = 1.0
    tracemalloc.start()
    result = check(expected, found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.mismatched == 1
    assert peak < 64 * 2**20, f"{peak / 2**20:.0f} MiB"
