"""Metrics of an output's error, by the kind of the output (classes, masks, detections …). The gates are in `quality/gates.py`.

An `Accumulator` takes the arrays of one output at one stage, one after the other, and keeps only sums.
"""

from tritonize.quality.metrics.accumulator import Accumulator
from tritonize.quality.metrics.confidence import mismatch_bound
from tritonize.quality.metrics.detections import detection_rows
from tritonize.quality.metrics.kinds import detect

__all__ = ["Accumulator", "detect", "detection_rows", "mismatch_bound"]
