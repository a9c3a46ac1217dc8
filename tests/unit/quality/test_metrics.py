from __future__ import annotations

import itertools
import json
import math
import time
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from ml_dtypes import bfloat16

from tritonize.core.artifacts import to_json
from tritonize.core.errors import UsageError
from tritonize.core.results import Metrics
from tritonize.quality import differences
from tritonize.quality.comparison import compare_tensor
from tritonize.quality.differences import measure
from tritonize.quality.metrics import Accumulator, detect, detection_rows, mismatch_bound
from tritonize.spec.schema import Tolerance

FLOATS = (np.float16, bfloat16, np.float32, np.float64)
LARGEST = float(np.finfo(np.float64).max)


def metrics(expected, found, kind="values", rtol=0.0, atol=0.0, batched=True, **more) -> Metrics:
    accumulator = Accumulator(kind, rtol=rtol, atol=atol, batched=batched, **more)
    accumulator.add(np.asarray(expected), np.asarray(found))
    return accumulator.result()


def plain(expected, found, rtol, atol):
    """The same metrics, computed directly from their formulas."""
    e, f = expected.astype(np.float64).ravel(), found.astype(np.float64).ravel()
    d = np.abs(f - e)
    far = np.abs(e) > 1e-3 * np.abs(e).max()
    return {
        "max_abs": d.max(),
        "mean_abs": d.mean(),
        "rmse": np.sqrt((d**2).mean()),
        "max_rel": (d[far] / np.abs(e[far])).max(),
        "cosine": (e * f).sum() / np.sqrt((e**2).sum() * (f**2).sum()),
        "snr_db": 10 * np.log10((e**2).sum() / (d**2).sum()),
        "mismatched": int((d > atol + rtol * np.abs(e)).sum()),
        "largest": np.abs(e).max(),
    }


@pytest.mark.parametrize(("left", "right"), list(itertools.product(FLOATS, repeat=2)))
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3, 5), (1, 20000)])
def test_general_metrics_equal_their_formulas(left, right, shape):
    generator = np.random.default_rng([*shape, FLOATS.index(left), FLOATS.index(right)])
    for scale in (1e-3, 1.0, 300.0):
        expected = (generator.standard_normal(shape) * scale).astype(left)
        found = (expected.astype(np.float64) * (1 + 0.02 * generator.standard_normal(shape)) + 0.01 * scale).astype(right)
        result = metrics(expected, found, rtol=1e-2, atol=1e-2 * scale)
        for name, value in plain(expected, found, 1e-2, 1e-2 * scale).items():
            assert getattr(result, name) == pytest.approx(value, rel=1e-9), name
        assert (result.elements, result.finite, result.answers, result.equal) == (expected.size, expected.size, 1, False)
        outside = np.abs(found.astype(float) - expected.astype(float)) > 1e-2 * (scale + np.abs(expected.astype(float)))
        assert result.mismatched_items == np.count_nonzero(outside.reshape(shape[0], -1).any(axis=1))
        assert result.items == shape[0]


def test_several_outputs_accumulate_like_one_in_any_order(monkeypatch):
    generator = np.random.default_rng(3)
    answers = []
    for size in (1, 3, 100, 1000, 17):
        expected = generator.standard_normal((2, size)) * 10.0 ** generator.integers(-3, 3)
        answers.append((expected, (expected + 1e-3 * generator.standard_normal((2, size))).astype(np.float32)))
    results = []
    for order, chunk in ((answers, 8192), (answers[::-1], 8192), (answers, 13)):
        monkeypatch.setattr(differences, "CHUNK", chunk)
        accumulator = Accumulator("values", rtol=1e-4, atol=1e-4, batched=True)
        for expected, found in order:
            accumulator.add(expected, found)
        results.append(accumulator.result())
    joined = [np.concatenate([each[side].ravel() for each in answers]) for side in (0, 1)]
    formula = plain(*joined, 1e-4, 1e-4)
    formula["max_rel"] = max(plain(*answer, 0, 0)["max_rel"] for answer in answers)
    for result in results:
        assert (result.answers, result.max_ulp) == (5, results[0].max_ulp)
        for name, value in formula.items():
            assert getattr(result, name) == pytest.approx(value, rel=1e-9), name
            assert getattr(result, name) == pytest.approx(getattr(results[0], name), rel=1e-12), name


