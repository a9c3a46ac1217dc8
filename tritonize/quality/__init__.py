"""Measure errors (`metrics/`, `tracker.py`) and decide whether they are acceptable (`gates.py`).

`check_batches` compares outputs with a golden set, for every stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.quality.batch_checks import check_batches as check_batches
    from tritonize.quality.batch_checks import check_outputs as check_outputs
    from tritonize.quality.gates import judge as judge
    from tritonize.quality.golden_set import GoldenSet as GoldenSet
    from tritonize.quality.tracker import ErrorTracker as ErrorTracker

__all__ = ["ErrorTracker", "GoldenSet", "check_batches", "check_outputs", "judge"]

__getattr__ = lazy.attach(
    __name__,
    {
        "ErrorTracker": "tracker",
        "GoldenSet": "golden_set",
        "check_outputs": "batch_checks",
        "check_batches": "batch_checks",
        "judge": "gates",
    },
)
