"""From a model to an ONNX file that was compared with its baseline: `climb` tries one export strategy after another.

`ladder.py` is the loop, `exporter.py` one export, `onnxruntime_check.py` one comparison, and `worker/` the exporters themselves and
what they record about the model's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonize.core import lazy

if TYPE_CHECKING:
    from tritonize.export.ladder import climb as climb
    from tritonize.export.proven import ProvenOnnx as ProvenOnnx

__all__ = ["ProvenOnnx", "climb"]

__getattr__ = lazy.attach(__name__, {"ProvenOnnx": "proven", "climb": "ladder"})
