"""Compare the latency of two servers from pairs of requests: the ratio of their medians and its confidence interval.

Requests that follow each other have similar latency, so the bootstrap draws blocks of consecutive pairs. With single pairs, the
interval would be too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonize.core.canary_results import PairedLatency, Side

BLOCK = 10
"""Consecutive pairs that are drawn together. Simulated with noise whose correlation from request to request is 0.6, intervals from
100 pairs contain the ratio in 95 % of cases; with single pairs in place of blocks, from 200 pairs, in 71 %."""
_RESAMPLES = 2000
_INTERVAL = (2.5, 97.5)


def latency(baseline: Sequence[float], new: Sequence[float], *, transport: str) -> PairedLatency:
    """Medians, 95th percentiles, and the ratio of the medians with a 95 % interval of a block bootstrap.

    Args:
        baseline, new: seconds of each request; those at the same position were sent one after the other. At least one block.
        transport: over which they were sent.
    """
    both = np.array([baseline, new])
    blocks = both.shape[1] // BLOCK
    grouped = both[:, : blocks * BLOCK].reshape(2, blocks, BLOCK)
    draws = np.random.default_rng(0).integers(blocks, size=(_RESAMPLES, blocks))
    medians = np.median(grouped[:, draws].reshape(2, _RESAMPLES, -1), axis=2)
    low, high = np.percentile(medians[1] / medians[0], _INTERVAL).tolist()
    sides = [Side(median=float(np.median(each)), p95=float(np.percentile(each, 95, method="inverted_cdf"))) for each in both]
    return PairedLatency(
        pairs=both.shape[1],
        transport=transport,
        baseline=sides[0],
        new=sides[1],
        ratio=sides[1].median / sides[0].median,
        low=low,
        high=high,
    )
