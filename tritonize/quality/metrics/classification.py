"""Metrics of class scores and distributions: top-1 and top-5 agreement and divergence of the rows along the last axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritonize.core.arrays import BFLOAT16, Array
from tritonize.core.errors import UsageError
from tritonize.core.messages import quality as wording
from tritonize.quality.differences import CHUNK, floating, numeric

TOP = (1, 5)


class Rows:
    """Accumulates counts over the rows of all arrays; `distribution` adds the Kullback-Leibler divergence."""

    def __init__(self, *, distribution: bool) -> None:
        self.distribution = distribution
        self.rows = 0
        self.ranked = dict.fromkeys(TOP, 0)
        self.agreeing = dict.fromkeys(TOP, 0)
        self.divergent = 0
        self.sum_divergence = self.max_divergence = 0.0

    def add(self, expected: Array, found: Array) -> None:
        """Add one output array. Raises UsageError: it has no rows of numbers."""
        if expected.ndim < 1 or not numeric(expected) or not numeric(found):
            raise UsageError.of(
                wording.NOT_CLASS_SCORES,
                expected="numbers with at least one axis",
                found=f"{expected.dtype} and {found.dtype} of shape {list(expected.shape)}",
            )
        classes = expected.shape[-1]
        if not expected.size:
            return
        expected, found = expected.reshape(-1, classes), found.reshape(-1, classes)
        step = max(1, CHUNK // classes)
        with np.errstate(all="ignore"):
            for start in range(0, expected.shape[0], step):
                self._add(expected[start : start + step], found[start : start + step])

    def merge(self, other: Rows) -> None:
        """Add the counts of another accumulator of the same kind."""
        self.rows += other.rows
        for top in TOP:
            self.ranked[top] += other.ranked[top]
            self.agreeing[top] += other.agreeing[top]
        self.divergent += other.divergent
        self.sum_divergence += other.sum_divergence
        self.max_divergence = max(self.max_divergence, other.max_divergence)

    def _add(self, expected: Array, found: Array) -> None:
        self.rows += expected.shape[0]
        scores, found_scores = _rounded(expected, found)
        valid = ~(np.isnan(scores).any(axis=1) | np.isnan(found_scores).any(axis=1))
        for top in TOP:
            if top < expected.shape[1]:
                self.ranked[top] += expected.shape[0]
                self.agreeing[top] += int(np.count_nonzero(_agree(scores, found_scores, top) & valid))
        if self.distribution:
            smallest = _smallest(found)
            self._diverge(expected.astype(np.float64), found.astype(np.float64), smallest)

    def _diverge(self, expected: NDArray[np.float64], found: NDArray[np.float64], smallest: float) -> None:
        sums = expected.sum(axis=1), found.sum(axis=1)
        valid = (expected.min(axis=1) >= 0) & (found.min(axis=1) >= 0)  # false for NaN
        valid &= np.isfinite(sums[0]) & np.isfinite(sums[1]) & (sums[0] > 0) & (sums[1] > 0)
        if not valid.all():
            expected, found, sums = expected[valid], found[valid], (sums[0][valid], sums[1][valid])
        if expected.size:
            rows = _divergence(expected / sums[0][:, None], found / sums[1][:, None], smallest)
            self.divergent += rows.size
            self.sum_divergence += float(rows.sum())
            self.max_divergence = max(self.max_divergence, float(rows.max()))

    def marks(self) -> dict[str, Any]:
        """Return the fields of `Metrics`."""
        marks: dict[str, Any] = {"rows": self.rows}
        for top in TOP:
            marks[f"top{top}"] = self.agreeing[top] / self.ranked[top] if self.ranked[top] else None
        if self.distribution:
            marks["invalid_rows"] = self.rows - self.divergent
            marks["kl_mean"] = self.sum_divergence / self.divergent if self.divergent else None
            marks["kl_max"] = self.max_divergence if self.divergent else None
        return marks


def _divergence(expected: NDArray[np.float64], found: NDArray[np.float64], smallest: float) -> NDArray[np.float64]:
    """Return the Kullback-Leibler divergence of each row in nats, for rows that sum to 1.

    The terms are q - p - p log(q/p), and their sum is the divergence. No term is negative, and equal rows give exactly 0.
    """
    positive = np.where(found > 0, found, smallest)
    step = positive - expected
    logs = np.log1p(step / expected)
    far = np.abs(step) > expected / 2
    if far.any():  # where the smaller one is lost in the step, or the quotient overflows
        logs[far] = np.log(positive[far]) - np.log(expected[far])
    terms = np.where(expected > 0, step - expected * logs, found)
    rows: NDArray[np.float64] = np.maximum(terms, 0.0).sum(axis=1)
    return rows


def _rounded(expected: Array, found: Array) -> tuple[Array, Array]:
    """Round both to found's precision, so that values that found cannot distinguish tie; in a type that NumPy sorts fast."""
    if not floating(found):
        return expected.astype(np.float64), found.astype(np.float64)
    if floating(expected):
        expected = expected.astype(found.dtype, copy=False)
    fast = np.float32 if found.dtype.itemsize < 4 else found.dtype
    return expected.astype(fast, copy=False), found.astype(fast, copy=False)


def _agree(scores: Array, found_scores: Array, top: int) -> NDArray[np.bool_]:
    """Whether each of found's `top` highest classes has an expected score not below expected's own `top`-th highest."""
    if top == 1:
        picks = found_scores.argmax(axis=1)[:, None]
        least = scores.max(axis=1)[:, None]
    else:
        picks = np.argpartition(found_scores, -top, axis=1)[:, -top:]
        least = np.partition(scores, -top, axis=1)[:, -top][:, None]
    agree: NDArray[np.bool_] = (np.take_along_axis(scores, picks, axis=1) >= least).all(axis=1)
    return agree


def _smallest(found: Array) -> float:
    """Return the smallest positive number of found's type; a zero there stands for any value below it."""
    if found.dtype == BFLOAT16:
        return math.ldexp(1.0, -133)
    return float(np.finfo(found.dtype).smallest_subnormal) if found.dtype.kind == "f" else float(np.finfo(np.float64).tiny)