@pytest.mark.parametrize("dtype", [*FLOATS, np.int32])
def test_special_values_and_worst_elements_equal_a_count_element_by_element(dtype):
    generator = np.random.default_rng(4)
    for size in (20, 20000):
        expected = (generator.standard_normal(size) * 50).astype(dtype)
        found = (expected.astype(np.float64) + generator.standard_normal(size)).astype(dtype)
        if dtype is not np.int32:
            expected[3], found[4], expected[5], found[5], expected[6], found[6] = np.nan, np.inf, np.inf, np.inf, np.nan, np.nan
        sums = measure(expected, found, 1e-2, atol=0.5, worst=5)
        rows = []
        for place, (left, right) in enumerate(zip(expected.tolist(), found.tolist(), strict=True)):
            left, right = float(left), float(right)
            excess = abs(right - left) - (0.0 if dtype is np.int32 else 0.5 + 1e-2 * abs(left))
            special = not (math.isfinite(left) and math.isfinite(right))
            if special and str(left) != str(right):
                rows.append((math.inf, -place))
            elif not special and excess > 0:
                rows.append((abs(right - left) - (0.5 + 1e-2 * abs(left)), -place))
        assert sums.mismatched == len(rows)
        assert [row[:2] for row in sums.worst] == sorted(rows, reverse=True)[:5]
        for _, place, left, right in sums.worst:
            np.testing.assert_equal((left, right), (float(expected[-place]), float(found[-place])))
        assert (sums.nan, sums.inf) == (([2, 1], [1, 2]) if dtype is not np.int32 else ([0, 0], [0, 0]))


def test_the_first_of_equally_bad_elements_are_listed(monkeypatch):
    for chunk in (8192, 10, 3):
        monkeypatch.setattr(differences, "CHUNK", chunk)
        sums = measure(np.zeros(100, int), np.where(np.arange(100) == 50, 2, 1), 0.0, atol=0.0, worst=5)
        assert [-row[1] for row in sums.worst] == [50, 0, 1, 2, 3]


@pytest.mark.parametrize("dtype", [*FLOATS, np.int8, np.uint8, np.int64, np.bool_])
def test_identical_arrays_have_perfect_metrics(dtype):
    array = (np.random.default_rng(5).standard_normal((3, 4, 5)) * 3).astype(dtype)
    result = metrics(array, array.copy())
    assert result.equal
    assert (result.max_abs, result.mean_abs, result.rmse, result.max_rel, result.mismatched) == (0.0, 0.0, 0.0, 0.0, 0)
    assert result.cosine == pytest.approx(1.0, abs=1e-15)
    assert result.snr_db is None
    assert result.max_ulp == (0 if dtype in FLOATS else None)


# Units in the last place


