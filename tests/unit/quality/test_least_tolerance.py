"""The smallest tolerance that passes: with it an output passes, and with the next smaller float64 it fails."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tritonize.quality.comparison import compare_tensor
from tritonize.quality.difference_pattern import EXAMINED
from tritonize.spec.schema import Tolerance


def check(expected, found, *, rtol: float, atol: float):
    return compare_tensor("y", np.asarray(expected), np.asarray(found), tolerance=Tolerance(rtol=rtol, atol=atol))


def passes(expected, found, *, rtol: float, atol: float) -> bool:
    return check(expected, found, rtol=rtol, atol=atol).passed


def require_least(expected, found, *, rtol: float, atol: float) -> None:
    result = check(expected, found, rtol=rtol, atol=atol)
    least = result.least_atol
    if least is None:
        assert not passes(expected, found, rtol=rtol, atol=1.7e308)
    else:
        assert passes(expected, found, rtol=rtol, atol=least)
        assert least == 0 or not passes(expected, found, rtol=rtol, atol=math.nextafter(least, 0))
    least = result.least_rtol
    if least is None:
        assert not passes(expected, found, rtol=1.7e308, atol=atol)
    else:
        assert passes(expected, found, rtol=least, atol=atol)
        assert least == 0 or not passes(expected, found, rtol=math.nextafter(least, 0), atol=atol)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_smallest_tolerance_passes_and_the_next_smaller_one_fails(dtype):
    generator = np.random.default_rng(0)
    for number in range(150):
        size = int(generator.integers(1, 20_000 if number % 25 == 0 else 300))
        scale = 10.0 ** generator.integers(-300 if number % 7 == 0 else -6, 5)
        with np.errstate(all="ignore"):
            expected = (generator.standard_normal(size) * scale).astype(dtype)
            error = generator.standard_normal(size) * scale * 10.0 ** generator.integers(-8, 1)
            found = (expected + error).astype(dtype)
        if number % 5 == 0:
            expected[0] = 0
        if number % 9 == 0:
            expected[-1] = found[-1] = np.inf
        require_least(expected, found, rtol=float(10.0 ** generator.integers(-8, 0)), atol=float(scale * 1e-5))


def test_it_rises_from_chunk_to_chunk():
    expected = np.linspace(1, 2, 50_000)
    require_least(expected, expected + np.linspace(0, 0.1, 50_000), rtol=1e-4, atol=1e-4)


def test_differences_that_overflow():
    require_least(np.array([1.7e308, 1.0]), np.array([-1.7e308, 1.0]), rtol=0.5, atol=1.0)


def test_an_output_that_passes_says_how_much_of_its_tolerance_it_needs():
    result = check([1.0, 2.0], [1.0, 2.0 + 2**-10], rtol=0.0, atol=1.0)
    assert (result.passed, result.least_atol, result.least_rtol) == (True, 2**-10, 0.0)


def test_zero_expected_has_no_rtol():
    result = check([0.0, 1.0], [0.1, 1.0], rtol=1e-4, atol=1e-4)
    assert (result.least_atol, result.least_rtol) == (0.1, None)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ([1.0, np.nan], [1.0, 2.0]),
        ([1.0, 2.0], [1.0, np.inf]),
        ([1, 2], [1, 3]),
        ([1.0, 2.0], [1.0, 2.0, 3.0]),
        (["a"], ["b"]),
    ],
)
def test_no_tolerance_helps_against(expected, found):
    if isinstance(expected[0], str):
        expected, found = np.array(expected, object), np.array(found, object)
    result = check(expected, found, rtol=1e-4, atol=9e-4)
    assert (result.passed, result.least_atol, result.least_rtol) == (False, None, None)


def test_equal_integers_and_texts_need_none():
    assert check([1, 2], [1, 2], rtol=1e-4, atol=9e-4).least_atol == 0.0
    assert check(np.array(["a"], object), np.array(["a"], object), rtol=1e-4, atol=9e-4).least_atol == 0.0


@pytest.fixture(name="values")
def _values() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, 1000)).astype(np.float32)


def pattern(expected, found):
    result = check(expected, found, rtol=1e-4, atol=9e-4)
    assert not result.passed
    return result.pattern


def test_permuted_classes_are_recognized(values):
    assert pattern(values, values[:, ::-1] + np.float32(1e-7)) == "reordered"
    swapped = values.copy()
    swapped[:, [3, 4]] = values[:, [4, 3]]
    assert pattern(values, swapped) == "reordered"
    labels = np.arange(10)
    assert pattern(labels, labels[::-1]) == "reordered"


def test_a_factor_is_recognized(values):
    result = check(values, values * np.float32(2), rtol=1e-4, atol=9e-4)
    assert (result.pattern, result.factor) == ("scaled", pytest.approx(2.0))
    assert pattern(values, -values) == "scaled"


@pytest.mark.parametrize("size", [1e-3, 3e-3, 1e-2, 0.1, 1.0])
@pytest.mark.parametrize("draw", ["normal", "uniform", "relu"])
def test_an_error_without_a_pattern_is_not_given_one(size, draw):
    generator = np.random.default_rng(1)
    values = generator.uniform(-1, 1, 100_000) if draw == "uniform" else generator.standard_normal(100_000)
    values = np.maximum(values, 0) if draw == "relu" else values
    assert pattern(values, values + size * generator.standard_normal(values.size)) is None


def test_only_part_of_a_large_output_is_sorted():
    values = np.random.default_rng(0).standard_normal((2, EXAMINED)).astype(np.float32)
    assert pattern(values, values[:, ::-1]) == "reordered"
    assert pattern(values.reshape(1, -1), values[:, ::-1].reshape(1, -1)) is None
