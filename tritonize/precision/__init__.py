"""Reduce a float32 ONNX file to float16 or bfloat16: `reduction.py` rewrites it, `comparison.py` compares it with the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.precision.comparison import ReducedOnnx as ReducedOnnx
    from tritonize.precision.comparison import reduce as reduce

__all__ = ["ReducedOnnx", "reduce"]

__getattr__ = lazy.attach(__name__, {"ReducedOnnx": "comparison", "reduce": "comparison"})