def neighbours(dtype, start, steps):
    value = np.asarray(start, dtype)
    for _ in range(abs(steps)):
        value = np.nextafter(value, np.asarray(np.inf if steps > 0 else -np.inf, dtype))
    return np.asarray(value, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("start", [0.0, 1.0, -1.0, 2.0, 0.75, -3.5, 1000.0, "smallest", "normal"])
@pytest.mark.parametrize("steps", [0, 1, -1, 2, 5, -37, 100])
def test_ulps_are_steps_of_nextafter(dtype, start, steps):
    info = np.finfo(dtype) if dtype is not bfloat16 else None
    if isinstance(start, str):
        exponent = {"smallest": -133, "normal": -126}[start]
        start = math.ldexp(1, exponent) if info is None else float(info.smallest_subnormal if start == "smallest" else info.tiny)
    for sign in (1, -1):  # the start is small enough for some walks to cross zero
        value = np.asarray(sign * start, dtype)
        walked = neighbours(dtype, value, steps)
        assert metrics(value[None], walked[None]).max_ulp == abs(steps)
        assert metrics(walked[None], value[None]).max_ulp == abs(steps)


def test_ulps_at_zero_at_the_largest_values_and_for_a_float64_reference():
    for dtype in FLOATS:
        assert metrics(np.array([0.0], dtype), np.array([-0.0], dtype)).max_ulp == 0
    ends = np.array([-LARGEST]), np.array([LARGEST])
    assert metrics(*ends).max_ulp == 2 * (0x7FEF << 48 | 0xFFFFFFFFFFFF)  # both magnitudes' bits, beyond 63 bits together
    third = np.array([1 / 3])
    assert metrics(third, third.astype(np.float32)).max_ulp == 0  # as near as float32 comes
    assert metrics(third, neighbours(np.float32, 1 / 3, 3)[None]).max_ulp == 3
    assert metrics(np.array([1e300]), np.array([np.finfo(np.float32).max])).max_ulp == 1  # rounds to infinity, its neighbour
    assert metrics(np.array([1.0, np.nan, 2.0]), np.array([1.0, 5.0, np.nan])).max_ulp == 0
    assert metrics(np.array([np.nan]), np.array([1.0])).max_ulp is None


# Class scores and distributions


def test_top_agreement_equals_a_count_by_sorting():
    generator = np.random.default_rng(6)
    for classes in (2, 5, 6, 40):
        expected = generator.standard_normal((300, classes))
        found = (expected + 0.3 * generator.standard_normal(expected.shape)).astype(np.float32)
        result = metrics(expected, found, "classes")
        orders = np.argsort(-expected, axis=1), np.argsort(-found, axis=1)
        assert result.top1 == (orders[0][:, 0] == orders[1][:, 0]).mean()
        same = [set(left) == set(right) for left, right in zip(orders[0][:, :5], orders[1][:, :5], strict=True)]
        assert result.top5 == (np.mean(same) if classes > 5 else None)
        assert (result.rows, result.kl_mean, 0 < result.top1 < 1) == (300, None, True)


def test_ties_within_rounding_agree_and_a_constant_output_does_not():
    expected = np.array([[0.1, 0.50001, 0.50002]])
    assert metrics(expected, np.array([[0.1, 0.5, 0.5]], np.float16), "classes").top1 == 1.0
    assert metrics(expected, np.array([[0.1, 0.50002, 0.50001]], np.float32), "classes").top1 == 0.0
    scores = np.random.default_rng(7).standard_normal((1000, 10))
    assert metrics(scores, np.zeros((1000, 10), np.float16), "classes").top1 == pytest.approx(0.1, abs=0.05)
    assert metrics([[1.0, 2.0]], [[1.0, np.nan]], "classes").top1 == 0.0
    assert metrics([[1.0, np.nan]], [[1.0, np.nan]], "classes").top1 == 0.0
    assert metrics([[-np.inf, 2.0]], [[-np.inf, 1.0]], "classes").top1 == 1.0
    assert metrics([[3.0]], [[4.0]], "classes").top1 is None


def test_divergence_equals_the_textbook_formula():
    generator = np.random.default_rng(8)
    for classes, spread in ((2, 1), (10, 5), (1000, 20)):
        logits = spread * generator.standard_normal((50, classes))
        noisy = logits + 0.1 * generator.standard_normal(logits.shape)
        p, q = (np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (logits, noisy))
        rows = (p * np.log(p / q)).sum(axis=1)
        result = metrics(p, q, "distribution")
        assert result.kl_mean == pytest.approx(rows.mean(), rel=1e-9)
        assert result.kl_max == pytest.approx(rows.max(), rel=1e-9)
        assert (result.rows, result.invalid_rows) == (50, 0)
    assert metrics(p, p, "distribution").kl_max == 0.0


def test_divergence_at_zeros_and_for_rows_that_are_not_distributions():
    half = metrics([[0.5, 0.5, 0.0]], [[0.25, 0.5, 0.25]], "distribution")
    assert half.kl_mean == pytest.approx(0.5 * math.log(2))  # nothing expected there, nothing to lose
    lost = metrics([[0.5, 0.5]], np.array([[1.0, 0.0]], np.float32), "distribution")
    assert lost.kl_max == pytest.approx(0.5 * math.log(0.5) + 0.5 * math.log(0.5 / 2.0**-149))
    faint = metrics([[1.0, 5e-324]], [[5e-324, 1.0]], "distribution")
    assert faint.kl_max == pytest.approx(-math.log(5e-324))
    for bad in ([-0.1, 1.1], [np.nan, 1.0], [0.0, 0.0], [np.inf, 0.0]):
        for pair in ((bad, [0.5, 0.5]), ([0.5, 0.5], bad), (bad, bad)):
            result = metrics([pair[0]], [pair[1]], "distribution")
            assert (result.kl_mean, result.invalid_rows) == (None, 1)


# Masks


def test_overlap_with_one_flipped_voxel():
    expected = np.full((1, 1, 4, 4, 4), -1.0, np.float32)
    expected[0, 0, 1, :2] = 1.0  # 8 voxels
    found = expected.copy()
    found[0, 0, 1, 0, 0] = -0.5
    result = metrics(expected, found, "mask_logits")
    assert (result.dice_mean, result.iou_mean) == (14 / 15, 7 / 8)
    assert (result.dice_min, result.iou_min, result.masks) == (14 / 15, 7 / 8, 1)
    probabilities = metrics(1 / (1 + np.exp(-expected)), 1 / (1 + np.exp(-found)), "mask_probabilities")
    assert (probabilities.dice_mean, probabilities.iou_mean) == (14 / 15, 7 / 8)


def test_overlap_of_masks_and_segmentations_equals_a_count_with_sets(monkeypatch):
    generator = np.random.default_rng(9)
    shape = (3, 4, 6, 7)
    expected = generator.standard_normal(shape)
    found = (expected + 0.5 * generator.standard_normal(shape)).astype(np.float32)
    for chunk in (8192, 10):
        monkeypatch.setattr("tritonize.quality.metrics.overlap.CHUNK", chunk)
        pairs = [(expected[n, c] > 0, found[n, c] > 0) for n in range(3) for c in range(4)]
        _same_overlap(metrics(expected, found, "mask_logits"), pairs)
        winners = expected.argmax(axis=1), found.argmax(axis=1)
        pairs = [(winners[0][n] == c, winners[1][n] == c) for n in range(3) for c in range(4)]
        _same_overlap(metrics(expected, found, "segmentation"), pairs)
        _same_overlap(metrics(*winners, "labels"), pairs)
        _same_overlap(metrics(winners[0] - 9000, winners[1] - 9000, "labels"), pairs)  # sorted, not counted by place
        _same_overlap(metrics(expected[0], found[0], "segmentation", batched=False), pairs[:4])


def _same_overlap(result, pairs):
    pairs = [pair for pair in pairs if pair[0].any() or pair[1].any()]
    dice = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]
    iou = [(a & b).sum() / (a | b).sum() for a, b in pairs]
    assert result.masks == len(pairs)
    assert (result.dice_mean, result.iou_mean) == (pytest.approx(np.mean(dice)), pytest.approx(np.mean(iou)))
    assert (result.dice_min, result.iou_min) == (min(dice), min(iou))


