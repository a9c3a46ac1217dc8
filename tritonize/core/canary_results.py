"""The comparison of a new server or version with the one in use, as plain data: errors, latency, and the rules that decide."""

from __future__ import annotations

from dataclasses import dataclass

from tritonize.core.results import Verdict


@dataclass(frozen=True, kw_only=True)
class OutputErrors:
    """One output of both sides, for the same requests."""

    name: str
    baseline: float
    """Largest |found - expected| of the baseline, against the reference of its own version."""
    new: float
    """The same for the new side."""
    tolerance: float
    """atol + rtol · largest |expected| of the output."""
    baseline_k: float | None
    """Largest noise-floor ratio (k); `None` without float64 values."""
    new_k: float | None
    difference: float
    """Largest |new - baseline|."""
    beyond: int
    """Pairs of responses that differ by more than the tolerance."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """Latency of one side in seconds, one request at a time."""

    median: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class PairedLatency:
    """Latency of both sides, measured in turns, and the ratio of the medians."""

    pairs: int
    transport: str
    baseline: Side
    new: Side
    ratio: float
    """Median of the new side divided by that of the baseline."""
    low: float
    """95 % confidence interval of the ratio."""
    high: float


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule for the new side, and whether it holds."""

    text: str
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Canary:
    """The whole comparison of one model."""

    baseline: str
    """Address and version of the baseline, for people."""
    new: str
    requests: int
    """Pairs of requests whose outputs were compared."""
    outputs: tuple[OutputErrors, ...]
    latency: PairedLatency | None
    """`None` if a request was refused."""
    rules: tuple[Rule, ...]
