"""Upper confidence bound on the rate of mismatching samples, from the number of mismatches among the tested samples."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tritonize.core.errors import UsageError
from tritonize.core.messages import quality as wording

_STEPS = 200
"""Enough halvings to reach neighbouring float64 numbers; the search ends there."""


def mismatch_bound(mismatched: int, total: int, confidence: float = 0.95) -> float:
    """Return the exact (Clopper-Pearson) one-sided upper bound on the rate of mismatching samples.

    The samples must be drawn independently from the distribution of real requests; the bound holds with at least this confidence.
    It is the rate at which `mismatched` or fewer of `total` occur with probability 1 - confidence; for 0 of n it is
    1 - (1 - confidence)^(1/n). Without any sample it is 1.0.

    Raises:
        UsageError: the counts are negative or inconsistent, or the confidence is not strictly between 0 and 1.
    """
    if not 0 <= mismatched <= total or not 0.0 < confidence < 1.0:
        raise UsageError.of(wording.BOUND_COUNTS, found=f"mismatched {mismatched}, total {total}, confidence {confidence:g}")
    if mismatched == total:
        return 1.0
    if mismatched == 0:
        return -math.expm1(math.log1p(-confidence) / total)
    choices = _log_choices(mismatched, total)
    low, high = mismatched / total, 1.0
    target = math.log1p(-confidence)
    if _log_tail(choices, total, low) < target:  # the observed rate itself is too high: a confidence below one half
        low = 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _log_tail(choices, total, middle) > target else (low, middle)
    return high


def _log_choices(mismatched: int, total: int) -> NDArray[np.float64]:
    """Return log(total choose i) for i from 0 to mismatched."""
    steps = np.arange(1, mismatched + 1, dtype=np.float64)
    return np.concatenate([[0.0], np.cumsum(np.log((total - steps + 1) / steps))])


def _log_tail(choices: NDArray[np.float64], total: int, rate: float) -> float:
    """Return the logarithm of the probability of at most `len(choices) - 1` mismatches among `total` at this rate."""
    counts = np.arange(choices.size, dtype=np.float64)
    terms = choices + counts * math.log(rate) + (total - counts) * math.log1p(-rate)
    top = float(terms.max())
    return top + math.log(float(np.exp(terms - top).sum()))