def test_empty_masks_agree_and_nan_never_does():
    nothing = np.full((1, 1, 3, 3), -1.0)
    result = metrics(nothing, nothing, "mask_logits")
    assert (result.dice_mean, result.dice_min, result.iou_mean, result.masks) == (1.0, 1.0, 1.0, 0)
    poisoned = nothing.copy()
    poisoned[0, 0, 0, 0] = np.nan
    for pair in ((nothing, poisoned), (poisoned, nothing), (poisoned, poisoned)):
        assert metrics(*pair, "mask_logits").dice_min == 0.0
    marked = nothing.copy()
    marked[0, 0, 2] = 1.0
    assert metrics(marked, np.where(np.isnan(poisoned), np.nan, marked), "mask_logits").dice_mean == 6 / 7
    two = np.concatenate([nothing, marked], axis=1)[:, ::-1]  # every place is of class 0, the six that tie too
    hole = two.copy()
    hole[0, 1, 2, 2] = np.nan  # the other eight are right
    result = metrics(two, hole, "segmentation")
    assert (result.masks, result.dice_mean, result.iou_min) == (1, 16 / 17, 8 / 9)
    assert metrics(marked, nothing, "mask_logits").dice_mean == 0.0
    assert metrics(np.array([[True, False]]), np.array([[True, True]]), "labels").dice_min == 0.0


# Detections


def boxes(generator, count):
    corner, size = generator.uniform(0, 500, (count, 2)), generator.uniform(5, 60, (count, 2))
    scores = np.sort(generator.uniform(0, 1, count))[::-1, None]
    return np.concatenate([corner, corner + size, scores, generator.integers(0, 3, (count, 1))], axis=1)


def test_permuted_detections_match():
    generator = np.random.default_rng(10)
    for count in (1, 2, 30, 200):
        expected = boxes(generator, count)[None]
        found = expected[:, generator.permutation(count)]
        result = metrics(expected, found, "detections")
        assert (result.matched, result.unmatched_expected, result.unmatched_found) == (count, 0, 0)
        assert (result.max_box, result.max_score, result.equal, result.mismatched) == (0.0, 0.0, True, 0)
        assert result.moved == int((expected != found).any(axis=2).sum())
        noisy = found.copy()
        noisy[..., 0] += 0.25
        noisy[..., 4] -= 1e-3
        result = metrics(expected, noisy, "detections", atol=0.5)
        assert (result.matched, result.mismatched) == (count, 0)
        assert (result.max_box, result.max_score) == (pytest.approx(0.25), pytest.approx(1e-3))


