"""How large the error of an output is, in the terms of what the output means; a stranger to the gate that judges it.

An `Accumulator` takes the answers of one output at one stage, one after the other, and keeps sums only.
"""

from tritonize.quality.metrics.accumulator import Accumulator
from tritonize.quality.metrics.confidence import mismatch_bound
from tritonize.quality.metrics.detections import detection_rows
from tritonize.quality.metrics.kinds import detect

__all__ = ["Accumulator", "detect", "detection_rows", "mismatch_bound"]
