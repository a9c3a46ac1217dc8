"""The smallest tolerance with which an output passes, and what that tolerance means, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from typing import Literal

from tritonize.core.results import Kind
from tritonize.core.stages import StageName

Pattern = Literal["reordered", "scaled"]
"""`reordered`: found has expected's values in another order. `scaled`: found is expected times a number."""
Concern = Literal["not comparable", "reordered", "scaled", "beyond rounding", "as large as the output"]
"""Why a wider tolerance is not the answer to a difference."""

LARGE = 0.1
"""Share of the output's RMS from which an atol excuses almost any error."""
_TWO_DIGITS = Context(prec=2, rounding=ROUND_CEILING)


@dataclass(frozen=True, kw_only=True)
class ToleranceAdvice:
    """The tolerance that one output needs, over all comparisons of a report. Stages that did not run are not covered.

    Source of the rule: |found - expected| <= atol + rtol * |expected|, in float64. With `least_atol`, or with `least_rtol`, every
    comparison passes; with the next smaller float64 one fails.
    """

    output: str
    """Name of the output."""
    passed: bool
    """Whether it passes with the tolerance in use."""
    stage: StageName
    """The stage that needs the widest tolerance; `k` and `metrics` are from there."""
    rtol: float
    """In use."""
    atol: float
    """In use, in the output's unit."""
    least_atol: float | None
    """The smallest atol with the rtol in use; `None` if no atol passes."""
    least_rtol: float | None
    """The smallest rtol with the atol in use; `None` if no rtol passes."""
    reason: str = ""
    """Why no tolerance passes, or why the first comparison failed; empty if all passed."""
    pattern: Pattern | None = None
    """What the difference looks like, if it is not an error of rounding."""
    factor: float | None = None
    """For the pattern `scaled`: found / expected."""
    mismatched: int = 0
    """Elements outside the tolerance in use, over all stages."""
    max_abs: float | None = None
    """Largest |found - expected| at `stage`, against PyTorch in float64 where that ran."""
    rms: float | None = None
    """Root mean square of the output, in its unit; `None` if unknown."""
    largest: float | None = None
    """Largest magnitude of the output."""
    own_error: float | None = None
    """PyTorch's own error in `precision`, against float64, in the output's unit; `None` if it was not measured."""
    precision: str = "fp32"
    """The precision of `own_error`: `fp32`, `fp16` or `bf16`."""
    k: float | None = None
    """Largest noise-floor ratio at `stage`."""
    k_limit: float | None = None
    """Largest noise-floor ratio that is allowed there."""
    kind: Kind = "values"
    """Meaning of the output; see `results.Kind`."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The metrics that belong to the kind, such as `dice_min`, at `stage`; see `results.Metrics`."""

    @property
    def suggested_atol(self) -> float | None:
        """`least_atol`, rounded up to two digits."""
        return rounded_up(self.least_atol)

    @property
    def suggested_rtol(self) -> float | None:
        """`least_rtol`, rounded up to two digits."""
        return rounded_up(self.least_rtol)

    @property
    def of_rms(self) -> float | None:
        """`least_atol` as a share of the output's RMS."""
        return self.least_atol / self.rms if self.least_atol is not None and self.rms else None

    @property
    def of_own_error(self) -> float | None:
        """`least_atol` in units of PyTorch's own error."""
        return self.least_atol / self.own_error if self.least_atol is not None and self.own_error else None

    @property
    def concerns(self) -> tuple[Concern, ...]:
        """Why a wider tolerance is not the answer; empty if the output passes every gate, or if nothing speaks against one."""
        found: list[Concern] = []
        if self.passed:
            pass  # its noise-floor gate may have failed nevertheless
        elif self.pattern:
            found.append(self.pattern)
        elif self.least_atol is None:
            found.append("not comparable")
        elif self.of_rms is not None and self.of_rms > LARGE:
            found.append("as large as the output")
        if self.k is not None and self.k_limit is not None and self.k > self.k_limit:
            found.append("beyond rounding")
        return tuple(found)


def rounded_up(value: float | None) -> float | None:
    """Return the smallest number of two significant digits that is not below a value; infinite numbers and `None` as they are.

    >>> rounded_up(1.2345e-4)
    0.00013
    """
    return float(_TWO_DIGITS.create_decimal(Decimal(value))) if value is not None and value == value else value