def test_lost_added_moved_and_relabelled_detections_are_counted():
    expected = np.array([[[0, 0, 10, 10, 0.9, 1], [20, 20, 30, 30, 0.8, 2], [50, 50, 60, 60, 0.7, 1]]], float)
    lost = metrics(expected, expected[:, :2], "detections")
    assert (lost.matched, lost.unmatched_expected, lost.unmatched_found, lost.mismatched, lost.misshaped) == (2, 1, 0, 6, 0)
    assert (lost.mismatched_items, lost.equal, lost.elements) == (1, False, 18)
    added = metrics(expected[:, :2], expected, "detections")
    assert (added.matched, added.unmatched_found, added.mismatched) == (2, 1, 6)
    other = expected.copy()
    other[0, 0, 5] = 2
    other[0, 1, :4] += 9
    result = metrics(expected, other, "detections")
    assert (result.matched, result.unmatched_expected, result.unmatched_found) == (1, 2, 2)
    batch = metrics(np.concatenate([expected] * 3), np.concatenate([expected, other, expected]), "detections")
    assert (batch.items, batch.mismatched_items, batch.matched) == (3, 1, 7)
    assert batch.max_ulp is None
    none = metrics(expected[:, :0], expected[:, :0], "detections")
    assert (none.matched, none.max_box, none.equal) == (0, None, False)
    poisoned = np.full_like(expected, np.nan)
    assert metrics(poisoned, poisoned, "detections").matched == 0


def test_matched_boxes_overlap_by_at_least_half():
    expected = np.array([[[0, 0, 10, 10.0]]])
    for share, matched in ((0.51, 1), (0.49, 0)):
        assert metrics(expected, expected * [1, 1, 1, share], "detections").matched == matched
    assert metrics(expected, expected * [1, 1, 1, 0.6], "detections").max_box == pytest.approx(4.0)


def test_identical_boxes_are_matched_by_score_and_3d_boxes_are_supported():
    expected = np.array([[[0, 0, 10, 10, 0.9], [0, 0, 10, 10.01, 0.2]]])
    swapped = expected[:, ::-1] + np.array([0.0, 0, 0, 0.006, 0])
    assert metrics(expected, swapped, "detections").max_score == 0.0
    padded = np.concatenate([expected, np.zeros((1, 20, 5))], axis=1)
    assert metrics(padded, padded[:, ::-1], "detections").matched == 22
    solid = np.array([[0, 0, 0, 2, 2, 2], [5, 5, 5, 9, 9, 9]], float)
    rows = detection_rows(solid, np.array([0.5, 0.6]), np.array([1, 2]))
    assert rows.shape == (2, 8)
    assert metrics(rows, rows[::-1], "detections", batched=False, coordinates=6).moved == 2
    with pytest.raises(UsageError, match="belong together"):
        detection_rows(solid, np.array([0.5]))


# Bad input


def test_special_values_are_counted_and_never_give_a_perfect_metric():
    for value in (np.nan, np.inf, -np.inf):
        array = np.array([1.0, value, 3.0])
        both = metrics(array, array)
        assert (both.mismatched, both.finite, both.equal, both.max_abs) == (0, 2, False, 0.0)
        one = metrics(np.array([1.0, 2.0, 3.0]), array)
        assert (one.mismatched, one.finite, one.equal) == (1, 2, False)
    assert metrics([np.inf], [-np.inf]).mismatched == 1
    alone = metrics([np.nan, np.nan], [np.nan, np.nan])
    assert (alone.cosine, alone.snr_db, alone.max_abs, alone.equal, alone.expected_nan) == (None, None, None, False, 2)


@pytest.mark.parametrize("kind", ["values", "classes", "distribution", "mask_logits", "segmentation", "labels", "detections"])
def test_empty_arrays_and_different_shapes_have_no_metrics(kind):
    empty = np.zeros((0, 3, 8, 8), np.int32) if kind != "detections" else np.zeros((0, 3, 6))
    result = metrics(empty, empty, kind)
    assert (result.answers, result.elements, result.equal) == (1, 0, False)
    assert {result.top1, result.kl_mean, result.dice_mean, result.cosine, result.max_abs, result.max_box} == {None}
    full = np.ones((1, 3, 8, 8), np.int32) if kind != "detections" else np.ones((1, 3, 6))
    for other in (full[..., :-1], full[:, :, None], full[0], np.ones(())):
        result = metrics(full, other, kind)
        assert (result.misshaped, result.items, result.mismatched_items, result.mismatched) == (1, 1, 1, full.size)
        assert (result.equal, result.top1, result.dice_mean, result.matched or None) == (False, None, None, None)


