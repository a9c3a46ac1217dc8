"""The outputs of the model itself: the baseline of every comparison, and golden files made from it.

`compute` makes a `Baseline` from drawn samples (`computation.py`; `onnx_source.py` for an ONNX file), `runner.py` starts the worker
that runs the model, `requirements.py` checks what a model must fulfil before anything is compared with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.reference.baseline import Baseline as Baseline
    from tritonize.reference.computation import compute as compute
    from tritonize.reference.golden_file import GoldenFile as GoldenFile

__all__ = ["Baseline", "GoldenFile", "compute"]

__getattr__ = lazy.attach(__name__, {"Baseline": "baseline", "GoldenFile": "golden_file", "compute": "computation"})