def test_a_different_shape_counts_as_a_mismatch_of_every_item():
    accumulator = Accumulator("values", rtol=0.0, atol=0.0, batched=True)
    accumulator.add(np.ones((3, 2)), np.ones((3, 2)))
    accumulator.add(np.ones((3, 2)), np.ones((3, 1)))
    result = accumulator.result()
    assert (result.answers, result.items, result.mismatched_items, result.misshaped) == (2, 6, 3, 1)
    assert (result.elements, result.finite, result.mismatched, result.equal) == (12, 6, 6, False)
    accumulator = Accumulator("values", rtol=0.0, atol=0.0, batched=True)
    accumulator.add(np.ones((0, 2)), np.ones((0, 3)))
    assert (accumulator.result().misshaped, accumulator.result().equal) == (1, False)


def test_scalars_integers_booleans_and_strings():
    assert metrics(np.float32(1.0), np.float32(1.5)).max_abs == 0.5
    large = np.array([2**63 - 1])
    result = metrics(large, large - 1, rtol=1.0, atol=100.0)
    assert (result.mismatched, result.equal, result.max_ulp) == (1, False, None)  # equal as float64
    assert metrics(np.array([2**64 - 1], np.uint64), np.array([-1]), atol=5.0).mismatched == 1
    assert metrics(np.array([True, False]), np.array([True, True])).mismatched == 1
    assert metrics(np.array([1, 2]), np.array([1.0, 2.5]), atol=0.6).mismatched == 0
    texts = np.array([b"one", b"two"], object)
    assert metrics(texts, texts).equal
    other = metrics(texts, np.array([b"one", b"six"], object))
    assert (other.mismatched, other.items, other.mismatched_items) == (1, 2, 1)
    assert metrics(texts, np.array([b"one", b"six"], object), batched=False).mismatched_items == 1
    for text in (texts, texts.astype("S"), np.array(["1.0", "2.0"])):
        for pair in ((text, np.array([1.0, 2.0])), (np.array([1.0, 2.0]), text)):
            result = metrics(*pair)
            assert (result.mismatched, result.equal) == (2, False)
    assert metrics(np.array([1 + 2j]), np.array([1 + 2.5j])).mismatched == 1


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("classes", np.float32(1.0)),
        ("classes", np.array(["a"], object)),
        ("distribution", np.float32(1.0)),
        ("segmentation", np.zeros((2, 3))),
        ("mask_logits", np.zeros(3)),
        ("labels", np.zeros((1, 4, 4), np.float32)),
        ("detections", np.zeros((3, 6))),
        ("detections", np.zeros((1, 3, 2))),
        ("mask_logits", np.array([["a", "b"]], object)),
    ],
)
def test_an_output_that_does_not_fit_its_kind_is_an_error_with_its_shape(kind, array):
    accumulator = Accumulator(kind, rtol=0.0, atol=0.0, batched=True)
    with pytest.raises(UsageError) as error:
        accumulator.add(np.asarray(array), np.asarray(array))
    assert str(np.asarray(array).dtype) in str(error.value) or "string" in str(error.value)
    assert accumulator.result().answers == 0


def test_an_invalid_tolerance_is_an_error():
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(UsageError) as refused:
            metrics([1.0], [1.0], rtol=bad)
        assert refused.value.code == "tolerance-invalid"
        with pytest.raises(UsageError) as refused:
            metrics([1.0], [1.0], atol=bad)
        assert refused.value.code == "tolerance-invalid"


@pytest.mark.parametrize("scale", [1e300, 1e-300, 1e200, 1e-160])
def test_metrics_do_not_depend_on_the_scale_of_the_values(scale):
    generator = np.random.default_rng(11)
    expected = generator.standard_normal(1000)
    found = expected + 1e-3 * generator.standard_normal(1000)
    ordinary, scaled = metrics(expected, found), metrics(expected * scale, found * scale)
    for name in ("cosine", "snr_db", "max_rel"):
        assert getattr(scaled, name) == pytest.approx(getattr(ordinary, name), rel=1e-9), name
    for name in ("rmse", "mean_abs", "max_abs"):
        assert getattr(scaled, name) == pytest.approx(getattr(ordinary, name) * scale, rel=1e-9), name
    both = [metrics_of([(expected, found), (expected * scale, found * scale)][::step]) for step in (1, -1)]
    for name in ("cosine", "snr_db", "max_rel", "rmse", "mean_abs"):
        assert getattr(both[0], name) == pytest.approx(getattr(both[1], name), rel=1e-12), name
    if scale < 1:  # beside ordinary answers, tiny ones weigh nothing
        assert both[0].snr_db == pytest.approx(ordinary.snr_db, rel=1e-12)
        assert both[0].mean_abs == pytest.approx(ordinary.mean_abs / 2, rel=1e-12)


def test_outputs_of_several_huge_scales_accumulate_like_ordinary_ones():
    generator = np.random.default_rng(15)
    answers = [(each, each + 1e-3 * generator.standard_normal(100)) for each in generator.standard_normal((3, 100))]
    ordinary = [(left * 2.0**power, right * 2.0**power) for (left, right), power in zip(answers, (0, 7, 3), strict=True)]
    huge = [(left * 2.0**800, right * 2.0**800) for left, right in ordinary]
    for order in itertools.permutations(range(3)):
        result, usual = metrics_of([huge[place] for place in order]), metrics_of(ordinary)
        for name in ("cosine", "snr_db"):
            assert getattr(result, name) == pytest.approx(getattr(usual, name), rel=1e-12), name
        for name in ("rmse", "mean_abs", "max_abs", "largest"):
            assert getattr(result, name) == pytest.approx(getattr(usual, name) * 2.0**800, rel=1e-12), name


def metrics_of(answers):
    accumulator = Accumulator("values", rtol=0.0, atol=0.0, batched=True)
    for expected, found in answers:
        accumulator.add(expected, found)
    return accumulator.result()


def test_every_metric_is_valid_json():
    extremes = np.array([LARGEST, -LARGEST, 5e-324, -0.0, 0.0, 1.0, np.inf, np.nan])
    for left, right in itertools.product((extremes, extremes[::-1].copy(), np.zeros(8), np.full(8, 5e-324)), repeat=2):
        result = metrics(left, right, rtol=1e-3)
        json.dumps(to_json(result), allow_nan=False)
        assert result.max_abs <= LARGEST
        assert result.equal == bool(np.isfinite(left).all() and (left == right).all())
    assert metrics([5e-324], [0.0]).max_ulp == 1
    assert metrics([5e-324], [0.0]).mismatched == 1
    ends = metrics([LARGEST, LARGEST], [-LARGEST, -LARGEST])
    assert (ends.cosine, ends.max_abs, ends.rmse, ends.mean_abs, ends.finite) == (-1.0, LARGEST, LARGEST, LARGEST, 2)


# Detection of the kind of an output


def softmax(logits, axis):
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def test_detect_finds_the_kind_of_an_output_or_returns_values():
    generator = np.random.default_rng(12)
    normal = generator.standard_normal
    for dtype in FLOATS:
        assert detect(softmax(normal((1, 10)), 1).astype(dtype), batched=True) == "distribution"
        assert detect(softmax(normal((2, 7, 50)), 2).astype(dtype), batched=True) == "distribution"
        assert detect(softmax(normal((1, 4, 16, 16)), 1).astype(dtype), batched=True) == "segmentation"
        assert detect((normal((1, 1, 16, 16, 16)) > 0.5).astype(dtype), batched=True) == "mask_probabilities"
        assert detect(normal((1, 10)).astype(dtype), batched=True) == "values"  # logits look like any numbers
        assert detect(normal((1, 3, 16, 16)).astype(dtype), batched=True) == "values"
        assert detect(generator.uniform(0, 1, (1, 1, 32, 32)).astype(dtype), batched=True) == "values"  # an image
    assert detect(softmax(normal(10), 0), batched=False) == "distribution"
    assert detect(generator.integers(0, 5, (1, 16, 16)), batched=True) == "labels"
    assert detect(generator.integers(0, 256, (1, 3, 32, 32), np.uint8), batched=True) == "values"
    assert detect(generator.integers(0, 5, (1, 128)), batched=True) == "values"  # tokens
    assert detect(boxes(generator, 20)[None], batched=True) == "detections"
    assert detect(boxes(generator, 20)[None] + [0, 0, 0, 0, 0, 0.5], batched=True) == "values"
    assert detect(normal((1, 20, 6)), batched=True) == "values"
    for odd in (np.float32(1.0), np.zeros((0, 3)), np.array(["a"], object), np.full((1, 4), np.nan), np.zeros(3), np.ones((1, 1))):
        assert detect(np.asarray(odd), batched=True) == "values"


# The bound on the mismatch rate


@pytest.mark.parametrize("confidence", [0.3, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("mismatched", "total"), [(0, 1), (0, 59), (1, 10), (5, 100), (9, 10), (50, 60), (3, 1000)])
def test_the_bound_solves_the_exact_binomial_tail(mismatched, total, confidence):
    bound = mismatch_bound(mismatched, total, confidence)

    def tail(rate):
        rate = Fraction(rate)
        return float(sum(math.comb(total, i) * rate**i * (1 - rate) ** (total - i) for i in range(mismatched + 1)))

    assert tail(bound) == pytest.approx(1 - confidence, rel=1e-9)


def test_the_bound_of_known_counts():
    assert mismatch_bound(0, 10) == pytest.approx(1 - 0.05**0.1)
    assert mismatch_bound(1, 10) == pytest.approx(0.394163, abs=1e-6)
    assert mismatch_bound(0, 10_000) == pytest.approx(2.9953e-4, rel=1e-4)
    assert mismatch_bound(7, 7) == 1.0
    assert mismatch_bound(0, 0) == 1.0
    large = mismatch_bound(2000, 1_000_000)
    assert large == pytest.approx(2e-3 + 1.645 * math.sqrt(2e-3 / 1e6), rel=1e-3)
    for bad in ((-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0), (1, 5, 0.0), (1, 5, math.nan)):
        with pytest.raises(UsageError, match="bound"):
            mismatch_bound(*bad)


@pytest.mark.parametrize(
    "kind", ["values", "classes", "distribution", "mask_logits", "mask_probabilities", "segmentation", "labels"]
)
def test_merging_accumulators_equals_adding_to_one(kind):
    generator = np.random.default_rng(3)
    whole, merged = (Accumulator(kind, rtol=1e-3, atol=1e-3, batched=True) for _ in range(2))
    for number in range(4):
        expected = generator.random((2, 6, 4)) if kind != "labels" else generator.integers(0, 3, (2, 6, 4))
        found = expected + (1e-4 * generator.standard_normal(expected.shape) if kind != "labels" else generator.integers(0, 2))
        found = found.astype(np.float32) if kind != "labels" else found
        if number == 2:
            found = found[:1]
        one = Accumulator(kind, rtol=1e-3, atol=1e-3, batched=True)
        for each in (whole, one):
            each.add(expected, found)
        merged.merge(one)
    left, right = to_json(merged.result()), to_json(whole.result())
    assert left["answers"] == 4
    assert left["misshaped"] == 1
    assert left == {name: pytest.approx(value) if isinstance(value, float) else value for name, value in right.items()}


def test_merging_detections():
    rows = np.array([[0.0, 0, 2, 2, 0.9, 1], [4, 4, 6, 6, 0.5, 2]])
    whole, merged = (Accumulator("detections", rtol=1e-3, atol=1e-3, batched=False) for _ in range(2))
    for found in (rows[::-1], rows[:1], rows + np.array([1e-4] * 5 + [0])):
        one = Accumulator("detections", rtol=1e-3, atol=1e-3, batched=False)
        for each in (whole, one):
            each.add(rows, found)
        merged.merge(one)
    assert merged.result() == whole.result()
    assert merged.result().matched == 5


# Speed and memory


def test_a_volume_takes_one_pass_and_constant_memory():
    generator = np.random.default_rng(13)
    expected = generator.standard_normal((1, 1, 224, 224, 224), dtype=np.float32)
    found = expected + np.float32(1e-5)
    accumulators = [Accumulator(kind, rtol=1e-4, atol=9e-4, batched=True) for kind in ("values", "mask_logits")]
    tracemalloc.start()
    for accumulator in accumulators:
        accumulator.add(expected, found)
        detect(expected, batched=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    assert all(accumulator.result().elements == 224**3 for accumulator in accumulators)
    compared, measured = [], []
    for _ in range(5):  # processor time: other processes on the machine take none of it
        start = time.process_time()
        Accumulator("values", rtol=1e-4, atol=9e-4, batched=True).add(expected, found)
        measured.append(time.process_time() - start)
        start = time.process_time()
        compare_tensor("y", expected, found, tolerance=Tolerance())
        compared.append(time.process_time() - start)
    print(f"224^3: peak {peak / 2**20:.2f} MiB, metrics {min(measured):.3f} s, compare {min(compared):.3f} s")
    assert min(measured) < 2 * min(compared)


@pytest.mark.parametrize("kind", ["values", "classes", "distribution", "mask_logits"])
def test_a_small_output_takes_little_time(kind):
    expected = softmax(np.random.default_rng(14).standard_normal((1, 1000)), 1).astype(np.float32)
    found = expected + np.float32(1e-6)
    accumulator = Accumulator(kind, rtol=1e-4, atol=9e-4, batched=True)
    best = math.inf
    for _ in range(20):
        start = time.process_time()  # which other processes on the machine do not add to
        for _ in range(50):
            accumulator.add(expected, found)
        best = min(best, (time.process_time() - start) / 50)
    print(f"{kind}: {best * 1e6:.0f} microseconds")
    assert best < 1.5e-3  # a tenth of it on an idle machine
